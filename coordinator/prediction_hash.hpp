#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
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

/// Holds at most `limit` entries. One that was not touched for long goes first: a hand sweeps over
/// them, takes the mark that a touch left and stops where there is none (CLOCK: Corbató 1968).
/// Their order never reaches an output. Entries stay where they are until they go. Open addressing
/// with linear probing; an erased slot is closed by moving back what was displaced (Knuth, The Art
/// of Computer Programming 3, 6.4, algorithm R). The hand goes by entries, not by slots: it would
/// empty the slots behind it while those before it fill up, and probing takes its time in them.
template <class T>
class BoundedTable {
public:
  explicit BoundedTable(std::size_t limit) : limit_(limit == 0 ? 1 : limit), slots_(slots_min) {}

  const T* find(Key key) const {
    const std::uint32_t at = slots_[slot_of(key)].entry;
    return at == none ? nullptr : &entry(at);
  }
  /// The entry, made when it is absent, marked as touched. Invalidates the entry that had to go.
  T& touch(Key key) {
    std::size_t slot = slot_of(key);
    if (slots_[slot].entry != none) {
      is_touched_[slots_[slot].entry] = true;
      return entry(slots_[slot].entry);
    }
    std::uint32_t at = static_cast<std::uint32_t>(size());
    if (size() >= limit_) {
      at = make_room();
      entry(at) = T{};
      keys_[at] = key;
      is_touched_[at] = true;
    } else {
      if (size() % chunk_entries == 0) {
        chunks_.push_back(std::make_unique<T[]>(std::min(chunk_entries, limit_ - size())));
      }
      keys_.push_back(key);
      is_touched_.push_back(true);
      if (8 * size() > 5 * slots_.size()) {
        grow();
      }
    }
    slots_[slot_of(key)] = {key, at};
    return entry(at);
  }
  std::size_t size() const { return keys_.size(); }
  bool is_full() const { return size() >= limit_; }
  std::size_t limit() const { return limit_; }

  /// How many slots are looked at to find the key, or that it is absent: for tests.
  std::size_t probes(Key key) const {
    return ((slot_of(key) - KeyHash{}(key)) & (slots_.size() - 1)) + 1;
  }

  /// Many keys are looked up faster when the processor is told of all of them before: first of
  /// their slots, then of their entries.
  void prefetch_slot(Key key) const { __builtin_prefetch(&slots_[key & (slots_.size() - 1)]); }
  void prefetch_entry(Key key) const {
    if (const T* known = find(key)) {
      __builtin_prefetch(known);
    }
  }

private:
  static constexpr std::uint32_t none = 0xffffffff;
  static constexpr std::size_t slots_min = 16;
  static constexpr std::size_t chunk_entries = 1'024;
  /// So far the hand goes for one entry; then it takes what it finds.
  static constexpr std::size_t sweep_max = 64;
  struct Slot {
    Key key = 0;
    std::uint32_t entry = none;
  };

  T& entry(std::uint32_t at) { return chunks_[at / chunk_entries][at % chunk_entries]; }
  const T& entry(std::uint32_t at) const { return chunks_[at / chunk_entries][at % chunk_entries]; }
  /// Where the key is, or would be put.
  std::size_t slot_of(Key key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = KeyHash{}(key)&mask;
    while (slots_[at].entry != none && slots_[at].key != key) {
      at = (at + 1) & mask;
    }
    return at;
  }
  /// The entry that goes. @pre there is one.
  std::uint32_t make_room() {
    for (std::size_t swept = 0;; is_touched_[hand_] = false, hand_ = after(hand_)) {
      if (!is_touched_[hand_] || ++swept >= sweep_max) {
        const std::size_t at = hand_;
        hand_ = after(at);
        erase(slot_of(keys_[at]));
        prefetch_next();
        return static_cast<std::uint32_t>(at);
      }
    }
  }
  std::size_t after(std::size_t at) const { return at + 1 < size() ? at + 1 : 0; }
  /// What goes soon is on its way from the machine's memory when it goes.
  void prefetch_next() const {
    constexpr std::size_t entries_ahead = 4;
    const std::size_t end = std::min(hand_ + entries_ahead, size());
    for (std::size_t at = hand_; at < end; ++at) {
      if (!is_touched_[at]) {
        prefetch_slot(keys_[at]);
        __builtin_prefetch(&entry(static_cast<std::uint32_t>(at)), 1);
      }
    }
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

  std::size_t limit_;
  std::size_t hand_ = 0;
  std::vector<Slot> slots_;
  std::vector<Key> keys_;  ///< Of the entries.
  std::vector<bool> is_touched_;
  std::vector<std::unique_ptr<T[]>> chunks_;
};

/// Lets a key pass that has come before, of about as many as its table holds: what comes but once
/// pushes nothing out of a full table (the doorkeeper of TinyLFU, Einziger et al. 2017). Some pass
/// too early.
class Doorkeeper {
public:
  template <class T>
  bool lets_in(const BoundedTable<T>& table, Key key) {
    if (!table.is_full() || table.find(key) != nullptr) {
      return true;
    }
    if (came_.empty() || count_ >= table.limit()) {
      came_.assign(std::max<std::size_t>(1, std::bit_ceil(table.limit()) * bits_each / word_bits),
                   0);
      count_ = 0;
    }
    const Key bit = mix(key, 0xd0) % (came_.size() * word_bits);
    std::uint64_t& word = came_[bit / word_bits];
    const std::uint64_t mark = std::uint64_t{1} << (bit % word_bits);
    const bool has_come = (word & mark) != 0;
    word |= mark;
    count_ += has_come ? 0 : 1;
    return has_come;
  }

private:
  static constexpr std::size_t bits_each = 4;
  static constexpr std::size_t word_bits = 64;
  std::vector<std::uint64_t> came_;
  std::size_t count_ = 0;
};

}  // namespace forerun::prediction
