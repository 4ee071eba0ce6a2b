#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

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
/// output. Entries stay where they are until they go. Open addressing with linear probing; an
/// erased slot is closed by moving back what was displaced (Knuth, The Art of Computer Programming
/// 3, 6.4, algorithm R).
template <class T>
class BoundedTable {
public:
  explicit BoundedTable(std::size_t limit) : limit_(limit == 0 ? 1 : limit), slots_(slots_min) {}

  const T* find(Key key) const {
    const std::uint32_t at = slots_[slot_of(key)].entry;
    return at == none ? nullptr : &entries_[at].value;
  }
  /// The entry, made when it is absent, now the most recent. Invalidates the entry that had to go.
  T& touch(Key key) {
    std::size_t slot = slot_of(key);
    if (slots_[slot].entry != none) {
      const std::uint32_t at = slots_[slot].entry;
      take_out(at);
      put_first(at);
      return entries_[at].value;
    }
    std::uint32_t at = static_cast<std::uint32_t>(entries_.size());
    if (entries_.size() >= limit_) {
      at = last_;
      take_out(at);
      erase(slot_of(entries_[at].key));
      entries_[at].value = T{};
    } else {
      entries_.emplace_back();
      if (2 * entries_.size() > slots_.size()) {
        grow();
      }
    }
    slot = slot_of(key);
    slots_[slot] = {key, at};
    entries_[at].key = key;
    put_first(at);
    return entries_[at].value;
  }
  std::size_t size() const { return entries_.size(); }

private:
  static constexpr std::uint32_t none = 0xffffffff;
  static constexpr std::size_t slots_min = 16;
  struct Entry {
    Key key = 0;
    std::uint32_t newer = none, older = none;
    T value{};
  };
  struct Slot {
    Key key = 0;
    std::uint32_t entry = none;
  };

  /// Where the key is, or would be put.
  std::size_t slot_of(Key key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = KeyHash{}(key)&mask;
    while (slots_[at].entry != none && slots_[at].key != key) {
      at = (at + 1) & mask;
    }
    return at;
  }
  void erase(std::size_t hole) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = (hole + 1) & mask; slots_[at].entry != none; at = (at + 1) & mask) {
      const std::size_t home = KeyHash{}(slots_[at].key) & mask;
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        slots_[hole] = slots_[at];
        hole = at;
      }
    }
    slots_[hole] = {};
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.entry != none) {
        slots_[slot_of(slot.key)] = slot;
      }
    }
  }
  void take_out(std::uint32_t at) {
    const Entry& entry = entries_[at];
    (entry.newer == none ? first_ : entries_[entry.newer].older) = entry.older;
    (entry.older == none ? last_ : entries_[entry.older].newer) = entry.newer;
  }
  void put_first(std::uint32_t at) {
    entries_[at].newer = none;
    entries_[at].older = first_;
    (first_ == none ? last_ : entries_[first_].newer) = at;
    first_ = at;
  }

  std::size_t limit_;
  std::vector<Slot> slots_;
  std::deque<Entry> entries_;
  std::uint32_t first_ = none;  ///< The most recent.
  std::uint32_t last_ = none;
};

}  // namespace forerun::prediction
