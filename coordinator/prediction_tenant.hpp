#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "coordinator/call_features.hpp"
#include "coordinator/context_trust.hpp"
#include "coordinator/declared_prior.hpp"
#include "coordinator/form_values.hpp"
#include "coordinator/importance.hpp"
#include "coordinator/past_sessions.hpp"
#include "coordinator/reliability.hpp"
#include "coordinator/task_names.hpp"
#include "coordinator/written_dates.hpp"

namespace forerun::prediction {

/// What is learned of one tenant beside the tables of all tenants, where its key is part of theirs.
struct Tenant {
  Key key = 0;
  std::uint64_t used = 0;
  std::uint64_t steps = 0;  ///< And ends that it taught.
  ArgumentRecords arguments;
  CallRanker calls = first_call_ranker();
  PastSessions past;
  PastSessions past_turns;  ///< From one text to the next.
  TaskNames names;
  UsualYear years;  ///< Of days that its calls took.
  Importance importance;
  DeclaredRecord declared_calls;
  ContextTrust answered, open;  ///< In what next_contexts() gives.
  Reliability forms;            ///< Of what contexts say.
  Reliability whole_calls;      ///< Of what the ranker says.
  SureRecord sure;

  /// What comes next teaches how to rank. Counting what follows what costs little and is always
  /// done; predicting what was to be expected is most of a step's cost, and weights that have
  /// seen tens of thousands of steps move little.
  bool takes_lesson() {
    ++steps;
    return is_lesson();
  }
  /// The step that came last teaches it.
  bool is_lesson() const;
};

/// The tenants that are known, a bounded number: the one that was used least recently goes.
class Tenants {
public:
  explicit Tenants(std::size_t tenants_max) : tenants_max_(tenants_max) {}

  /// Made when it is absent. Its records go when another needs the room; what its sessions taught
  /// ages out of the tables of all, or serves it when it returns.
  Tenant& take(const std::string& name);
  /// Null: it is not known.
  const Tenant* find(std::string_view name) const;
  /// Everything learned is found by the tenant's key: another key finds nothing of it.
  void forget(std::string_view name);
  std::size_t size() const { return tenants_.size(); }

private:
  std::size_t tenants_max_;
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::map<std::string, std::uint64_t, std::less<>> forgotten_;  ///< How often, by tenant.
  std::uint64_t uses_ = 0;
};

}  // namespace forerun::prediction
