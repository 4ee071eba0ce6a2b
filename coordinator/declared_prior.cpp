#include "coordinator/declared_prior.hpp"

#include <algorithm>

namespace forerun::prediction {

namespace {

constexpr double alike_share = 0.4;
constexpr double flag_share = 0.5;
constexpr double number_share = 0.25;

/// The likelier the further ahead: 1, 1/2, 1/3, …
std::vector<DeclaredPrior::Follower> shared_out(const std::vector<std::string>& names,
                                                bool is_ranked) {
  std::vector<DeclaredPrior::Follower> followers;
  double all = 0;
  for (const std::string& name : names) {
    const double weight = is_ranked ? 1 / static_cast<double>(followers.size() + 1) : 1;
    followers.push_back({hash_text(name), weight});
    all += weight;
  }
  for (DeclaredPrior::Follower& each : followers) {
    each.share *= DeclaredPrior::followed_share / all;
  }
  return followers;
}

bool is_same_kind(const json::Value& a, const json::Value& b) {
  return (a.string() != nullptr) == (b.string() != nullptr) &&
         (a.number() != nullptr) == (b.number() != nullptr) &&
         (a.boolean() != nullptr) == (b.boolean() != nullptr) &&
         (a.array() != nullptr) == (b.array() != nullptr) &&
         (a.object() != nullptr) == (b.object() != nullptr);
}

/// An open output may still bring another value of this name.
bool comes_still(const Surroundings& around, Key name) {
  return std::any_of(around.open_tasks.begin(), around.open_tasks.end(), [&](Key open) {
    return around.output_names != nullptr && around.output_names->find(mix(open, name)) != nullptr;
  });
}

Candidate seen_candidate(const Surroundings& around, std::uint32_t at, double share, From from) {
  const SeenValue& value = around.memory.value(at);
  Candidate candidate;
  candidate.hash = value.hash;
  candidate.share = share;
  candidate.seen = at;
  candidate.value = value.json;
  candidate.origin = {Origin::Kind::rule, from, at};
  // As argument_bindings.cpp describes values: it is fresh text, text, of the last output.
  candidate.features[4] = around.memory.is_fresh(at) ? 1 : 0;
  candidate.features[5] = value.side == Side::text ? 1 : 0;
  candidate.features[9] =
      value.side == Side::output && value.document == around.memory.steps().size() ? 1 : 0;
  return candidate;
}

}  // namespace

DeclaredPrior::DeclaredPrior(const DeclaredTasks& tasks, bool with_descriptions)
    : has_descriptions_(with_descriptions) {
  std::vector<std::string> first;
  for (const DeclaredTask& task : tasks) {
    const Key name = hash_text(task.name);
    Declared& declared = tasks_[name];
    declared.name = task.name;
    declared.description = task.description;
    declared.has_example = task.example.has_value();
    declared.example = task.example.value_or(json::Object());
    if (task.next) {
      declared.next = shared_out(*task.next, true);
      declared.ends = task.next->empty();
    }
    if (task.starts) {
      first.push_back(task.name);
    }
    names_.add(task.name, with_descriptions ? task.description : "", name, name);
  }
  starting_ = shared_out(first, false);
}

const DeclaredPrior::Declared* DeclaredPrior::find(Key name) const {
  const auto found = tasks_.find(name);
  return found == tasks_.end() ? nullptr : &found->second;
}

const std::string& DeclaredPrior::description(Key name) const {
  static const std::string none;
  const Declared* declared = has_descriptions_ ? find(name) : nullptr;
  return declared == nullptr ? none : declared->description;
}

std::vector<Candidate> bind_by_example(const Surroundings& around, Key name,
                                       const json::Value& example, const DeclaredRecord& by_name) {
  const SessionMemory& memory = around.memory;
  if (const std::uint32_t at = memory.latest_named(name);
      at != 0 && !comes_still(around, name) && is_same_kind(*memory.value(at).json, example)) {
    return {seen_candidate(around, at, (by_name.hits + 2) / (by_name.tries + 3), From::named)};
  }
  if (const std::uint32_t at = memory.latest_like(example); at != 0) {
    return {seen_candidate(around, at, alike_share, From::last)};
  }
  if (example.number() == nullptr && example.boolean() == nullptr) {
    return {};
  }
  Candidate candidate;
  candidate.hash = hash_value(example);
  candidate.share = example.boolean() != nullptr ? flag_share : number_share;
  candidate.value = &example;
  candidate.features[2] = 1;  // A constant.
  return {candidate};
}

}  // namespace forerun::prediction
