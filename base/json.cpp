#include "base/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "base/assert.hpp"

namespace forerun::json {
namespace {

/// Orders UTF-8 texts by their UTF-16 code units: differs from byte order only where one side is
/// outside the basic plane (lead byte F0..F4, a surrogate pair from D800) and the other in
/// U+E000..U+FFFF (lead byte EE or EF).
bool utf16_less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end()) {
    return a.size() < b.size();
  }
  const auto p = static_cast<std::uint8_t>(*x);
  const auto q = static_cast<std::uint8_t>(*y);
  const bool p_pair = p >= 0xF0;
  const bool q_pair = q >= 0xF0;
  if (p_pair != q_pair && (p >= 0xEE && q >= 0xEE)) {
    return p_pair;
  }
  return p < q;
}

bool before(const Member& member, std::string_view name) {
  return utf16_less(member.name, name);
}

constexpr double integer_exact_max = 9007199254740991.0;

}  // namespace

const Value* Object::find(std::string_view name) const {
  const auto at = std::lower_bound(members_.begin(), members_.end(), name, before);
  return at != members_.end() && at->name == name ? &at->value : nullptr;
}

Value* Object::find(std::string_view name) {
  return const_cast<Value*>(std::as_const(*this).find(name));
}

void Object::set(std::string name, Value value) {
  const auto at = std::lower_bound(members_.begin(), members_.end(), name, before);
  if (at != members_.end() && at->name == name) {
    at->value = std::move(value);
    return;
  }
  members_.insert(at, Member{std::move(name), std::move(value)});
}

void Object::erase(std::string_view name) {
  const auto at = std::lower_bound(members_.begin(), members_.end(), name, before);
  if (at != members_.end() && at->name == name) {
    members_.erase(at);
  }
}

bool operator==(const Object& a, const Object& b) {
  return a.members_ == b.members_;
}
bool operator==(const Value& a, const Value& b) {
  return a.data_ == b.data_;
}

const Value* Value::find(std::string_view name) const {
  const Object* members = object();
  return members == nullptr ? nullptr : members->find(name);
}

namespace {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// What a byte of a string literal asks for: plain bytes are copied in runs.
constexpr bool is_plain(char c) {
  const auto byte = static_cast<std::uint8_t>(c);
  return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

/// Bytes of the well-formed UTF-8 character at the front of `text` (Unicode 15, table 3-7); 0 for
/// none.
std::size_t character_size(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead < 0x80) {
    return text.empty() ? 0 : 1;
  }
  if (lead >= 0xC2 && lead <= 0xDF) {
    return follows(1) ? 2 : 0;
  }
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;   // No overlong form.
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;  // No surrogate.
    return byte(1) >= low && byte(1) <= high && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;  // Up to U+10FFFF.
    return byte(1) >= low && byte(1) <= high && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0U | point >> 6U);
    put(0x80U | (point & 0x3FU));
  } else if (point < 0x10000) {
    put(0xE0U | point >> 12U);
    put(0x80U | (point >> 6U & 0x3FU));
    put(0x80U | (point & 0x3FU));
  } else {
    put(0xF0U | point >> 18U);
    put(0x80U | (point >> 12U & 0x3FU));
    put(0x80U | (point >> 6U & 0x3FU));
    put(0x80U | (point & 0x3FU));
  }
}

/// True when the value of a number's literal is below one. @pre it is not zero.
bool is_tiny(std::string_view literal) {
  const std::size_t mark = std::min(literal.find_first_of("eE"), literal.size());
  const std::size_t point = std::min(literal.find('.'), mark);
  const std::size_t first = literal.find_first_of("123456789");
  // literal = d.ddd × 10^(scale + exponent), with d at `first`.
  const auto scale =
      static_cast<std::int64_t>(point) - static_cast<std::int64_t>(first) - (first < point ? 1 : 0);
  std::int64_t exponent = 0;
  if (mark != literal.size()) {
    std::string_view digits = literal.substr(mark + 1);
    digits.remove_prefix(digits.front() == '+' ? 1 : 0);
    const auto problem = std::from_chars(digits.data(), digits.data() + digits.size(), exponent).ec;
    if (problem != std::errc()) {
      return digits.front() == '-';  // Beyond 64 bits: no literal is long enough to make up for it.
    }
  }
  return exponent < -scale;  // Not added: the sum could overflow.
}

}  // namespace

/// A recursive-descent reader of RFC 8259. Its recursion is bounded by the depth limit. Every
/// function returns false after it has noted the error.
class Reader {
public:
  Reader(std::string_view text, std::size_t depth) : text_(text), depth_(depth) {}

  Result<Value> read() {
    Value root;
    skip_space();
    if (value(root, 0)) {
      skip_space();
      if (at_ == text_.size()) {
        return root;
      }
      expected("nothing after the value");
    }
    return tl::unexpected<Error>(std::move(error_));
  }

private:
  bool value(Value& out, std::size_t open) {
    switch (peek()) {
      case '{':
        return object(out, open);
      case '[':
        return array(out, open);
      case '"':
        return string(out.data_.emplace<std::string>());
      case 't':
        out = Value(true);
        return word("true");
      case 'f':
        out = Value(false);
        return word("false");
      case 'n':
        out = Value();
        return word("null");
      default:
        return number(out);
    }
  }

  bool object(Value& out, std::size_t open) {
    if (!enter(open)) {
      return false;
    }
    auto& members = out.data_.emplace<Object>().members_;
    bool is_sorted = true;
    skip_space();
    if (take('}')) {
      return true;
    }
    do {
      skip_space();
      Member& member = members.emplace_back();
      if (peek() != '"') {
        return expected("a name in quotes");
      }
      if (!string(member.name)) {
        return false;
      }
      is_sorted = is_sorted && (members.size() == 1 ||
                                utf16_less(members[members.size() - 2].name, member.name));
      skip_space();
      if (!take(':')) {
        return expected("a colon");
      }
      skip_space();
      if (!value(member.value, open + 1)) {
        return false;
      }
      skip_space();
    } while (take(','));
    if (!take('}')) {
      return expected("a comma or the end of the object");
    }
    return is_sorted || sort(members);
  }

  bool sort(std::vector<Member>& members) {
    std::sort(members.begin(), members.end(),
              [](const Member& a, const Member& b) { return utf16_less(a.name, b.name); });
    const auto twice =
        std::adjacent_find(members.begin(), members.end(),
                           [](const Member& a, const Member& b) { return a.name == b.name; });
    return twice == members.end() || refuse(Errc::invalid, "duplicate key \"" + twice->name + "\"");
  }

  bool array(Value& out, std::size_t open) {
    if (!enter(open)) {
      return false;
    }
    Array& items = out.data_.emplace<Array>();
    skip_space();
    if (take(']')) {
      return true;
    }
    do {
      skip_space();
      if (!value(items.emplace_back(), open + 1)) {
        return false;
      }
      skip_space();
    } while (take(','));
    return take(']') || expected("a comma or the end of the list");
  }

  /// @pre a quotation mark is next.
  bool string(std::string& out) {
    ++at_;
    for (;;) {
      const std::size_t from = at_;
      while (at_ < text_.size() && is_plain(text_[at_])) {
        ++at_;
      }
      out.append(text_, from, at_ - from);
      if (take('"')) {
        return true;
      }
      if (take('\\')) {
        if (!escape(out)) {
          return false;
        }
        continue;
      }
      if (at_ == text_.size()) {
        return expected("the end of the string");
      }
      if (static_cast<std::uint8_t>(peek()) < 0x20) {
        return expected("control characters as escapes");
      }
      const std::size_t size = character_size(text_.substr(at_, 4));
      if (size == 0) {
        return expected("UTF-8");
      }
      out.append(text_, at_, size);
      at_ += size;
    }
  }

  bool escape(std::string& out) {
    const char kind = peek();
    ++at_;
    switch (kind) {
      case '"':
      case '\\':
      case '/':
        out.push_back(kind);
        return true;
      case 'b':
        out.push_back('\b');
        return true;
      case 'f':
        out.push_back('\f');
        return true;
      case 'n':
        out.push_back('\n');
        return true;
      case 'r':
        out.push_back('\r');
        return true;
      case 't':
        out.push_back('\t');
        return true;
      case 'u':
        return unicode(out);
      default:
        --at_;
        return expected("an escape");
    }
  }

  bool unicode(std::string& out) {
    std::uint32_t point = 0;
    if (!code_unit(point)) {
      return false;
    }
    if (point >= 0xD800 && point <= 0xDFFF) {
      std::uint32_t low = 0;
      if (point >= 0xDC00 || !take('\\') || !take('u')) {
        return expected("a surrogate pair");
      }
      if (!code_unit(low)) {
        return false;
      }
      if (low < 0xDC00 || low > 0xDFFF) {
        return expected("a surrogate pair");
      }
      point = 0x10000U + ((point - 0xD800U) << 10U) + (low - 0xDC00U);
    }
    append_utf8(out, point);
    return true;
  }

  bool code_unit(std::uint32_t& out) {
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
    if (digits.size() != 4 || problem != std::errc() || end != digits.data() + 4) {
      return expected("four hexadecimal digits");
    }
    at_ += 4;
    return true;
  }

  bool number(Value& out) {
    const std::size_t from = at_;
    take('-');
    if (!is_digit(peek())) {
      at_ = from;
      return expected("a value");
    }
    const std::size_t first_digit = at_;
    std::uint64_t small = 0;  // Exact as long as the literal has at most integer_digits digits.
    if (!take('0')) {
      for (; is_digit(peek()); ++at_) {
        small = small * 10 + static_cast<std::uint64_t>(peek() - '0');
      }
    }
    const std::size_t digits = at_ - first_digit;
    bool is_integer = true;
    if (take('.')) {
      is_integer = false;
      if (!skip_digits()) {
        return false;
      }
    }
    if (peek() == 'e' || peek() == 'E') {
      is_integer = false;
      ++at_;
      if (!take('+')) {
        take('-');
      }
      if (!skip_digits()) {
        return false;
      }
    }
    if (is_integer && digits <= integer_digits) {
      const double magnitude = static_cast<double>(small);
      out = Value(text_[from] == '-' ? -magnitude : magnitude);
      return true;
    }
    return convert(out, text_.substr(from, at_ - from), is_integer);
  }

  bool convert(Value& out, std::string_view literal, bool is_integer) {
    double number = 0;
    const auto [end, problem] =
        std::from_chars(literal.data(), literal.data() + literal.size(), number);
    if (problem == std::errc::result_out_of_range && is_tiny(literal)) {
      number = 0;  // Nearest to it, as in ECMAScript.
    } else if (problem != std::errc() || !std::isfinite(number)) {
      return refuse(Errc::invalid, "number " + shortened(literal) + " is out of a double's range");
    }
    if (is_integer && std::abs(number) > integer_exact_max) {
      std::string written;
      append_number(written, number);
      if (written != literal) {
        return refuse(Errc::invalid,
                      "integer " + shortened(literal) +
                          " cannot be kept exactly, expected at most 2^53-1: send it as a string");
      }
    }
    out = Value(number);
    return true;
  }

  bool skip_digits() {
    if (!is_digit(peek())) {
      return expected("a digit");
    }
    while (is_digit(peek())) {
      ++at_;
    }
    return true;
  }

  bool word(std::string_view expected_word) {
    if (text_.substr(at_, expected_word.size()) != expected_word) {
      return expected("a value");
    }
    at_ += expected_word.size();
    return true;
  }

  /// Steps over the bracket of a container inside `open` others.
  bool enter(std::size_t open) {
    if (open >= depth_) {
      return refuse(Errc::too_large, "nested deeper than " + std::to_string(depth_));
    }
    ++at_;
    return true;
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  /// The next byte; 0 at the end, which no rule accepts.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ < text_.size() && text_[at_] == c) {
      ++at_;
      return true;
    }
    return false;
  }
  static std::string shortened(std::string_view literal) {
    return literal.size() <= 40 ? std::string(literal) : std::string(literal.substr(0, 40)) + "…";
  }
  bool refuse(Errc code, const std::string& why) {
    error_ = Error{code, "json: byte " + std::to_string(at_) + ": " + why};
    return false;
  }
  bool expected(const char* what) {
    std::string found = "the end";
    if (at_ < text_.size()) {
      const auto byte = static_cast<std::uint8_t>(text_[at_]);
      const bool is_printable = byte > 0x20 && byte < 0x7F;
      found = is_printable ? std::string("'") + text_[at_] + "'" : "byte " + std::to_string(byte);
    }
    return refuse(Errc::invalid, "found " + found + ", expected " + what);
  }

  static constexpr std::size_t integer_digits = 15;

  std::string_view text_;
  std::size_t depth_;
  std::size_t at_ = 0;
  Error error_;
};

Result<Value> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Errc::too_large, "json: " + std::to_string(text.size()) +
                                     " bytes, expected at most " + std::to_string(limits.bytes));
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return fail(Errc::invalid, "json: byte 0: byte order mark, expected a value");
  }
  return Reader(text, limits.depth).read();
}

std::string clean_text(std::string_view text, std::size_t bytes_max) {
  std::string out;
  while (!text.empty() && out.size() < bytes_max) {
    const std::size_t size = character_size(text.substr(0, 4));
    if (out.size() + size > bytes_max) {
      break;
    }
    if (size == 0) {
      out.push_back('?');
    } else {
      out.append(text, 0, size);
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

namespace {

/// Where the first character at or after `at` stands that a string cannot hold as it is; the size
/// if none. Looks at eight at a time: a byte is below 0x20, or is one of the two after an exclusive
/// or, where subtracting borrows from a high bit that was clear.
std::size_t next_escaped(std::string_view text, std::size_t at) {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t highs = 0x8080808080808080U;
  for (; at + sizeof(std::uint64_t) <= text.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    const std::uint64_t quote = word ^ (ones * '"');
    const std::uint64_t backslash = word ^ (ones * '\\');
    const std::uint64_t found = ((word - ones * 0x20U) & ~word) | ((quote - ones) & ~quote) |
                                ((backslash - ones) & ~backslash);
    if ((found & highs) != 0) {
      break;
    }
  }
  while (at < text.size() && static_cast<std::uint8_t>(text[at]) >= 0x20 && text[at] != '"' &&
         text[at] != '\\') {
    ++at;
  }
  return at;
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out.push_back('"');
  std::size_t from = 0;
  for (std::size_t at = next_escaped(text, 0); at < text.size(); at = next_escaped(text, at + 1)) {
    const char c = text[at];
    const auto byte = static_cast<std::uint8_t>(c);
    out.append(text, from, at - from);
    from = at + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        out += "\\u00";
        out.push_back(digits[byte >> 4U]);
        out.push_back(digits[byte & 15U]);
    }
  }
  out.append(text, from);
  out.push_back('"');
}

void append_number(std::string& out, double number) {
  FORERUN_ASSERT(std::isfinite(number));
  char buffer[40];
  if (std::abs(number) <= integer_exact_max && number == std::trunc(number)) {
    // Also -0, which is written as 0.
    const auto integer_end =
        std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(number)).ptr;
    out.append(buffer, integer_end);
    return;
  }
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  if (text.front() == '-') {
    out.push_back('-');
    text.remove_prefix(1);
  }
  const std::size_t mark = text.find('e');
  char digit_buffer[24];
  std::size_t digit_count = 0;
  for (const char c : text.substr(0, mark)) {
    if (c != '.') {
      digit_buffer[digit_count++] = c;
    }
  }
  const std::string_view digits(digit_buffer, digit_count);
  std::string_view exponent_text = text.substr(mark + 1);
  if (exponent_text.front() == '+') {
    exponent_text.remove_prefix(1);
  }
  int exponent = 0;
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  // ECMA-262 Number::toString: k digits, value = 0.digits × 10^n.
  const int k = static_cast<int>(digits.size());
  const int n = exponent + 1;
  if (k <= n && n <= 21) {
    out += digits;
    out.append(static_cast<std::size_t>(n - k), '0');
  } else if (0 < n && n <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(n));
    out.push_back('.');
    out += digits.substr(static_cast<std::size_t>(n));
  } else if (-6 < n && n <= 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-n), '0');
    out += digits;
  } else {
    out.push_back(digits.front());
    if (k > 1) {
      out.push_back('.');
      out += digits.substr(1);
    }
    out.push_back('e');
    out.push_back(n - 1 < 0 ? '-' : '+');
    out += std::to_string(std::abs(n - 1));
  }
}

void append_canonical(std::string& out, const Value& value) {
  if (value.is_null()) {
    out += "null";
  } else if (const bool* flag = value.boolean()) {
    out += *flag ? "true" : "false";
  } else if (const double* number = value.number()) {
    append_number(out, *number);
  } else if (const std::string* text = value.string()) {
    append_string(out, *text);
  } else if (const Array* items = value.array()) {
    out.push_back('[');
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (i != 0) {
        out.push_back(',');
      }
      append_canonical(out, (*items)[i]);
    }
    out.push_back(']');
  } else {
    out.push_back('{');
    bool first = true;
    for (const Member& member : *value.object()) {
      if (!first) {
        out.push_back(',');
      }
      first = false;
      append_string(out, member.name);
      out.push_back(':');
      append_canonical(out, member.value);
    }
    out.push_back('}');
  }
}

std::string canonical(const Value& value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

std::size_t depth_of(const Value& value) {
  std::size_t inner = 0;
  if (const Array* items = value.array()) {
    for (const Value& item : *items) {
      inner = std::max(inner, depth_of(item));
    }
    return inner + 1;
  }
  if (const Object* members = value.object()) {
    for (const Member& member : *members) {
      inner = std::max(inner, depth_of(member.value));
    }
    return inner + 1;
  }
  return 0;
}

namespace {

std::size_t heap_bytes(const std::string& text) {
  return text.size() > std::string().capacity() ? text.size() + 1 : 0;
}

}  // namespace

std::size_t heap_bytes(const Value& value) {
  if (const std::string* text = value.string()) {
    return heap_bytes(*text);
  }
  if (const Object* object = value.object()) {
    return heap_bytes(*object);
  }
  std::size_t bytes = 0;
  if (const Array* array = value.array()) {
    bytes = array->size() * sizeof(Value);
    for (const Value& element : *array) {
      bytes += heap_bytes(element);
    }
  }
  return bytes;
}

std::size_t heap_bytes(const Object& object) {
  std::size_t bytes = object.size() * sizeof(Member);
  for (const Member& member : object) {
    bytes += heap_bytes(member.name) + heap_bytes(member.value);
  }
  return bytes;
}

}  // namespace forerun::json
