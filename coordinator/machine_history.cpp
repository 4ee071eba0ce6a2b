#include <algorithm>
#include <utility>

#include "coordinator/machine.hpp"
#include "speculation/planted.hpp"

namespace forerun {
namespace {

/// Taught sessions have no worker, and no worker has this UUID.
RunId run_id_of_taught(std::uint64_t number) {
  return {WorkerId{}, number};
}

/// Of one session, between the answers of all others: reading a document takes a while.
constexpr std::size_t catch_up_bytes_max = 128U << 10U;

std::size_t bytes_of(const Lesson& lesson) {
  const auto* step = std::get_if<Lesson::Step>(&lesson.what);
  return step == nullptr ? 0
                         : step->call.canonical().size() +
                               (step->output ? step->output->canonical().size() : 0);
}

}  // namespace

void CoordinatorMachine::restore_history(const CoordinatorRecovery& recovery) {
  for (const SessionRow& session : recovery.sessions) {
    open_at_start_.insert(session.run_id);
  }
  for (HistoryEntry entry : recovery.history) {
    drop_history(history_.add(entry));
  }
}

void CoordinatorMachine::drop_history(const std::vector<std::uint64_t>& numbers) {
  for (const std::uint64_t number : numbers) {
    const auto is_it = [number](const HistoryRow& row) { return row.entry.number == number; };
    if (std::erase_if(batch_.history, is_it) == 0 && !planted(Bug::forgetting_not_kept)) {
      batch_.forgotten.push_back(number);
    }
  }
}

void CoordinatorMachine::learn_history(const ClientRequest& request, const LearnHistory& body) {
  std::uint64_t learned = 0;
  std::uint64_t steps = 0;
  std::uint64_t known = 0;
  json::Array refused;
  for (const LearnHistory::Item& item : body.sessions) {
    HistoryEntry entry{0,          request.tenant,   item.name,        Seq{ledger_.size()},
                       item.steps, item.text.size(), sha256(item.text)};
    std::string why;
    switch (history_.judge(entry.tenant, entry.name, entry.hash, entry.bytes)) {
      case HistoryBook::Judgement::is_new:
        drop_history(history_.add(entry));
        ++learned;
        steps += entry.steps;
        batch_.history.push_back({std::move(entry), item.text});
        break;
      case HistoryBook::Judgement::is_known:
        ++known;
        break;
      case HistoryBook::Judgement::is_another:
        why = "another session of this name was learned: give it a name of its own";
        break;
      case HistoryBook::Judgement::is_too_large:
        why = std::to_string(item.text.size()) + " bytes, expected at most " +
              std::to_string(settings_.history.bytes_max);
        break;
    }
    if (!why.empty()) {
      json::Object session;
      session.set("session", item.name);
      session.set("why", why);
      refused.emplace_back(std::move(session));
    }
  }
  json::Object report;
  report.set("learned", learned);
  report.set("steps", steps);
  report.set("known", known);
  report.set("refused", std::move(refused));
  reply_when_durable(request.id, JsonReport{std::move(report)});
}

void CoordinatorMachine::forget_history(const ClientRequest& request) {
  const std::vector<std::uint64_t> numbers = history_.forget(request.tenant);
  drop_history(numbers);
  learn();  // What is open and waits to be learned is not forgotten with it.
  std::erase_if(past_, [&](const Lesson& lesson) {
    return lesson.tenant == request.tenant && lesson.run_id.home == WorkerId{};
  });
  predictor_->forget(request.tenant);
  json::Object report;
  report.set("forgotten", std::uint64_t{numbers.size()});
  reply_when_durable(request.id, JsonReport{std::move(report)});
}

void CoordinatorMachine::on(const PastRead& page) {
  reading_.arrived(page);
  for (const PastSession& taught : page.sessions) {
    if (!history_.entries().contains(taught.number)) {
      continue;  // Forgotten while it was read.
    }
    const RunId run_id = run_id_of_taught(taught.number);
    past_.push_back({run_id, taught.tenant, taught.session.context});
    for (const HistoryStep& step : taught.session.steps) {
      for (const std::string& text : step.texts) {
        past_.push_back({run_id, taught.tenant, text});
      }
      past_.push_back({run_id, taught.tenant, Lesson::Step{step.call, step.output}});
    }
    past_.push_back({run_id, taught.tenant, Lesson::End{}});
  }
  for (const PastStep& step : page.steps) {
    for (const PastRun& run : step.runs) {
      run_times_.ended(run.task, run.ran);
    }
    if (open_at_start_.contains(step.run_id)) {
      ++open_steps_read_;
      continue;
    }
    if (step.step.value == 0) {
      past_runs_.insert(step.run_id);
      past_.push_back({step.run_id, step.tenant, step.context});
    } else if (!past_runs_.contains(step.run_id)) {
      continue;  // It began before what is learned again: its steps would be taken for others.
    }
    for (const std::string& text : step.texts) {
      past_.push_back({step.run_id, step.tenant, text});
    }
    if (step.call) {
      past_.push_back({step.run_id, step.tenant, Lesson::Step{*step.call, step.output}});
    }
    if (step.is_last) {
      past_.push_back({step.run_id, step.tenant, Lesson::End{}});
      past_runs_.erase(step.run_id);
    }
  }
  if (reading_.is_ledger_read()) {
    for (const RunId& run_id : past_runs_) {
      past_.push_back({run_id, {}, Lesson::End{}});
    }
    past_runs_.clear();
    open_at_start_.clear();
  }
}

bool CoordinatorMachine::has_past_to_learn() const {
  return !past_.empty() || (!open_past_.empty() && reading_.is_recovered(history_));
}

/// A little at a time: answers must not wait for it. While some are waited for, it takes at most
/// half of the time.
void CoordinatorMachine::learn_past() {
  const bool is_busy = !waiting_in_.empty();
  if (past_began_) {
    const Duration took = now_ - *std::exchange(past_began_, std::nullopt);
    past_rests_until_ = now_ + std::min(took, settings_.history.rest_max);
  }
  if (!has_past_to_learn() || (is_busy && now_ < past_rests_until_)) {
    return;
  }
  past_began_ = now_;
  const std::size_t lessons = is_busy ? 1 : settings_.history.lessons_per_turn;
  for (std::size_t taught = 0; taught < lessons; ++taught) {
    if (!past_.empty()) {
      teach_past(past_.front());
      past_.pop_front();
    } else if (reading_.is_recovered(history_)) {
      if (const auto lesson = open_past_.next()) {
        teach_past(*lesson);
      }
    } else {
      return;
    }
  }
}

void CoordinatorMachine::teach_past(const Lesson& lesson) {
  counters_.past_steps += std::holds_alternative<Lesson::Step>(lesson.what) ? 1 : 0;
  teach(lesson);
}

/// A session of an older term is wanted now: some of what it said and did, out of its turn.
void CoordinatorMachine::catch_up(const RunId& run_id, std::size_t lessons_max) {
  std::size_t bytes = 0;
  for (std::size_t taught = 0; taught < lessons_max && bytes < catch_up_bytes_max; ++taught) {
    const auto lesson = open_past_.next(run_id);
    if (!lesson) {
      return;
    }
    bytes += bytes_of(*lesson);
    teach_past(*lesson);
  }
}

json::Object CoordinatorMachine::learning_status(const std::string& tenant) const {
  // Until all is read, the steps of open sessions are among those to be read too.
  std::uint64_t left =
      reading_.left(history_) + (reading_.is_recovered(history_)
                                     ? open_past_.steps()
                                     : std::min(open_past_.steps(), open_steps_read_));
  for (const Lesson& lesson : past_) {
    left += std::holds_alternative<Lesson::Step>(lesson.what) ? 1 : 0;
  }
  const HistoryBook::Totals totals = history_.totals(tenant);
  json::Object taught;
  taught.set("sessions", std::uint64_t{totals.sessions});
  taught.set("steps", totals.steps);
  taught.set("bytes", totals.bytes);
  json::Object status;
  status.set("taught", std::move(taught));
  status.set("past_steps", counters_.past_steps);
  status.set("left", left);
  return status;
}

}  // namespace forerun
