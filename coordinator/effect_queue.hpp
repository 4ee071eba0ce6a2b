#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "speculation/durable.hpp"
#include "speculation/hazard_tags.hpp"

namespace forerun {

struct EffectSettings {
  bool delivers = true;  ///< False: effects are recorded, and none is delivered (replay).
  Duration timeout = std::chrono::seconds(15);            ///< Of one HTTP request.
  Duration retry_first = std::chrono::milliseconds(500);  ///< After an attempt that failed.
  Duration retry_max = std::chrono::seconds(60);          ///< Each wait is twice the one before.
  std::uint32_t attempts_max = 10;                        ///< Then it is parked.
  std::size_t pending_max = 100'000;  ///< Not delivered, in the cluster; then no step is confirmed.
  std::size_t shown_max = 1'000;      ///< Listed in one answer.
};

/// The effects that are not delivered yet: which is next in each session, and when it may be tried.
/// One that is parked holds back the later ones of its session. Pure; not thread-safe.
class EffectQueue {
public:
  enum class State : std::uint8_t { waiting, running, parked };
  struct Item {
    EffectRow row;
    std::vector<TagSet> dirty{};  ///< What may change outside until it is delivered.
    bool is_durable = false;      ///< Only then it may be tried.
    State state = State::waiting;
    Instant due{};  ///< While waiting.
    BranchToken token{};
    std::optional<WorkerId> worker{};  ///< While running.
    Instant started{};                 ///< The same.
  };

  explicit EffectQueue(EffectSettings settings) : settings_(settings) {}

  /// @pre effects of a session come in the order of their IDs.
  void add(EffectRow row, std::vector<TagSet> dirty, bool is_durable);
  void durable(const EffectId& id);
  /// Those that may be tried now, longest due first.
  std::vector<EffectId> due(Instant now) const;
  std::optional<Instant> next_due() const;
  const Item* find(const EffectId& id) const;
  const Item* running(BranchToken token) const;
  void started(const EffectId& id, BranchToken token, const WorkerId& worker, Instant now);
  /// The attempt says nothing: it is tried again soon, and not counted.
  void lost(const EffectId& id, Instant now);
  /// True when that was its last attempt: it is parked now.
  bool failed(const EffectId& id, Instant now, std::string cause);
  /// A parked one may be tried again, with all its attempts.
  void redrive(const EffectId& id, Instant now);
  /// It is delivered or dropped.
  Item take(const EffectId& id);

  const std::map<EffectId, Item>& items() const { return items_; }
  std::size_t size() const { return items_.size(); }
  std::size_t running_count() const { return running_.size(); }
  std::size_t parked_count() const { return parked_; }

private:
  void wait_until(Item& item, Instant due);
  void offer_first(const RunId& run_id);

  EffectSettings settings_;
  std::map<EffectId, Item> items_;
  std::set<std::pair<Instant, EffectId>>
      due_;  ///< The first of each session, where it may be tried.
  std::unordered_map<std::uint64_t, EffectId> running_;  ///< By token; looked up only.
  std::size_t parked_ = 0;
};

}  // namespace forerun
