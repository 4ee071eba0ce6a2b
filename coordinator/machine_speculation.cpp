#include <algorithm>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "coordinator/prediction_report.hpp"
#include "speculation/planted.hpp"

namespace forerun {
namespace {

/// An overtaken speculation that runs goes on only while it is at least this probable.
constexpr double keep_running_above = 0.25;

/// Where nothing may start: what is expected then is the session's end.
constexpr double end_expected_above = 0.5;

/// Lessons beyond this are taught at once.
constexpr std::size_t lessons_max = 256;
/// In a session of an older term that is not learned whole yet: at each new lesson, more than one,
/// so that what is left becomes less; and before it is looked ahead in.
constexpr std::size_t lessons_for_one = 4;
constexpr std::size_t lessons_before_looking = 16;

}  // namespace

/// A place in the tree of what may happen, from which more is predicted.
struct CoordinatorMachine::ImaginedNode {
  std::vector<ImaginedStep> path;
  double confidence = 1;
  std::uint32_t depth = 0;
  std::optional<StepNumber> parent_step;
  std::optional<SpeculationNumber> parent;
  Duration until_asked{};  ///< From now until the call after it comes.
};

/// A prediction as admission sees it.
struct CoordinatorMachine::Weighed {
  CallPlan plan{};
  std::vector<std::size_t> branches{};  ///< Those that start ahead.
  TagSet reads{};
  StatePaths state_paths{};
  Candidate candidate{};
  std::optional<std::string> obstacle{};  ///< Why it may not start now.
};

void CoordinatorMachine::learn_later(Lesson lesson) {
  lessons_.push_back(std::move(lesson));
  if (lessons_.size() > lessons_max) {
    learn();
  }
}

void CoordinatorMachine::learn() {
  for (; !lessons_.empty(); lessons_.pop_front()) {
    Lesson& lesson = lessons_.front();
    const RunId run_id = lesson.run_id;
    if (open_past_.contains(run_id)) {
      open_past_.add(std::move(lesson));
      catch_up(run_id, lessons_for_one);
    } else {
      teach(lesson);
    }
  }
}

void CoordinatorMachine::teach(const Lesson& lesson) {
  if (const auto* text = std::get_if<std::string>(&lesson.what)) {
    predictor_->text(lesson.run_id, lesson.tenant, *text);
  } else if (const auto* step = std::get_if<Lesson::Step>(&lesson.what)) {
    predictor_->observe(lesson.run_id, lesson.tenant, step->call, step->output);
  } else {
    predictor_->end(lesson.run_id);
  }
}

/// Looking ahead costs time that an answer must not wait for: it is done when all else is.
void CoordinatorMachine::look_ahead_later(Session& session) {
  if (session.looks_ahead() && !session.is_ended && !session.is_ahead_due) {
    session.is_ahead_due = true;
    ahead_.push_back(session.run_id);
  }
}

/// Where a session stands: behind its open steps.
CoordinatorMachine::ImaginedNode CoordinatorMachine::root_of(const Session& session) const {
  ImaginedNode root;
  for (const OpenStep& step : session.open) {
    ImaginedStep imagined{step.work.call, {}};
    if (step.winner) {
      imagined.output = step.work.branches[*step.winner].output;
    }
    root.path.push_back(std::move(imagined));
  }
  if (session.confirmed() > 0) {
    root.parent_step = StepNumber{session.confirmed() - 1};
  }
  root.until_asked = until_asked(session);
  return root;
}

/// Predicts beyond what runs and what was run ahead, most probable first, and starts what admission
/// lets through.
void CoordinatorMachine::speculate(Session& session) {
  if (!session.looks_ahead() || session.is_ended || membership_.total_slots() == 0) {
    return;
  }
  pump();
  session.expected.clear();
  catch_up(session.run_id, lessons_before_looking);
  if (open_past_.contains(session.run_id)) {
    look_ahead_later(session);  // Others go on meanwhile.
    return;
  }
  ImaginedNode root = root_of(session);
  const double least = least_confidence();
  std::vector<ImaginedNode> nodes;
  nodes.push_back(std::move(root));
  for (std::uint32_t asked = 0; !nodes.empty() && asked < settings_.predictions_per_event_max;
       ++asked) {
    const auto best = std::max_element(
        nodes.begin(), nodes.end(),
        [](const ImaginedNode& a, const ImaginedNode& b) { return a.confidence < b.confidence; });
    const ImaginedNode node = std::move(*best);
    nodes.erase(best);
    Question question;
    question.beyond = node.path;
    question.limit = settings_.predictions_wanted;
    question.probability_min = std::min(keep_running_above, least) / node.confidence;
    question.wants = [this](const std::string& task) { return may_speculate(task); };
    const std::vector<Prediction> predictions = predictor_->predict(session.run_id, question);
    if (node.depth == 0 && predictions.empty()) {
      const bool ends = predictor_->end_probability(session.run_id, question) >= end_expected_above;
      ++counters_.not_started[to_string(ends ? Verdict::session_ends : Verdict::too_unlikely)];
    }
    if (node.depth == 0 && session.runs_ahead()) {
      hang_under_root(session, node, predictions);
    }
    for (const Prediction& prediction : predictions) {
      const double joint =
          node.confidence * prediction.probability * prediction.premise_probability;
      if (!session.runs_ahead()) {
        if (joint >= least) {
          foresee(session, node, prediction, joint);
        }
        continue;
      }
      Speculation* const same = same_call(session, prediction.call, node.parent);
      if (same != nullptr && joint >= keep_running_above && same->parent == node.parent &&
          same->parent_step == node.parent_step) {
        also_expected(*same, prediction);
      }
      if (joint < least) {
        ++counters_.not_started[to_string(Verdict::too_unlikely)];
        if (node.depth == 0) {
          session.expected[prediction.call.hash()] = {joint, to_string(Verdict::too_unlikely)};
        }
        continue;
      }
      SpeculationNumber number{session.speculation_count};
      if (same != nullptr) {
        number = same->number;
      } else if (auto why = start_speculation(session, node, prediction, joint)) {
        if (node.depth == 0) {
          session.expected[prediction.call.hash()] = {joint, std::move(*why)};
        }
        continue;
      }
      if (node.depth == 0) {
        session.foreseen.insert(prediction.call.task());
      }
      if (node.depth + 1 >= settings_.admission.depth_max) {
        continue;
      }
      ImaginedNode child;
      child.path = node.path;
      if (prediction.premise && !child.path.empty()) {
        child.path.back().output = prediction.premise;
      }
      const Work& work = session.speculations.at(number).work;
      child.path.push_back(
          {work.call, work.branches.size() == 1 ? work.branches.front().output : std::nullopt});
      child.confidence = joint;
      child.depth = node.depth + 1;
      child.parent = number;
      const Duration ran = now_ - work.began;
      const Duration left =
          child.path.back().output ? Duration::zero() : usual(work.call.task()) - ran;
      child.until_asked = std::max(node.until_asked, left) + usual_gap(work.call.task());
      nodes.push_back(std::move(child));
    }
  }
}

/// Whether the speculation is `below`, or `below` hangs under it.
bool CoordinatorMachine::is_above(const Session& session, SpeculationNumber number,
                                  std::optional<SpeculationNumber> below) {
  while (below && *below != number) {
    const auto at = session.speculations.find(*below);
    below = at == session.speculations.end() ? std::nullopt : at->second.parent;
  }
  return below.has_value();
}

/// The first one that runs, or ran, the call ahead of what follows `after`. One above that is for
/// an earlier call: who checks, mends and checks again asks the same twice.
const Speculation* CoordinatorMachine::same_call(const Session& session, const Call& call,
                                                 std::optional<SpeculationNumber> after) {
  for (const auto& [number, speculation] : session.speculations) {
    if (speculation.work.call == call && !is_above(session, number, after)) {
      return &speculation;
    }
  }
  return nullptr;
}

Speculation* CoordinatorMachine::same_call(Session& session, const Call& call,
                                           std::optional<SpeculationNumber> after) {
  const Speculation* same = same_call(std::as_const(session), call, after);
  return same == nullptr ? nullptr : &session.speculations.at(same->number);
}

std::optional<Digest> CoordinatorMachine::premise_of(const Prediction& prediction) {
  return prediction.premise ? std::optional<Digest>(prediction.premise->hash()) : std::nullopt;
}

/// It is expected whatever the output: one that turns out otherwise must not end it.
void CoordinatorMachine::also_expected(Speculation& speculation, const Prediction& prediction) {
  if (speculation.premise != premise_of(prediction)) {
    speculation.premise.reset();
  }
}

/// What is expected next anyway hangs under the session itself from now on, so that it outlives the
/// way it was first predicted on; what was overtaken ends.
void CoordinatorMachine::hang_under_root(Session& session, const ImaginedNode& root,
                                         const std::vector<Prediction>& predictions) {
  std::map<Digest, double> expected;
  std::set<SpeculationNumber> hung;
  for (const Prediction& prediction : predictions) {
    const double joint = prediction.probability * prediction.premise_probability;
    double& known = expected[prediction.call.hash()];
    known = std::max(known, joint);
    Speculation* same =
        joint < keep_running_above ? nullptr : same_call(session, prediction.call, {});
    if (same == nullptr) {
      continue;
    }
    if (hung.contains(same->number)) {
      also_expected(*same, prediction);
    } else if (same->state_hash ==
               imagined_state(session, root.parent_step, {}).part(same->state_paths).hash()) {
      same->parent.reset();
      same->parent_step = root.parent_step;
      same->premise = premise_of(prediction);
      hung.insert(same->number);
    }
  }
  drop_overtaken(session, expected);
}

/// Which branches start ahead, what they read and what of the state they are given.
void CoordinatorMachine::plan_ahead(const Session& session, const Call& call,
                                    Weighed& weighed) const {
  const CallPlan& plan = weighed.plan;
  const auto favourite = usefulness_.favourite(session.tenant, call.task());
  for (std::size_t i = 0; i < plan.tasks.size(); ++i) {
    if (!favourite || *favourite == i) {
      weighed.branches.push_back(i);
    }
  }
  TagSet& reads = weighed.reads;
  reads = read_tags(*plan.tasks.front(), call.input(), session.tenant, to_string(session.run_id));
  for (std::size_t i = 1; i < plan.tasks.size(); ++i) {
    const TagSet more =
        read_tags(*plan.tasks[i], call.input(), session.tenant, to_string(session.run_id));
    // Branches that read in two spaces, or anything undeclared, read everything of the wider one.
    if (reads.tags.empty() && !reads.everything) {
      reads = more;
    } else if (more.everything || (!more.tags.empty() && more.space != reads.space)) {
      reads.everything = true;
      reads.space = std::max(reads.space, more.space);  // "tenant:" sorts after "session:".
    } else {
      reads.tags.insert(reads.tags.end(), more.tags.begin(), more.tags.end());
      std::sort(reads.tags.begin(), reads.tags.end());
      reads.tags.erase(std::unique(reads.tags.begin(), reads.tags.end()), reads.tags.end());
    }
  }
  weighed.state_paths = plan.tasks.front()->state;
  for (std::size_t i = 1; i < plan.tasks.size(); ++i) {
    weighed.state_paths = joined(weighed.state_paths, plan.tasks[i]->state);
  }
}

CoordinatorMachine::Weighed CoordinatorMachine::weigh(const Session& session,
                                                      const ImaginedNode& node, const Call& call,
                                                      double joint) const {
  Weighed weighed;
  auto plan = settings_.catalog.plan(call.task());
  if (!plan) {
    weighed.obstacle = "no such task";
    return weighed;
  }
  if (!may_speculate(call.task())) {
    weighed.obstacle = "writes";
    return weighed;
  }
  weighed.plan = std::move(*plan);
  plan_ahead(session, call, weighed);
  Candidate& candidate = weighed.candidate;
  candidate.confidence = joint;
  candidate.depth = node.depth + 1;
  const std::size_t needed = weighed.branches.size() + slots_left_free();
  candidate.has_free_slot = membership_.free_slots() >= needed;
  candidate.has_idle_slot = membership_.free_slots() >= queued_ + needed;
  for (const std::size_t i : weighed.branches) {
    candidate.expected += typical(*weighed.plan.tasks[i]);
  }
  candidate.reserved = still_to_run();
  candidate.hidden = hidden_of(candidate.expected, node.until_asked);
  candidate.at_stake = candidate.hidden;
  for (const auto& [number, other] : session.speculations) {
    candidate.running_in_session += other.is_finished() ? 0 : 1;
  }
  candidate.running_in_cluster = static_cast<std::uint32_t>(speculative_.size());
  const Verdict verdict = admit(settings_.admission, budget_, candidate);
  if (std::any_of(weighed.plan.tasks.begin(), weighed.plan.tasks.end(),
                  [&](const Task* task) { return overdue_.is_barred(task->name); })) {
    weighed.obstacle = "ignores its stop";
  } else if (is_dirty(weighed.reads)) {
    weighed.obstacle = "dirty";
  } else if (is_state_open(session, node.parent, weighed.state_paths)) {
    weighed.obstacle = "state open";
  } else if (verdict != Verdict::start) {
    weighed.obstacle = to_string(verdict);
  } else if (std::any_of(weighed.branches.begin(), weighed.branches.end(), [&](std::size_t i) {
               return pool_is_full(weighed.plan.tasks[i]->pool);
             })) {
    weighed.obstacle = "pool full";
  }
  return weighed;
}

/// What a session that runs nothing ahead would have run.
void CoordinatorMachine::foresee(Session& session, const ImaginedNode& node,
                                 const Prediction& prediction, double joint) {
  const std::string& task = prediction.call.task();
  if (weigh(session, node, prediction.call, joint).obstacle) {
    return;
  }
  if (session.mode == SpeculationMode::on) {
    session.foreseen.insert(task);  // Also while it is turned off: the comparison goes on.
  } else if (!usefulness_.is_off(session.tenant, task) &&
             session.shadow.size() < settings_.shadow_calls_max &&
             session.shadow.insert(prediction.call.hash()).second) {
    ++counters_.shadow_calls;
  }
}

std::optional<std::string> CoordinatorMachine::start_speculation(Session& session,
                                                                 const ImaginedNode& node,
                                                                 const Prediction& prediction,
                                                                 double joint) {
  const std::string& task = prediction.call.task();
  Weighed weighed = weigh(session, node, prediction.call, joint);
  if (!weighed.obstacle && !usefulness_.allows(now_, session.tenant, task)) {
    weighed.obstacle = std::string(to_string(DiscardCause::turned_off));
  }
  if (weighed.obstacle) {
    ++counters_.not_started[*weighed.obstacle];
    return weighed.obstacle;
  }
  const std::vector<std::size_t> branches = std::move(weighed.branches);
  const SessionState state = imagined_state(session, node.parent_step, node.parent);
  const SpeculationNumber number{session.speculation_count++};
  Speculation speculation{number,
                          node.parent_step,
                          node.parent,
                          premise_of(prediction),
                          node.depth + 1,
                          joint,
                          Work{prediction.call, std::move(weighed.plan)},
                          std::move(weighed.reads),
                          std::move(weighed.state_paths)};
  speculation.state_hash = state.part(speculation.state_paths).hash();
  speculation.foresight = {node.parent_step, node.parent, speculation.premise, prediction.reasons};
  speculation.work.branches.resize(speculation.work.plan.names.size());
  Speculation& placed = session.speculations.emplace(number, std::move(speculation)).first->second;
  readers_[placed.reads.space].emplace(session.run_id, number);
  ++counters_.speculations;
  for (const std::size_t i : branches) {
    const auto worker = place(*placed.work.plan.tasks[i], session.tenant);
    if (!worker) {
      break;  // Slots are free only on nodes that lag behind.
    }
    placed.work.branches[i].value = joint;
    dispatch(session, placed.work, i, {session.run_id, {}, number, i}, *worker, state);
  }
  if (placed.work.began == Instant{}) {
    discard(session, number, DiscardCause::preempted);
    return "no worker is up to date";
  }
  return std::nullopt;
}

/// Says what was turned off and on, and ends what runs ahead for it.
void CoordinatorMachine::apply_turns() {
  for (const Usefulness::Turn& turn : usefulness_.take_turns()) {
    out_.log.push_back("task " + turn.task + " of tenant " + turn.tenant + ": " + turn.text);
    if (!turn.drops) {
      continue;
    }
    for (auto& [run_id, session] : sessions_) {
      std::vector<SpeculationNumber> dropped;
      for (const auto& [number, speculation] : session.speculations) {
        if (session.tenant == turn.tenant && speculation.work.call.task() == turn.task) {
          dropped.push_back(number);
        }
      }
      for (const SpeculationNumber number : dropped) {
        if (session.speculations.contains(number)) {
          discard(session, number, DiscardCause::turned_off);
        }
      }
    }
  }
}

/// Beside what a look ahead does: asks for everything, also what may never run ahead, and starts
/// nothing.
void CoordinatorMachine::show(const ClientRequest& request, const ShowPredictions& body) {
  Session* session = session_for(request, body.run_id, true);
  if (session == nullptr) {
    return;
  }
  learn();
  catch_up(session->run_id, lessons_before_looking);
  const ImaginedNode root = root_of(*session);
  Question question;
  question.beyond = root.path;
  question.limit = settings_.predictions_wanted;
  question.explains = true;
  json::Array list;
  // What would be said of a session that is not learned whole is said of one of its earlier steps.
  const bool is_learned = !open_past_.contains(session->run_id);
  const Expectation expected =
      is_learned ? predictor_->expect(session->run_id, question) : Expectation();
  for (const Prediction& prediction : expected.calls) {
    list.emplace_back(prediction_report(*session, root, prediction));
  }
  json::Array running;
  for (const OpenStep& step : session->open) {
    json::Object open;
    open.set("step", std::uint64_t{step.number.value});
    open.set("task", step.work.call.task());
    running.emplace_back(std::move(open));
  }
  json::Object report;
  report.set("run_id", to_string(session->run_id));
  report.set("after_step", session->steps.count() == 0
                               ? json::Value()
                               : json::Value(std::uint64_t{session->steps.count() - 1}));
  report.set("in_control_share", session->is_control);
  report.set("not_learned_yet", open_past_.steps(session->run_id));
  report.set("running", std::move(running));
  report.set("predictions", std::move(list));
  report.set("tasks", report_of(expected.tasks));
  report.set("end_probability",
             is_learned ? json::Value(predictor_->end_probability(session->run_id, question))
                        : json::Value());
  reply(request.id, JsonReport{std::move(report)});
}

/// What is expected, and what admission makes of it.
json::Object CoordinatorMachine::prediction_report(const Session& session, const ImaginedNode& root,
                                                   const Prediction& prediction) const {
  const double joint = prediction.probability * prediction.premise_probability;
  const double least = least_confidence();
  const Weighed weighed = weigh(session, root, prediction.call, joint);
  const Speculation* same = same_call(session, prediction.call, root.parent);
  json::Value because;
  if (same == nullptr) {
    if (session.mode == SpeculationMode::off) {
      because = "speculation is off in this session";
    } else if (session.mode == SpeculationMode::shadow) {
      because = "shadow: predicted, never run";
    } else if (session.is_control) {
      because = "this session is in the control share: predicted, never run";
    } else if (membership_.total_slots() == 0) {
      because = "no worker is in the cluster";
    } else if (weighed.obstacle) {
      because = *weighed.obstacle;
    } else if (joint < least) {
      because = to_string(Verdict::too_unlikely);
    } else if (usefulness_.is_off(session.tenant, prediction.call.task())) {
      because = to_string(DiscardCause::turned_off);
    }
  }
  json::Object admission;
  admission.set("decision", same == nullptr       ? (because.is_null() ? "may start" : "waits")
                            : same->is_finished() ? "finished"
                                                  : "running");
  admission.set("because", std::move(because));
  admission.set("confidence", joint);
  admission.set("confidence_min", least);
  if (!weighed.plan.tasks.empty()) {
    set_times(admission, settings_.admission, budget_, weighed.candidate);
  }
  json::Object report = report_of(prediction);
  report.set("speculation", same == nullptr       ? "none"
                            : same->is_finished() ? "finished"
                                                  : "running");
  report.set("admission", std::move(admission));
  return report;
}

void CoordinatorMachine::discard(Session& session, SpeculationNumber number, DiscardCause cause) {
  for (auto child = session.speculations.begin(); child != session.speculations.end();) {
    if (child->second.parent == number) {
      const SpeculationNumber below = child->first;
      if (planted(Bug::child_not_discarded) && child->second.is_finished()) {
        remove_speculation(session, below);
      } else {
        discard(session, below, cause);
      }
      child = session.speculations.begin();
    } else {
      ++child;
    }
  }
  Speculation& speculation = session.speculations.at(number);
  DiscardEntry entry;
  for (std::size_t i = 0; i < speculation.work.branches.size(); ++i) {
    cancel_branch(speculation.work, i);
    if (speculation.work.branches[i].worker) {
      entry.workers.push_back(*speculation.work.branches[i].worker);
    }
  }
  entry.run_id = session.run_id;
  entry.speculation = number;
  entry.task = speculation.work.call.task();
  entry.input_hash = speculation.work.call.hash();
  entry.cause = cause;
  entry.confidence = speculation.confidence;
  entry.depth = speculation.depth;
  entry.wasted = speculation.work.charged;
  if (planted(Bug::budget_leak)) {
    budget_.refunded(entry.wasted);
  }
  counters_.wasted += entry.wasted;
  ++counters_.wasted_calls;
  ++counters_.discards[std::string(to_string(cause))];
  StoredEntry stored = ledger_.append(std::move(entry));
  stored.story = story_of(speculation, now_);
  store_entry(std::move(stored));
  remove_speculation(session, number);
}

void CoordinatorMachine::remove_speculation(Session& session, SpeculationNumber number) {
  const auto at = session.speculations.find(number);
  const auto space = readers_.find(at->second.reads.space);
  space->second.erase({session.run_id, number});
  if (space->second.empty()) {
    readers_.erase(space);
  }
  session.speculations.erase(at);
}

/// A write is about to run: every speculation that read what it writes is stale, finished or not.
void CoordinatorMachine::drop_conflicting(const TagSet& writes) {
  const auto space = readers_.find(writes.space);
  if (space == readers_.end() || settings_.plant_skip_hazards || planted(Bug::hazard_missed)) {
    return;
  }
  const std::vector<std::pair<RunId, SpeculationNumber>> readers(space->second.begin(),
                                                                 space->second.end());
  for (const auto& [run_id, number] : readers) {
    Session& session = sessions_.at(run_id);
    const auto at = session.speculations.find(number);
    if (at != session.speculations.end() && conflict(at->second.reads, writes)) {
      discard(session, number, DiscardCause::stale);
    }
  }
}

/// The state that a call would be given after this step and these speculations, as far as it is
/// known: what open steps and speculations that have not ended will write is left out.
SessionState CoordinatorMachine::imagined_state(const Session& session,
                                                std::optional<StepNumber> after_step,
                                                std::optional<SpeculationNumber> after) const {
  std::vector<const Output*> writes;  // From the last on.
  while (after) {
    const Speculation& parent = session.speculations.at(*after);
    writes.push_back(parent.state_writes());
    after_step = parent.parent_step;
    after = parent.parent;
  }
  for (auto open = session.open.rbegin(); open != session.open.rend(); ++open) {
    if (after_step && open->number <= *after_step) {
      writes.push_back(open->state_writes());
    }
  }
  SessionState state = session.state;
  for (auto change = writes.rbegin(); change != writes.rend(); ++change) {
    if (*change != nullptr) {
      if (auto changed = state.patched(**change)) {
        state = std::move(*changed);
      }
    }
  }
  return state;
}

/// Whether something that has not ended, before a call after these speculations, is likely to write
/// what the call gets of the state: it would only end as a conflict.
bool CoordinatorMachine::is_state_open(const Session& session,
                                       std::optional<SpeculationNumber> after,
                                       const StatePaths& paths) const {
  const auto may_write = [&](const Work& work) {
    return std::any_of(work.plan.tasks.begin(), work.plan.tasks.end(), [&](const Task* task) {
      return state_writers_.may_write(task->name, paths);
    });
  };
  for (const OpenStep& step : session.open) {
    if (step.phase != OpenStep::Phase::decided && may_write(step.work)) {
      return true;
    }
  }
  while (after) {
    const Speculation& parent = session.speculations.at(*after);
    if ((!parent.is_finished() || parent.work.branches.size() > 1) && may_write(parent.work)) {
      return true;
    }
    after = parent.parent;
  }
  return false;
}

/// Ends every speculation that was given another state than it would be given now.
void CoordinatorMachine::drop_conflicts(Session& session) {
  std::vector<SpeculationNumber> conflicting;
  for (const auto& [number, speculation] : session.speculations) {
    const SessionState now = imagined_state(session, speculation.parent_step, speculation.parent);
    if (now.part(speculation.state_paths).hash() != speculation.state_hash &&
        !planted(Bug::stale_state)) {
      conflicting.push_back(number);
    }
  }
  for (const SpeculationNumber number : conflicting) {
    if (session.speculations.contains(number)) {
      discard(session, number, DiscardCause::conflict);
    }
  }
}

void CoordinatorMachine::learn_latency(const Task& task, Duration latency) {
  latencies_.learn(task.name, latency);
}

/// What a branch of this task usually takes; like any other while nothing is known of it. The
/// bands, which weigh no times, take it for nothing.
Duration CoordinatorMachine::usual(const std::string& task) const {
  if (settings_.admission.policy == AdmissionPolicy::bands && !latencies_.knows(task)) {
    return Duration::zero();
  }
  return latencies_.of(task);
}

Duration CoordinatorMachine::usual_gap(const std::string& after) const {
  return gaps_.of(after);
}

/// What the time until a session's next call depends on, while it runs nothing.
const std::string& CoordinatorMachine::stands_after(const Session& session) {
  return session.steps.count() == 0 ? start_of_session : session.steps.last_task();
}

/// A session without an open step confirms one now.
void CoordinatorMachine::learn_gap(const Session& session) {
  if (session.answered == Instant{}) {
    return;  // Answered in another term.
  }
  gaps_.learn(stands_after(session), now_ - session.answered);
}

/// How long until the session's next call comes, as far as is known.
Duration CoordinatorMachine::until_asked(const Session& session) const {
  if (session.open.empty()) {
    const Duration gap = usual_gap(stands_after(session));
    const Duration passed = now_ - session.answered;
    // The longer it has lasted, the longer it will last still: never less than a quarter.
    return std::max(gap - passed, gap / 4);
  }
  Duration running{};
  for (const OpenStep& step : session.open) {
    if (step.phase != OpenStep::Phase::decided) {
      const Duration ran = step.work.began == Instant{} ? Duration::zero() : now_ - step.work.began;
      const Duration usually = usual(step.work.call.task());
      running = std::max(running, std::max(usually - ran, usually / 8));
    }
  }
  return running + usual_gap(session.open.back().work.call.task());
}

/// Of a call that may be worth starting now.
double CoordinatorMachine::least_confidence() const {
  const AdmissionSettings& admission = settings_.admission;
  return admission.policy == AdmissionPolicy::bands
             ? admission.idle_above
             : confidence_min(admission, budget_, expected_of(usual({})), still_to_run());
}

Duration CoordinatorMachine::still_to_run() const {
  Duration sum{};
  for (const auto& [value, token] : speculative_) {
    const BranchRef& ref = branches_.at(token.value);
    const Work& work = sessions_.at(ref.run_id).speculations.at(ref.speculation).work;
    const Duration ran = now_ - work.branches[ref.index].started;
    sum += std::max(Duration::zero(), typical(*work.plan.tasks[ref.index]) - ran);
  }
  return sum;
}

bool CoordinatorMachine::is_dirty(const TagSet& reads) const {
  const auto space = dirty_.find(reads.space);
  return space != dirty_.end() && !settings_.plant_skip_hazards && !planted(Bug::hazard_missed) &&
         std::any_of(space->second.begin(), space->second.end(),
                     [&](const TagSet& writes) { return conflict(reads, writes); });
}

void CoordinatorMachine::mark_dirty(const TagSet& writes) {
  dirty_[writes.space].push_back(writes);
}

void CoordinatorMachine::mark_clean(const TagSet& writes) {
  const auto space = dirty_.find(writes.space);
  FORERUN_ASSERT(space != dirty_.end());
  const auto at = std::find(space->second.begin(), space->second.end(), writes);
  FORERUN_ASSERT(at != space->second.end());
  space->second.erase(at);
  if (space->second.empty()) {
    dirty_.erase(space);
  }
}

/// The output that some speculations were premised on is known: right guesses live on, wrong ones
/// go with all below them.
void CoordinatorMachine::settle_premises(Session& session,
                                         const std::function<bool(const Speculation&)>& hangs_under,
                                         const std::optional<Digest>& output) {
  std::vector<SpeculationNumber> wrong;
  for (auto& [number, speculation] : session.speculations) {
    if (speculation.premise && hangs_under(speculation)) {
      if (speculation.premise == output) {
        speculation.premise.reset();
      } else {
        wrong.push_back(number);
      }
    }
  }
  for (const SpeculationNumber number : wrong) {
    if (session.speculations.contains(number)) {
      discard(session, number, DiscardCause::wrong);
    }
  }
}

/// The session went another way: what still runs for the way not taken ends, unless it is still
/// expected.
void CoordinatorMachine::drop_overtaken(Session& session,
                                        const std::map<Digest, double>& expected) {
  std::vector<SpeculationNumber> overtaken;
  for (const auto& [number, speculation] : session.speculations) {
    const bool is_root = !speculation.parent;
    const bool is_behind =
        is_root &&
        (!speculation.parent_step ? session.confirmed() > 0
                                  : speculation.parent_step->value + 1 < session.confirmed());
    if (!is_behind || speculation.is_finished()) {
      continue;
    }
    const auto still = expected.find(speculation.work.call.hash());
    if (still == expected.end() || still->second < keep_running_above) {
      overtaken.push_back(number);
    }
  }
  for (const SpeculationNumber number : overtaken) {
    if (session.speculations.contains(number)) {
      discard(session, number, DiscardCause::wrong);
    }
  }
}

void CoordinatorMachine::limit_kept(Session& session) {
  for (;;) {
    std::size_t kept = 0;
    const Speculation* least = nullptr;
    for (const auto& [number, speculation] : session.speculations) {
      if (speculation.is_finished()) {
        ++kept;
        if (least == nullptr || speculation.confidence < least->confidence) {
          least = &speculation;
        }
      }
    }
    if (kept <= settings_.admission.kept_per_session_max) {
      return;
    }
    discard(session, least->number, DiscardCause::expired);
  }
}

void CoordinatorMachine::stop_when_budget_is_empty() {
  while (!budget_.is_open() && !speculative_.empty()) {
    const BranchRef ref = branches_.at(speculative_.begin()->second.value);
    discard(sessions_.at(ref.run_id), ref.speculation, DiscardCause::preempted);
  }
}

/// Whether it may answer this step; why not, if it may not.
std::optional<DiscardCause> CoordinatorMachine::why_not_taken(const Speculation& speculation,
                                                              const OpenStep& step) const {
  if (speculation.state_hash != step.state.part(speculation.state_paths).hash() &&
      !planted(Bug::stale_state)) {
    return DiscardCause::conflict;
  }
  for (const Task* task : speculation.work.plan.tasks) {
    if (task->effect == Effect::read && now_ - speculation.work.began > task->age_max) {
      return DiscardCause::expired;
    }
  }
  return std::nullopt;
}

/// Looks for an equal call that was run ahead and may be used now; makes it the step's work.
bool CoordinatorMachine::take_speculation(Session& session, OpenStep& step) {
  Speculation* same = same_call(session, step.work.call, {});
  while (same != nullptr) {
    const auto why = why_not_taken(*same, step);
    if (!why) {
      break;
    }
    discard(session, same->number, *why);
    same = same_call(session, step.work.call, {});
  }
  if (same == nullptr) {
    return false;
  }
  Speculation& speculation = *same;
  const SpeculationNumber number = speculation.number;
  step.work = std::move(speculation.work);
  step.foresight = std::move(speculation.foresight);
  step.ahead = now_ - step.work.began;
  step.hit = HitRecord{number, speculation.confidence, speculation.depth, {}};
  for (auto& [other, child] : session.speculations) {
    if (child.parent == number) {
      child.parent.reset();
      child.parent_step = step.number;
    }
  }
  remove_speculation(session, number);
  confirm_running(session, step);
  budget_.refunded(step.work.charged);
  step.work.charged = Duration::zero();
  return true;
}

}  // namespace forerun
