#include "base/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/assert.hpp"

namespace forerun::json {
namespace {

/// Orders UTF-8 texts by their UTF-16 code units: differs from byte order only where one side is outside the basic
/// plane (lead byte F0..F4, a surrogate pair from D800) and the other in U+E000..U+FFFF (lead byte EE or EF).
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

bool before(const Member& member, std::string_view name) { return utf16_less(member.name, name); }

constexpr double integer_exact_max = 9007199254740991.0;

} // namespace

const Value* Object::find(std::string_view name) const {
  const auto at = std::lower_bound(members_.begin(), members_.end(), name, before);
  return at != members_.end() && at->name == name ? &at->value : nullptr;
}

Value* Object::find(std::string_view name) { return const_cast<Value*>(std::as_const(*this).find(name)); }

void Object::set(std::string name, Value value) {
  const auto at = std::lower_bound(members_.begin(), members_.end(), name, before);
  if (at != members_.end() && at->name == name) {
    at->value = std::move(value);
    return;
  }
  members_.insert(at, Member{std::move(name), std::move(value)});
}

bool operator==(const Object& a, const Object& b) { return a.members_ == b.members_; }
bool operator==(const Value& a, const Value& b) { return a.data_ == b.data_; }

const Value* Value::find(std::string_view name) const {
  const Object* members = object();
  return members == nullptr ? nullptr : members->find(name);
}

/// Receives the events of the library's parser and builds the tree, refusing what cannot be kept exactly.
class Reader final : public nlohmann::json_sax<nlohmann::json> {
public:
  explicit Reader(std::size_t depth) : depth_(depth) {}

  bool null() override { return put(Value()); }
  bool boolean(bool flag) override { return put(Value(flag)); }
  bool number_integer(number_integer_t number) override {
    return integer(static_cast<double>(number), std::to_string(number));
  }
  bool number_unsigned(number_unsigned_t number) override {
    return integer(static_cast<double>(number), std::to_string(number));
  }
  bool number_float(number_float_t number, const string_t& literal) override {
    if (!std::isfinite(number)) {
      return refuse(Errc::invalid, "number " + literal + " is out of a double's range");
    }
    if (literal.find_first_of(".eE") == string_t::npos) {
      return integer(number, literal);
    }
    return put(Value(number));
  }
  bool string(string_t& text) override { return put(Value(std::move(text))); }
  bool binary(binary_t&) override { return refuse(Errc::invalid, "binary value"); }
  bool start_object(std::size_t) override { return open(Value(Object())); }
  bool key(string_t& name) override {
    names_.back() = std::move(name);
    return true;
  }
  bool end_object() override {
    Value value = close();
    auto& members = value.object()->members_;
    std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return utf16_less(a.name, b.name); });
    const auto twice = std::adjacent_find(members.begin(), members.end(),
                                          [](const Member& a, const Member& b) { return a.name == b.name; });
    if (twice != members.end()) {
      return refuse(Errc::invalid, "duplicate key \"" + twice->name + "\"");
    }
    return put(std::move(value));
  }
  bool start_array(std::size_t) override { return open(Value(Array())); }
  bool end_array() override { return put(close()); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& problem) override {
    if (!error_) {
      error_ = Error{Errc::invalid, "json: byte " + std::to_string(position) + ": " + problem.what()};
    }
    return false;
  }

  Result<Value> result() && {
    if (error_) {
      return tl::unexpected<Error>(*error_);
    }
    return std::move(root_);
  }

private:
  bool refuse(Errc code, const std::string& why) {
    error_ = Error{code, "json: " + why};
    return false;
  }
  bool integer(double number, const std::string& literal) {
    if (std::abs(number) > integer_exact_max) {
      std::string written;
      append_number(written, number);
      if (written != literal) {
        return refuse(Errc::invalid, "integer " + literal + " cannot be kept exactly, expected at most 2^53-1: send it as a string");
      }
    }
    return put(Value(number));
  }
  bool open(Value value) {
    if (open_.size() >= depth_) {
      return refuse(Errc::too_large, "nested deeper than " + std::to_string(depth_));
    }
    open_.push_back(std::move(value));
    names_.emplace_back();
    return true;
  }
  Value close() {
    Value value = std::move(open_.back());
    open_.pop_back();
    names_.pop_back();
    return value;
  }
  bool put(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Array* items = open_.back().array()) {
      items->push_back(std::move(value));
    } else {
      open_.back().object()->members_.push_back(Member{std::move(names_.back()), std::move(value)});
    }
    return true;
  }

  std::size_t depth_;
  std::vector<Value> open_;
  std::vector<std::string> names_;
  Value root_;
  std::optional<Error> error_;
};

Result<Value> parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Errc::too_large, "json: " + std::to_string(text.size()) + " bytes, expected at most " +
                                     std::to_string(limits.bytes));
  }
  // The library skips a byte order mark silently.
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return fail(Errc::invalid, "json: byte 0: byte order mark, expected a value");
  }
  Reader reader(limits.depth);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  return std::move(reader).result();
}

void append_string(std::string& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out.push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\t': out += "\\t"; break;
      case '\n': out += "\\n"; break;
      case '\f': out += "\\f"; break;
      case '\r': out += "\\r"; break;
      default:
        if (byte < 0x20) {
          out += "\\u00";
          out.push_back(digits[byte >> 4U]);
          out.push_back(digits[byte & 15U]);
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

void append_number(std::string& out, double number) {
  FORERUN_ASSERT(std::isfinite(number));
  if (number == 0) {
    out.push_back('0'); // Also for -0.
    return;
  }
  char buffer[40];
  if (std::abs(number) <= integer_exact_max && number == std::trunc(number)) {
    const auto integer_end = std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(number)).ptr;
    out.append(buffer, integer_end);
    return;
  }
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  if (text.front() == '-') {
    out.push_back('-');
    text.remove_prefix(1);
  }
  const std::size_t mark = text.find('e');
  std::string digits(1, text.front());
  if (mark > 1) {
    digits += text.substr(2, mark - 2);
  }
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
    out.append(digits, 0, static_cast<std::size_t>(n));
    out.push_back('.');
    out.append(digits, static_cast<std::size_t>(n));
  } else if (-6 < n && n <= 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-n), '0');
    out += digits;
  } else {
    out.push_back(digits.front());
    if (k > 1) {
      out.push_back('.');
      out.append(digits, 1);
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

} // namespace forerun::json
