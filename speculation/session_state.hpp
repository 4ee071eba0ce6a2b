#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "speculation/call.hpp"

namespace forerun {

inline constexpr std::size_t state_bytes_max = 256U << 10U;   ///< Of canonical text.
inline constexpr std::size_t writes_bytes_max = 256U << 10U;  ///< The same, of one write-set.

/// `target` as RFC 7396 changes it by `patch`.
json::Value merge_patch(json::Value target, const json::Value& patch);

/// Reads what a branch changes in its session's state: a merge patch (RFC 7396) that is an object.
/// Nothing for an empty text and for `{}`. Errors: invalid, too_large (writes_bytes_max).
Result<std::optional<Output>> write_set_of(std::string_view text);

/// What a task gets of its session's state: JSON pointers, each through objects only; empty: all.
using StatePaths = std::optional<std::vector<std::string>>;

/// The paths of both.
StatePaths joined(const StatePaths& a, const StatePaths& b);

/// A session's state at one moment: a JSON object with its canonical text and hash. Immutable,
/// cheap to copy.
class SessionState {
public:
  /// `{}`.
  SessionState();
  /// Errors: invalid unless `text` is one JSON object, too_large (state_bytes_max).
  static Result<SessionState> parse(std::string_view text);

  const std::string& canonical() const { return whole_.canonical(); }
  const Digest& hash() const { return whole_.hash(); }
  const json::Value& value() const { return whole_.value(); }
  bool empty() const { return whole_.value().object()->empty(); }

  /// After a write-set. Errors: too_large (state_bytes_max).
  Result<SessionState> patched(const Output& writes) const;
  /// What lies at these paths, at the same places; what is not there is left out.
  SessionState part(const StatePaths& paths) const;

private:
  explicit SessionState(Output whole) : whole_(std::move(whole)) {}
  Output whole_;
};

}  // namespace forerun
