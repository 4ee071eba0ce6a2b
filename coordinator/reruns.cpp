#include "coordinator/reruns.hpp"

#include <algorithm>
#include <utility>

#include "base/json.hpp"

namespace forerun {

bool may_be_rerun(const Task& task, bool has_state) {
  return task.effect == Effect::pure && task.deterministic &&
         task.executor != ExecutorKind::world && !(has_state && sees_state(task));
}

Rerun* Reruns::running(BranchToken token) {
  const auto at = std::find_if(list_.begin(), list_.end(), [token](const Rerun& rerun) {
    return rerun.state == Rerun::State::running && rerun.token == token;
  });
  return at == list_.end() ? nullptr : &*at;
}

std::size_t Reruns::waiting() const {
  return static_cast<std::size_t>(std::count_if(list_.begin(), list_.end(), [](const Rerun& rerun) {
    return rerun.state == Rerun::State::waiting;
  }));
}

bool Reruns::has_ended() const {
  return std::all_of(list_.begin(), list_.end(),
                     [](const Rerun& rerun) { return rerun.state == Rerun::State::ended; });
}

void Reruns::settle(Rerun& rerun, const BranchEnded& ended) {
  const bool is_own_doing = ended.ending == Ending::returned || ended.ending == Ending::failed;
  if (!is_own_doing && rerun.attempts < attempts_max) {
    rerun.state = Rerun::State::waiting;
    return;
  }
  rerun.state = Rerun::State::ended;
  const std::optional<Call> call = std::exchange(rerun.call, std::nullopt);
  rerun.says_nothing = !is_own_doing;
  rerun.cause = json::clean_text(ended.cause, cause_bytes_max);
  if (ended.ending == Ending::returned) {
    if (const auto output = Output::parse(ended.output)) {
      rerun.output_hash = output->hash();
      rerun.cause.clear();
    } else {
      rerun.cause = "output: " + output.error().message;
    }
  }
  if (!rerun.says_nothing && !rerun.is_third && rerun.output_hash != rerun.recorded_hash) {
    Rerun third;
    third.seq = rerun.seq;
    third.call = call;
    third.task = rerun.task;
    third.recorded_by = rerun.recorded_by;
    third.recorded_hash = rerun.recorded_hash;
    third.not_on = rerun.not_on;
    third.is_third = true;
    list_.push_back(std::move(third));
  }
}

void Reruns::give_up(Rerun& rerun) {
  rerun.state = Rerun::State::ended;
  rerun.call.reset();
  rerun.says_nothing = true;
}

const Rerun* Reruns::third_of(const Rerun& rerun) const {
  const auto at = std::find_if(list_.begin(), list_.end(), [&rerun](const Rerun& other) {
    return other.is_third && other.seq == rerun.seq;
  });
  return at == list_.end() ? nullptr : &*at;
}

const Rerun* Reruns::verdict_of(const Rerun& rerun) const {
  const Rerun* third = third_of(rerun);
  const bool decides =
      third != nullptr && third->state == Rerun::State::ended && !third->says_nothing;
  return decides ? third : nullptr;
}

}  // namespace forerun
