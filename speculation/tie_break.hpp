#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "speculation/seed_chain.hpp"

namespace forerun {

/// How a race's winner follows from its branches' validities.
enum class SelectRule { seeded, ranked, ordered, first };
std::string_view to_string(SelectRule rule);
Result<SelectRule> select_rule_from(std::string_view text);

/// What `ranked` orders a branch by: SHA-256(Sk ‖ name).
Digest rank_hash(const ChainValue& chain, std::string_view name);

/// The branch indices in the order in which `rule` prefers them: `ranked` by SHA-256(Sk ‖ name)
/// then index, all others in declared order. @pre names are unique.
std::vector<std::size_t> rank(SelectRule rule, const ChainValue& chain,
                              std::span<const std::string> names);

struct Selection {
  enum class State {
    undecided,  ///< A branch that the rule needs has not settled.
    winner,     ///< `index` won.
    none,       ///< Every branch settled invalid.
  };
  State state = State::undecided;
  std::size_t index = 0;  ///< Meaningful for `winner` only.
};

/// Applies `rule` to what is known. `validities` is in declared order, empty where a branch has not
/// settled. `arrival` lists branch indices in the order in which they settled; only `first` reads
/// it.
/// @pre names, validities have equal sizes, at least one.
Selection select(SelectRule rule, const ChainValue& chain, std::span<const std::string> names,
                 std::span<const std::optional<bool>> validities,
                 std::span<const std::size_t> arrival);

/// The validities that an entry records for a decided race, so that the record does not depend on
/// timing: `ranked` and `ordered` keep those up to the winner in rank order, `seeded` all, `first`
/// those that settled up to the winner. Every other branch is empty, settled or not. Without a
/// winner all are kept.
/// @pre the race is decided: `winner` is what select() says of these arguments, empty for `none`.
std::vector<std::optional<bool>> recorded_validities(
    SelectRule rule, const ChainValue& chain, std::span<const std::string> names,
    std::span<const std::optional<bool>> validities, std::span<const std::size_t> arrival,
    std::optional<std::size_t> winner);

/// The arrival order that an entry records under `first`: up to and including the winner; all
/// without one.
std::vector<std::size_t> recorded_arrival(std::span<const std::size_t> arrival,
                                          std::optional<std::size_t> winner);

/// The arrival order that a replay decides by: `arrival` as if its branches had settled in the
/// order `recorded`. A branch counts only once all recorded before it have settled; those that were
/// not recorded come last.
std::vector<std::size_t> replayed_arrival(std::span<const std::size_t> recorded,
                                          std::span<const std::size_t> arrival);

}  // namespace forerun
