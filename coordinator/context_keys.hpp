#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

#include "base/assert.hpp"
#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// A few keys of contexts (or of names), in order, without memory of their own on the heap.
class ContextKeys {
public:
  ContextKeys() = default;
  ContextKeys(std::initializer_list<Key> keys) {
    for (const Key key : keys) {
      push_back(key);
    }
  }
  void push_back(Key key) {
    FORERUN_ASSERT(size_ < keys_.size());
    keys_[size_++] = key;
  }
  void append(std::span<const Key> keys) {
    for (const Key key : keys) {
      push_back(key);
    }
  }
  operator std::span<const Key>() const { return std::span(keys_).first(size_); }
  std::size_t size() const { return size_; }
  Key operator[](std::size_t at) const { return keys_[at]; }
  Key back() const { return keys_[size_ - 1]; }
  std::span<const Key> from(std::size_t first) const {
    return std::span(keys_).first(size_).subspan(first);
  }

private:
  static constexpr std::size_t size_max = 24;
  std::array<Key, size_max> keys_;
  std::size_t size_ = 0;
};

}  // namespace forerun::prediction
