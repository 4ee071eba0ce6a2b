#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "coordinator/learned_contexts.hpp"

namespace forerun::prediction {

/// How far each context of a list is to be believed against those before it. A context keeps a
/// share for what it has not seen, as large as its doubt times its different followers (Witten and
/// Bell 1991, method C, with doubt 1). Where what follows depends on few things, contexts that know
/// more of them have seen less each and say nothing else: there a large doubt tells best. So of
/// some doubts that one is used which would have told best what came, by the sum of the logarithms,
/// apart for each context of the list and for how much it has seen. Pure; constant time and size.
class ContextTrust {
public:
  static constexpr std::size_t contexts_max = 10;
  /// Without history.
  static constexpr double first_doubt = 0.6;

  double doubt(std::size_t at, const Context& context) const;
  /// After these, in the order of the list, came `symbol`; null: never seen before. `prior`: as in
  /// LearnedContexts::likely().
  /// @pre at most contexts_max
  void learn(std::span<const Context* const> contexts, std::span<const Likely> prior, Key symbol);
  /// The same, of contexts that are looked up.
  void learn(const LearnedContexts& contexts, std::span<const Key> keys,
             std::span<const Likely> prior, Key symbol);

private:
  static constexpr std::size_t doubts = 7;
  static constexpr std::size_t kinds = 5;
  struct Record {
    std::array<float, doubts> told{};
    std::uint8_t best = 2;
  };
  static const std::array<double, doubts> doubt_of;
  static std::size_t kind_of(const Context& context);

  std::array<std::array<Record, kinds>, contexts_max> records_{};
};

}  // namespace forerun::prediction
