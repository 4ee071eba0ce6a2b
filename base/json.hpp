#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"

/// JSON values and their canonical text (RFC 8785, JCS). Reading is strict: what cannot be kept
/// exactly is refused, never repaired.
namespace forerun::json {

inline constexpr std::size_t depth_max = 64;
inline constexpr std::size_t document_bytes_max = 1 << 20;

class Value;
struct Member;
using Array = std::vector<Value>;

/// Members in ascending order of their names' UTF-16 code units (RFC 8785 §3.2.3); names are
/// unique.
class Object {
public:
  Object();
  Object(const Object&);
  Object(Object&&) noexcept;
  Object& operator=(const Object&);
  Object& operator=(Object&&) noexcept;
  ~Object();
  const Value* find(std::string_view name) const;
  Value* find(std::string_view name);
  /// Inserts or replaces.
  void set(std::string name, Value value);
  /// Does nothing where there is no such member.
  void erase(std::string_view name);
  std::size_t size() const;
  bool empty() const { return size() == 0; }
  const Member* begin() const;
  const Member* end() const;
  friend bool operator==(const Object&, const Object&);

private:
  friend class Reader;
  std::vector<Member> members_;
};

/// One JSON value. Numbers are doubles; strings are UTF-8. Regular type: copies are deep.
class Value {
public:
  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool flag) : data_(flag) {}
  Value(double number) : data_(number) {}
  Value(int number) : data_(static_cast<double>(number)) {}
  /// @pre |number| < 2^53.
  Value(std::uint64_t number) : data_(static_cast<double>(number)) {}
  Value(std::int64_t number) : data_(static_cast<double>(number)) {}
  Value(const char* text) : data_(std::string(text)) {}
  Value(std::string text) : data_(std::move(text)) {}
  Value(std::string_view text) : data_(std::string(text)) {}
  Value(Array array) : data_(std::move(array)) {}
  Value(Object object) : data_(std::move(object)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const double* number() const { return std::get_if<double>(&data_); }
  const std::string* string() const { return std::get_if<std::string>(&data_); }
  std::string* string() { return std::get_if<std::string>(&data_); }
  const Array* array() const { return std::get_if<Array>(&data_); }
  const Object* object() const { return std::get_if<Object>(&data_); }
  Array* array() { return std::get_if<Array>(&data_); }
  Object* object() { return std::get_if<Object>(&data_); }
  /// The member of an object, or nothing.
  const Value* find(std::string_view name) const;

  friend bool operator==(const Value&, const Value&);

private:
  friend class Reader;
  std::variant<std::monostate, bool, double, std::string, Array, Object> data_;
};

struct Member {
  std::string name;
  Value value;
  friend bool operator==(const Member&, const Member&) = default;
};

// Where Member is complete: a vector's are constexpr, and clang looks into them at once.
inline Object::Object() = default;
inline Object::Object(const Object&) = default;
inline Object::Object(Object&&) noexcept = default;
inline Object& Object::operator=(const Object&) = default;
inline Object& Object::operator=(Object&&) noexcept = default;
inline Object::~Object() = default;
inline std::size_t Object::size() const {
  return members_.size();
}
inline const Member* Object::begin() const {
  return members_.data();
}
inline const Member* Object::end() const {
  return members_.data() + members_.size();
}

struct Limits {
  std::size_t bytes = document_bytes_max;
  std::size_t depth = depth_max;
};

/// Reads exactly one document. Errors: too_large (bytes, depth); invalid, naming the byte and what
/// was expected: duplicate names after unescaping, numbers out of a double's range, integer
/// literals beyond ±(2^53-1) that are not what JCS writes for their double, lone surrogates,
/// invalid UTF-8, a byte order mark, anything after the value.
Result<Value> parse(std::string_view text, const Limits& limits = {});

/// The canonical text of a value. @pre it came from parse() or holds finite numbers and valid
/// UTF-8.
std::string canonical(const Value& value);
void append_canonical(std::string& out, const Value& value);
/// A JSON string literal as JCS writes it, quotes included.
void append_string(std::string& out, std::string_view text);
/// `text` made fit for a JSON string: at most `bytes_max` bytes, cut between characters, a question
/// mark for each byte that is not part of well-formed UTF-8. For causes and logs of foreign origin.
std::string clean_text(std::string_view text, std::size_t bytes_max);
/// How many arrays and objects a value nests. @pre it came from parse(), which bounds it.
std::size_t depth_of(const Value& value);
/// What a value holds outside itself, in bytes: its elements, members and the strings that do not
/// fit in place. What the allocator adds is not counted. @pre as depth_of().
std::size_t heap_bytes(const Value& value);
std::size_t heap_bytes(const Object& object);
/// A number as ECMAScript's Number::toString writes it (RFC 8785 §3.2.2.3). @pre finite.
void append_number(std::string& out, double number);

}  // namespace forerun::json
