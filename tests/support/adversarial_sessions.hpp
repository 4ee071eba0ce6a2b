#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "files/traces.hpp"

namespace forerun::test {

/// How sessions are made to mislead a predictor. Those that listen ask one that has learned from
/// all sessions before, and from this one so far, just as the engine's own has.
enum class Trick : std::uint8_t {
  earn_and_break,     ///< Listens: does as always until that is expected at 0.8, then otherwise.
  barely_earn,        ///< The same at 0.4, where guesses begin to be worth a try.
  every_guess_wrong,  ///< Listens: the call that is thought least likely.
  alternate,          ///< What follows is the one in one session, the other in the next.
  swap_in_blocks,     ///< The same for twenty sessions, and then for twenty the other way round.
  wrong_inputs,       ///< The task that is expected, with an input that nobody has seen.
  random_calls,       ///< One of forty tasks, with an input drawn anew.
};

struct AdversarialSettings {
  Trick trick = Trick::random_calls;
  std::size_t sessions = 200;
  std::size_t steps = 6;   ///< Of each session.
  std::uint64_t ways = 4;  ///< Calls that may come at one place.
  std::uint64_t seed = 1;
  std::vector<TraceSession> history{};  ///< What the engine has learned from before.
};

/// Latencies and think times are drawn between 0.2 s and 1.8 s. Equal settings give equal sessions.
std::vector<TraceSession> adversarial_sessions(const AdversarialSettings& settings);
std::string to_string(Trick trick);

}  // namespace forerun::test
