#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/time.hpp"

namespace forerun {

/// What each of some things usually takes, and what all of them do: smoothed as TCP smooths
/// round-trip times (RFC 6298 §2, an eighth of each new sample). Pure; as many entries as names.
class UsualTimes {
public:
  /// @pre name is not empty.
  void learn(const std::string& name, Duration sample);
  bool empty() const { return times_.empty(); }
  bool knows(const std::string& name) const { return times_.contains(name); }
  /// Of this name, else of all (as of the empty name); zero while nothing is known.
  Duration of(const std::string& name) const;

private:
  void smooth(const std::string& name, Duration sample);

  std::map<std::string, Duration, std::less<>> times_;  ///< Of all under the empty name.
};

/// The name under which the time from a session's opening to its first call is learned; from an
/// answer to the next call it is the answered step's task.
inline const std::string start_of_session = "start of a session";

/// The slot time that admission reckons with for a branch that usually takes so long: a quarter
/// more, since waste is what comes on top.
constexpr Duration expected_of(Duration usual) {
  return usual * 5 / 4;
}

/// The time that a session will not wait, if it asks after `until_asked` for branches that are
/// expected to take so long together: no more than they usually take.
constexpr Duration hidden_of(Duration expected, Duration until_asked) {
  const Duration usual = expected * 4 / 5;
  return usual < until_asked ? usual : until_asked;
}

}  // namespace forerun
