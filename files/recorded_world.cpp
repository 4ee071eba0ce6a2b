#include "files/recorded_world.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "base/prng.hpp"

namespace forerun {
namespace {

/// One generator a call: the same wrong guess takes the same time on every node and in every run.
Prng draw_for(std::uint64_t seed, const Digest& call) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value = (value << 8U) | call.bytes[i];
  }
  return Prng(Prng(seed).next() ^ value);
}

}  // namespace

RecordedWorld::RecordedWorld(std::vector<TraceSession> sessions, ReadOnlyTasks read_only,
                             std::uint64_t seed, double speedup, const TimeModels& times,
                             ReadOnlyTasks pure)
    : seed_(seed), speedup_(speedup), pure_(std::move(pure)), latency_(times.latency) {
  FORERUN_ASSERT(speedup > 0);
  model_missing_times(sessions, seed, times);
  for (TraceSession& session : sessions) {
    std::string name = session.name;
    sessions_.try_emplace(std::move(name), indexed(std::move(session), read_only));
  }
}

RecordedWorld::Session RecordedWorld::indexed(TraceSession recorded,
                                              const ReadOnlyTasks& read_only) {
  Session session;
  const auto count = static_cast<std::uint32_t>(recorded.steps.size());
  session.steps.reserve(count);
  session.by_call.reserve(count);
  session.next_write.assign(count + 1, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    TraceStep& step = recorded.steps[i];
    session.by_call.emplace_back(step.call.hash(), i);
    session.steps.push_back({std::move(step.call), std::move(step.output), *step.latency});
  }
  std::sort(session.by_call.begin(), session.by_call.end());
  for (std::uint32_t i = count; i-- > 0;) {
    const bool is_write = !read_only.contains(session.steps[i].call.task());
    session.next_write[i] = is_write ? i : session.next_write[i + 1];
  }
  return session;
}

const RecordedWorld::Step* RecordedWorld::later_step(const Session& session, const Call& call,
                                                     std::uint32_t committed) const {
  const auto found = std::lower_bound(session.by_call.begin(), session.by_call.end(),
                                      std::pair(call.hash(), committed));
  if (found == session.by_call.end() || found->first != call.hash()) {
    return nullptr;
  }
  // A write before the nearest equal step is before every further one too. Here committed <= that
  // step.
  return pure_.contains(call.task()) || session.next_write[committed] >= found->second
             ? &session.steps[found->second]
             : nullptr;
}

RecordedWorld::Answer RecordedWorld::marker(const Call& call) const {
  json::Object members;
  members.set("forerun_marker", to_hex(call.hash()));
  return {json::Value(std::move(members)), faster(latency_.draw(draw_for(seed_, call.hash()))),
          true};
}

Duration RecordedWorld::faster(Duration latency) const {
  return Duration(std::llround(static_cast<double>(latency.count()) / speedup_));
}

Result<RecordedWorld::Answer> RecordedWorld::answer(const Call& call,
                                                    const WorldPosition& at) const {
  const auto found = sessions_.find(at.session);
  if (found == sessions_.end()) {
    return fail(Errc::not_found, "recorded world: no session \"" + at.session + "\"");
  }
  const Session& session = found->second;
  if (!at.step) {
    const Step* step = later_step(session, call, at.committed);
    return step == nullptr ? marker(call) : Answer{step->output, faster(step->latency), false};
  }
  const std::string place =
      "recorded world: session \"" + at.session + "\": step " + std::to_string(*at.step);
  if (*at.step >= session.steps.size()) {
    return fail(Errc::not_found,
                place + ": not recorded, expected one of " + std::to_string(session.steps.size()));
  }
  const Step& step = session.steps[*at.step];
  if (!(step.call == call)) {
    return fail(Errc::not_found, place + ": call of \"" + call.task() +
                                     "\", expected the recorded call of \"" + step.call.task() +
                                     "\"" +
                                     (step.call.task() == call.task() ? " with its input" : ""));
  }
  return Answer{step.output, faster(step.latency), false};
}

}  // namespace forerun
