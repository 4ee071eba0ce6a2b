#include "coordinator/prediction_hash.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace forerun::prediction {

namespace {

constexpr std::size_t look_runs_max = 8;

constexpr Key tag_null = 0x11;
constexpr Key tag_false = 0x12;
constexpr Key tag_true = 0x13;
constexpr Key tag_number = 0x14;
constexpr Key tag_string = 0x15;
constexpr Key tag_array = 0x16;
constexpr Key tag_object = 0x17;

/// Eight bytes, the first the least: the same on every machine.
Key word_of(const char* bytes) {
  Key word = 0;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&word, bytes, sizeof word);
  } else {
    for (std::size_t i = 0; i < sizeof word; ++i) {
      word |= static_cast<Key>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
  }
  return word;
}

}  // namespace

Key hash_text(std::string_view text) {
  Key hash = text.size();
  for (; text.size() >= sizeof(Key); text.remove_prefix(sizeof(Key))) {
    hash = mix(hash, word_of(text.data()));
  }
  if (!text.empty()) {
    std::array<char, sizeof(Key)> rest{};
    std::copy(text.begin(), text.end(), rest.begin());
    hash = mix(hash, word_of(rest.data()));
  }
  return mix(hash, 0);
}

Key hash_string(std::string_view text) {
  return mix(tag_string, hash_text(text));
}

Key hash_number(double number) {
  return mix(tag_number, number == 0 ? 0 : std::bit_cast<std::uint64_t>(number));
}

Key look_of(const json::Value& value) {
  const std::string* text = value.string();
  if (text == nullptr) {
    const double* number = value.number();
    return value.array() != nullptr ? 1 : value.object() != nullptr ? 2 : number != nullptr ? 3 : 4;
  }
  Key look = 5;
  char last = 0;
  std::size_t runs = 0;
  for (const char c : *text) {
    const bool is_small = c >= 'a' && c <= 'z';
    const bool is_capital = c >= 'A' && c <= 'Z';
    const bool is_digit = c >= '0' && c <= '9';
    const char sign = is_small ? 'a' : is_capital ? 'A' : is_digit ? '9' : c;
    if (sign != last) {
      if (++runs > look_runs_max) {
        break;
      }
      look = mix(look, static_cast<Key>(static_cast<unsigned char>(sign)));
    }
    last = sign;
  }
  return look;
}

Key hash_array_start() {
  return tag_array;
}

Key hash_object_start() {
  return tag_object;
}

Key hash_value(const json::Value& value) {
  if (const std::string* text = value.string()) {
    return hash_string(*text);
  }
  if (const double* number = value.number()) {
    return hash_number(*number);
  }
  if (const bool* flag = value.boolean()) {
    return mix(*flag ? tag_true : tag_false, 0);
  }
  if (const json::Array* array = value.array()) {
    Key hash = hash_array_start();
    for (const json::Value& element : *array) {
      hash = mix(hash, hash_value(element));
    }
    return hash;
  }
  if (const json::Object* object = value.object()) {
    Key hash = hash_object_start();
    for (const json::Member& member : *object) {
      hash = mix(hash, hash_text(member.name), hash_value(member.value));
    }
    return hash;
  }
  return mix(tag_null, 0);
}

}  // namespace forerun::prediction
