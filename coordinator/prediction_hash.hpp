#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/json.hpp"

/// What the prediction graph's parts share: 64-bit keys that are equal on every machine, and tables
/// of bounded size.
namespace forerun::prediction {

/// Names something learned or remembered. A collision costs a wrong guess, never a wrong answer.
using Key = std::uint64_t;

/// Depends on the order of its arguments.
constexpr Key mix(Key a, Key b) {
  Key x = a * 0x9e3779b97f4a7c15U + b + 0x632be59bd9b4e019U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

template <class... Rest>
constexpr Key mix(Key a, Key b, Rest... rest) {
  return mix(mix(a, b), static_cast<Key>(rest)...);
}

Key hash_text(std::string_view text);
/// Equal for equal values. A scalar's hash depends on its type: 1 is not "1".
Key hash_value(const json::Value& value);
Key hash_string(std::string_view text);
Key hash_number(double number);
/// The kind of a value, and of a string its runs of capitals, small letters, digits and signs.
Key look_of(const json::Value& value);
/// The hashes of containers, from those of their parts in order.
Key hash_array_start();
Key hash_object_start();

/// Keys are mixed already.
struct KeyHash {
  std::size_t operator()(Key key) const { return static_cast<std::size_t>(key); }
};

/// Holds at most `limit` entries; the least recently learned goes first. Its order never reaches an
/// output.
template <class T>
class BoundedTable {
public:
  explicit BoundedTable(std::size_t limit) : limit_(limit == 0 ? 1 : limit) {}

  const T* find(Key key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->second;
  }
  /// The entry, made when it is absent, now the most recent. Invalidates the entry that had to go.
  T& touch(Key key) {
    const auto found = index_.find(key);
    if (found != index_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    if (index_.size() >= limit_) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    order_.emplace_front(key, T{});
    index_.emplace(key, order_.begin());
    return order_.front().second;
  }
  std::size_t size() const { return index_.size(); }

private:
  using Order = std::list<std::pair<Key, T>>;
  std::size_t limit_;
  Order order_;
  std::unordered_map<Key, typename Order::iterator, KeyHash> index_;
};

}  // namespace forerun::prediction
