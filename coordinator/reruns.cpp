#include "coordinator/reruns.hpp"

#include <algorithm>
#include <utility>

#include "base/json.hpp"
#include "speculation/explanation.hpp"
#include "speculation/session_state.hpp"

namespace forerun {
namespace {

Result<RunAnswer> answer_of(const BranchEnded& ended) {
  const auto output = Output::parse(ended.output);
  if (!output) {
    return fail(output.error().code, "output: " + output.error().message);
  }
  RunAnswer answer;
  answer.output = output->hash();
  const auto writes = write_set_of(ended.writes);
  if (!writes) {
    return tl::unexpected(writes.error());
  }
  if (*writes) {
    answer.writes = (*writes)->hash();
  }
  if (!ended.effects.empty()) {
    const auto effects = Output::parse(ended.effects);
    if (!effects) {
      return fail(effects.error().code, "effects: " + effects.error().message);
    }
    if (effects->value() != json::Value(json::Array())) {
      answer.effects = effects->hash();
    }
  }
  return answer;
}

}  // namespace

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
    auto answer = answer_of(ended);
    if (answer) {
      rerun.answer = *answer;
      rerun.cause.clear();
    } else {
      rerun.cause = json::clean_text(answer.error().message, cause_bytes_max);
    }
  }
  if (!rerun.says_nothing && !rerun.is_third && rerun.answer != rerun.recorded) {
    Rerun third;
    third.seq = rerun.seq;
    third.call = call;
    third.task = rerun.task;
    third.whose = rerun.whose;
    third.recorded_by = rerun.recorded_by;
    third.recorded_on = rerun.recorded_on;
    third.recorded_node = rerun.recorded_node;
    third.recorded = rerun.recorded;
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
