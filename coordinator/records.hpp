#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "coordinator/fillings.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

/// How the arguments of a call stand together in what the session has seen.
struct Together {
  std::size_t count = 0;  ///< So many are members of one object; 0: none with another.
  /// That object follows the one that the task's last call took from the same list, or is the
  /// list's first where it took none.
  bool is_next = false;
  bool is_previous = false;  ///< The same backwards: before that one, or the list's last.
};

/// Which objects of the session hold the candidates of a form: arguments often are members of one
/// object, an element of a list that is worked through. As of the memory, which stays unchanged.
class Records {
public:
  static constexpr std::size_t occurrences_max = 6;  ///< Of a value, the latest.
  static constexpr std::size_t objects_max = 64;     ///< That candidates of a form stand in.
  static constexpr std::size_t fillings_max = 4;
  static constexpr std::size_t steps_back_max = 16;  ///< To the task's last call.

  /// Nothing stands together where a form has but one parameter.
  Records(const SessionMemory& memory, const Form& form, const Values& values);
  Together together(const Filling& filling) const;
  /// Combinations whose values stand together as far as there are candidates: those that are not
  /// among `known`. Next and previous ones first, then as their shares have it.
  std::vector<Filling> fillings(const Fillings& known) const;

private:
  /// Bits are places in objects_.
  using Objects = std::uint64_t;

  std::uint32_t last_taken() const;
  void find_places();
  Filling filled_from(std::size_t object) const;

  const SessionMemory& memory_;
  const Form& form_;
  const Values& values_;
  struct Object {
    std::uint32_t at = 0;  ///< Of the memory.
    bool is_next = false, is_previous = false;
  };
  std::vector<Object> objects_;                ///< That hold candidates, at most objects_max.
  std::vector<std::vector<Objects>> holders_;  ///< Of each parameter's candidates.
};

}  // namespace forerun::prediction
