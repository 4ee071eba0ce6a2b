#include "speculation/http_words.hpp"

#include <algorithm>
#include <array>

namespace forerun {
namespace {

constexpr std::array<std::string_view, 5> methods = {"GET", "POST", "PUT", "PATCH", "DELETE"};
/// Headers that the sender itself writes.
constexpr std::array<std::string_view, 7> own_headers = {
    "connection", "content-length", "expect", "host", "idempotency-key", "te", "transfer-encoding"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_alphanumeric(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
}

bool is_one_of(char c, std::string_view characters) {
  return characters.find(c) != std::string_view::npos;
}

bool is_port(std::string_view text) {
  return text.empty() ||
         (text.size() > 1 && text.front() == ':' &&
          std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; }));
}

/// A host and perhaps a port: no user.
bool is_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    const std::string_view address =
        end == std::string_view::npos ? std::string_view() : text.substr(1, end - 1);
    return !address.empty() && is_port(text.substr(end + 1)) &&
           std::all_of(address.begin(), address.end(),
                       [](char c) { return is_hex(c) || c == ':' || c == '.'; });
  }
  const std::string_view host = text.substr(0, text.find(':'));
  return !host.empty() && is_port(text.substr(host.size())) &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '-'; });
}

/// RFC 3986 §3.3 and §3.4, without what a receiver might read as another path.
bool is_path_and_query(std::string_view text) {
  const std::string_view path = text.substr(0, text.find('?'));
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) {
        return false;
      }
      const std::string code = lowered(text.substr(i + 1, 2));
      if (i < path.size() && (code == "2f" || code == "5c")) {
        return false;
      }
    } else if (!is_alphanumeric(c) && !is_one_of(c, "-._~!$&'()*+,;=:@/?")) {
      return false;
    }
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::string segment = lowered(path.substr(begin, end - begin));
    for (std::size_t at = segment.find("%2e"); at != std::string::npos; at = segment.find("%2e")) {
      segment.replace(at, 3, ".");
    }
    if (segment == "." || segment == "..") {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

}  // namespace

std::optional<HttpUrl> http_url_of(std::string_view text) {
  const std::string scheme = lowered(text.substr(0, text.find("://")));
  if ((scheme != "http" && scheme != "https") || text.size() > http_url_bytes_max) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(scheme.size() + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  const std::string_view target = rest.substr(authority.size());
  if (!is_authority(authority) || !is_path_and_query(target)) {
    return std::nullopt;
  }
  return HttpUrl{scheme + "://" + lowered(authority), target.substr(0, target.find('?')),
                 target.find('?') != std::string_view::npos};
}

bool is_http_method(std::string_view text) {
  return std::find(methods.begin(), methods.end(), text) != methods.end();
}

bool is_http_header_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
  });
}

bool is_http_header_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '\t' || (c >= 0x20 && c < 0x7F); });
}

bool is_senders_header(std::string_view name) {
  return std::find(own_headers.begin(), own_headers.end(), lowered(name)) != own_headers.end();
}

bool is_same_header(std::string_view a, std::string_view b) {
  return lowered(a) == lowered(b);
}

}  // namespace forerun
