#include "coordinator/records.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace forerun::prediction {

namespace {

/// Calls `take` with the objects of outputs that hold a value, the latest first.
template <class Take>
void each_holder(const SessionMemory& memory, Key value, Take take) {
  std::uint32_t at = memory.latest_equal(value);
  for (std::size_t n = 0; n < Records::occurrences_max && at != 0; ++n) {
    const SeenValue& seen = memory.value(at);
    if (seen.side == Side::output && seen.parent != 0 &&
        memory.value(seen.parent).json->object() != nullptr) {
      take(seen.parent);
    }
    at = seen.same_value;
  }
}

/// The list that holds an object; 0: none does.
std::uint32_t list_of(const SessionMemory& memory, std::uint32_t object) {
  const std::uint32_t list = memory.value(object).parent;
  return list != 0 && memory.value(list).json->array() != nullptr ? list : 0;
}

/// What stands beside an object in its list, `step` places on; 0: there is none.
std::uint32_t beside(const SessionMemory& memory, std::uint32_t object, int step) {
  // A list's number follows those of all that it holds.
  const std::uint32_t list = list_of(memory, object);
  const std::uint32_t document = memory.value(object).document;
  for (std::uint32_t at = object + static_cast<std::uint32_t>(step);
       at != 0 && at < list && memory.value(at).document == document;
       at += static_cast<std::uint32_t>(step)) {
    if (memory.value(at).parent == list) {
      return at;
    }
  }
  return 0;
}

}  // namespace

Records::Records(const SessionMemory& memory, const Form& form, const Values& values)
    : memory_(memory), form_(form), values_(values) {
  if (values.size() < 2) {
    return;
  }
  holders_.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (std::size_t k = 0; k < std::min(values[i].size(), values_per_parameter_max); ++k) {
      Objects& holders = holders_[i].emplace_back(0);
      each_holder(memory, values[i][k].hash, [&](std::uint32_t object) {
        auto known = std::find_if(objects_.begin(), objects_.end(),
                                  [object](const Object& each) { return each.at == object; });
        if (known == objects_.end() && objects_.size() < objects_max) {
          known = objects_.insert(known, Object{object});
        }
        if (known != objects_.end()) {
          holders |= Objects{1} << static_cast<std::size_t>(known - objects_.begin());
        }
      });
    }
  }
  find_places();
}

/// What the task's last call was made of; 0: it is not known.
std::uint32_t Records::last_taken() const {
  const std::vector<SeenStep>& steps = memory_.steps();
  const std::size_t back_max = std::min(steps.size(), steps_back_max);
  for (std::size_t back = 1; back <= back_max; ++back) {
    const SeenStep& step = steps[steps.size() - back];
    if (step.task != form_.task_key) {
      continue;
    }
    std::vector<std::pair<std::uint32_t, std::size_t>> counts;
    std::size_t left = parameters_per_call_max;
    for (const json::Member& member : step.call.input()) {
      if (left-- == 0) {
        break;
      }
      each_holder(memory_, hash_value(member.value), [&](std::uint32_t object) {
        const auto known = std::find_if(counts.begin(), counts.end(),
                                        [&](const auto& each) { return each.first == object; });
        if (known != counts.end()) {
          ++known->second;
        } else {
          counts.emplace_back(object, 1);
        }
      });
    }
    const auto most =
        std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
          return a.second != b.second ? a.second < b.second : a.first > b.first;
        });
    return most != counts.end() && most->second > 1 ? most->first : 0;
  }
  return 0;
}

void Records::find_places() {
  if (objects_.empty()) {
    return;
  }
  const std::uint32_t taken = last_taken();
  const std::uint32_t list_begun = taken == 0 ? 0 : list_of(memory_, taken);
  for (Object& object : objects_) {
    const std::uint32_t list = list_of(memory_, object.at);
    if (list != 0) {
      const std::uint32_t before = list == list_begun ? taken : 0;
      object.is_next = beside(memory_, object.at, -1) == before;
      object.is_previous = beside(memory_, object.at, 1) == before;
    }
  }
}

Together Records::together(const Filling& filling) const {
  Objects one = 0;
  Objects several = 0;
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    const Objects holders = holders_[i][filling.chosen[i]];
    several |= one & holders;
    one |= holders;
  }
  Together best;
  for (; several != 0; several &= several - 1) {
    const auto at = static_cast<std::size_t>(std::countr_zero(several));
    std::size_t count = 0;
    for (std::size_t i = 0; i < holders_.size(); ++i) {
      count += (holders_[i][filling.chosen[i]] >> at) & 1U;
    }
    const Object& object = objects_[at];
    if (count > best.count || (count == best.count && object.is_next && !best.is_next)) {
      best = {count, object.is_next, object.is_previous};
    }
  }
  return best;
}

Filling Records::filled_from(std::size_t object) const {
  Filling filling;
  filling.input_hash = hash_object_start();
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    const auto in = std::find_if(holders_[i].begin(), holders_[i].end(), [object](Objects holders) {
      return ((holders >> object) & 1U) != 0;
    });
    const std::size_t chosen =
        in == holders_[i].end() ? 0 : static_cast<std::size_t>(in - holders_[i].begin());
    filling.chosen[i] = static_cast<std::uint8_t>(chosen);
    filling.share *= values_[i][chosen].share;
    filling.input_hash = mix(filling.input_hash, form_.name_keys[i], values_[i][chosen].hash);
  }
  return filling;
}

std::vector<Filling> Records::fillings(const Fillings& known) const {
  struct Found {
    Filling filling;
    bool is_in_turn = false;
  };
  std::vector<Found> found;
  for (std::size_t object = 0; object < objects_.size(); ++object) {
    const Filling filling = filled_from(object);
    const auto is_same = [&filling](const Filling& other) {
      return other.input_hash == filling.input_hash;
    };
    const Together together = this->together(filling);
    if (together.count > 1 && std::none_of(known.begin(), known.end(), is_same) &&
        std::none_of(found.begin(), found.end(),
                     [&](const Found& each) { return is_same(each.filling); })) {
      found.push_back({filling, together.is_next || together.is_previous});
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return a.is_in_turn != b.is_in_turn ? a.is_in_turn : a.filling.share > b.filling.share;
  });
  std::vector<Filling> fillings;
  for (std::size_t i = 0; i < std::min(found.size(), fillings_max); ++i) {
    fillings.push_back(found[i].filling);
  }
  return fillings;
}

}  // namespace forerun::prediction
