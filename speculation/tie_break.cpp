#include "speculation/tie_break.hpp"

#include <algorithm>
#include <numeric>

#include "base/assert.hpp"

namespace forerun {

std::string_view to_string(SelectRule rule) {
  switch (rule) {
    case SelectRule::seeded:
      return "seeded";
    case SelectRule::ranked:
      return "ranked";
    case SelectRule::ordered:
      return "ordered";
    case SelectRule::first:
      return "first";
  }
  FORERUN_ASSERT(false);
}

Result<SelectRule> select_rule_from(std::string_view text) {
  for (const SelectRule rule :
       {SelectRule::seeded, SelectRule::ranked, SelectRule::ordered, SelectRule::first}) {
    if (to_string(rule) == text) {
      return rule;
    }
  }
  return fail(Errc::invalid,
              "select: \"" + std::string(text) + "\", expected seeded, ranked, ordered or first");
}

Digest rank_hash(const ChainValue& chain, std::string_view name) {
  return sha256_concat(chain.bytes, name);
}

std::vector<std::size_t> rank(SelectRule rule, const ChainValue& chain,
                              std::span<const std::string> names) {
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (rule == SelectRule::ranked && names.size() > 1) {
    std::vector<Digest> keys;
    keys.reserve(names.size());
    for (const std::string& name : names) {
      keys.push_back(rank_hash(chain, name));
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return keys[a] < keys[b]; });
  }
  return order;
}

Selection select(SelectRule rule, const ChainValue& chain, std::span<const std::string> names,
                 std::span<const std::optional<bool>> validities,
                 std::span<const std::size_t> arrival) {
  FORERUN_ASSERT(!names.empty() && names.size() == validities.size());
  const bool all_settled = std::all_of(validities.begin(), validities.end(),
                                       [](const auto& v) { return v.has_value(); });
  switch (rule) {
    case SelectRule::seeded: {
      if (!all_settled) {
        return {};
      }
      std::vector<std::size_t> valid;
      for (std::size_t i = 0; i < validities.size(); ++i) {
        if (*validities[i]) {
          valid.push_back(i);
        }
      }
      if (valid.empty()) {
        return {Selection::State::none, 0};
      }
      return {Selection::State::winner, valid[seed_of(chain) % valid.size()]};
    }
    case SelectRule::ranked:
    case SelectRule::ordered:
      for (const std::size_t i : rank(rule, chain, names)) {
        if (!validities[i]) {
          return {};
        }
        if (*validities[i]) {
          return {Selection::State::winner, i};
        }
      }
      return {Selection::State::none, 0};
    case SelectRule::first:
      for (const std::size_t i : arrival) {
        if (i < validities.size() && validities[i].value_or(false)) {
          return {Selection::State::winner, i};
        }
      }
      return {all_settled ? Selection::State::none : Selection::State::undecided, 0};
  }
  FORERUN_ASSERT(false);
}

std::vector<std::optional<bool>> recorded_validities(
    SelectRule rule, const ChainValue& chain, std::span<const std::string> names,
    std::span<const std::optional<bool>> validities, std::span<const std::size_t> arrival,
    std::optional<std::size_t> winner) {
  FORERUN_ASSERT(names.size() == validities.size());
  if (!winner || rule == SelectRule::seeded) {
    return {validities.begin(), validities.end()};
  }
  std::vector<std::optional<bool>> recorded(validities.size());
  const std::vector<std::size_t> order = rule == SelectRule::first
                                             ? std::vector(arrival.begin(), arrival.end())
                                             : rank(rule, chain, names);
  for (const std::size_t i : order) {
    if (i < validities.size()) {
      recorded[i] = validities[i];
    }
    if (i == *winner) {
      break;
    }
  }
  return recorded;
}

std::vector<std::size_t> recorded_arrival(std::span<const std::size_t> arrival,
                                          std::optional<std::size_t> winner) {
  std::vector<std::size_t> recorded;
  for (const std::size_t i : arrival) {
    recorded.push_back(i);
    if (winner == i) {
      break;
    }
  }
  return recorded;
}

std::vector<std::size_t> replayed_arrival(std::span<const std::size_t> recorded,
                                          std::span<const std::size_t> arrival) {
  const auto holds = [](std::span<const std::size_t> list, std::size_t index) {
    return std::find(list.begin(), list.end(), index) != list.end();
  };
  std::vector<std::size_t> order;
  for (const std::size_t i : recorded) {
    if (!holds(arrival, i)) {
      return order;
    }
    order.push_back(i);
  }
  for (const std::size_t i : arrival) {
    if (!holds(recorded, i)) {
      order.push_back(i);
    }
  }
  return order;
}

}  // namespace forerun
