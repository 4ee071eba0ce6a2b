#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// Which words of a request may come from a catalog, an input or a branch. Pure.
namespace forerun {

inline constexpr std::size_t http_url_bytes_max = 2048;
inline constexpr std::size_t http_headers_max = 32;
inline constexpr std::size_t http_header_bytes_max = 8192;  ///< Of all names and values.

struct HttpUrl {
  std::string origin;     ///< Scheme, host and port, lowercase.
  std::string_view path;  ///< Of the text that was read.
  bool has_query = false;
};

/// Nothing for what is no http or https URL, is longer than http_url_bytes_max, or could be read in
/// two ways: with a user, a fragment, dot segments, an encoded slash in its path, characters that
/// belong to no URL.
std::optional<HttpUrl> http_url_of(std::string_view text);

/// GET, POST, PUT, PATCH or DELETE.
bool is_http_method(std::string_view text);
/// RFC 9110 §5.1.
bool is_http_header_name(std::string_view text);
/// Visible ASCII, spaces and tabs: nothing that ends a line.
bool is_http_header_value(std::string_view text);
/// One that the sender itself writes.
bool is_senders_header(std::string_view name);
/// Compares as names of headers are: ASCII letters of either case are equal.
bool is_same_header(std::string_view a, std::string_view b);

}  // namespace forerun
