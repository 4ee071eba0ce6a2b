#include "coordinator/usefulness.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "base/formatted.hpp"
#include "base/sha256.hpp"

namespace forerun {
namespace {

/// "12.0 % (8.1 % to 15.9 %)"
std::string text_of(const Estimate& estimate) {
  return percent(estimate.value) + " (" + percent(estimate.interval.low) + " to " +
         percent(estimate.interval.high) + ")";
}

std::string seconds_text(Duration duration) {
  return formatted("%.3g s", static_cast<double>(duration.count()) / 1e6);
}

/// Microseconds as milliseconds, to the microsecond.
json::Value milliseconds(double us) {
  return std::round(us) / 1e3;
}

json::Value ratio(double value) {
  return std::round(value * 1e4) / 1e4;
}

json::Value interval_of(const std::optional<Interval>& interval,
                        json::Value (*write)(double value)) {
  if (!interval) {
    return {};
  }
  return json::Array{write(interval->low), write(interval->high)};
}

void set_quantile(json::Object& out, const std::string& name, const WaitSamples& samples,
                  double share) {
  const auto quantile = samples.quantile(share);
  out.set(name + "_ms", quantile ? milliseconds(quantile->value) : json::Value());
  out.set(name + "_ci95_ms",
          interval_of(quantile ? quantile->interval : std::nullopt, milliseconds));
}

json::Value report_of(const WaitSamples& samples) {
  json::Object out;
  out.set("n", std::uint64_t{samples.size()});
  out.set("mean_ms", samples.size() > 0 ? milliseconds(samples.mean()) : json::Value());
  set_quantile(out, "p50", samples, 0.5);
  set_quantile(out, "p99", samples, 0.99);
  return out;
}

json::Value time_left(Instant now, bool is_off, Instant probe_at) {
  return is_off ? json::Value(milliseconds_of(std::max(Duration::zero(), probe_at - now)))
                : json::Value();
}

}  // namespace

bool is_in_control_share(const RunId& run_id, double share) {
  const Digest digest = sha256(to_string(run_id));
  std::uint64_t number = 0;
  for (std::size_t i = 4; i < 8; ++i) {
    number = number << 8U | digest.bytes[i];
  }
  return static_cast<double>(number) < share * 4294967296.0;
}

// ---- the table of tasks

const Usefulness::Known* Usefulness::find(std::string_view tenant, std::string_view task) const {
  const auto tasks = tasks_.find(tenant);
  if (tasks == tasks_.end()) {
    return nullptr;
  }
  const auto at = tasks->second.find(task);
  return at == tasks->second.end() ? nullptr : &at->second;
}

Usefulness::Known& Usefulness::use(std::string_view tenant, std::string_view task) {
  auto tasks = tasks_.find(tenant);
  if (tasks == tasks_.end()) {
    tasks = tasks_.try_emplace(std::string(tenant)).first;
  }
  auto at = tasks->second.find(task);
  if (at == tasks->second.end()) {
    Known known{0, WaitSamples(settings_.window), WaitSamples(settings_.window), 0, {}, {}, 0, 0, 0,
                {}};
    known.runs_ahead.off_for = settings_.probe_after;
    known.at_once.off_for = settings_.probe_after;
    at = tasks->second.emplace(task, std::move(known)).first;
  } else {
    by_use_.erase(at->second.used);
  }
  at->second.used = ++uses_;
  by_use_.emplace(uses_, Key(tenant, task));
  if (by_use_.size() > settings_.tasks_max) {
    const Key& longest_unused = by_use_.begin()->second;
    const auto its_tenant = tasks_.find(longest_unused.first);
    its_tenant->second.erase(longest_unused.second);
    if (its_tenant->second.empty()) {
      tasks_.erase(its_tenant);
    }
    by_use_.erase(by_use_.begin());
  }
  return at->second;
}

// ---- turning off and on

void Usefulness::turn_off(Instant now, Switch& which, std::string why) const {
  which.is_off = true;
  which.is_probing = false;
  which.why = std::move(why) + "; looks again in " + seconds_text(which.off_for);
  which.probe_at = now + which.off_for;
  which.off_for = std::min(which.off_for * 2, settings_.probe_after_max);
}

bool Usefulness::is_off(std::string_view tenant, std::string_view task) const {
  const Known* known = find(tenant, task);
  return known != nullptr && known->runs_ahead.is_off;
}

bool Usefulness::allows(Instant now, std::string_view tenant, std::string_view task) {
  if (!is_off(tenant, task)) {
    return true;
  }
  Known& known = use(tenant, task);
  Switch& which = known.runs_ahead;
  if (now < which.probe_at) {
    return false;
  }
  which.is_off = false;
  which.is_probing = true;
  which.why = "probes whether running ahead pays again";
  known.ahead.clear();
  known.new_waits = 0;
  turns_.push_back({std::string(tenant), std::string(task), false, "turned on: " + which.why});
  return true;
}

std::optional<std::size_t> Usefulness::favourite(std::string_view tenant,
                                                 std::string_view race) const {
  const Known* known = find(tenant, race);
  return known != nullptr && known->at_once.is_off ? std::optional(known->favourite) : std::nullopt;
}

void Usefulness::waited(Instant now, std::string_view tenant, std::string_view task, Arm arm,
                        Duration wait) {
  Known& known = use(tenant, task);
  if (arm == Arm::control) {
    known.control.add(wait);
  } else if (known.runs_ahead.is_off) {
    return;  // Foreseen before it was turned off.
  } else {
    known.ahead.add(wait);
  }
  if (++known.new_waits >= settings_.look_every && !known.runs_ahead.is_off &&
      known.ahead.size() >= settings_.ahead_min && known.control.size() >= settings_.control_min) {
    known.new_waits = 0;
    judge(now, {std::string(tenant), std::string(task)}, known);
  }
}

void Usefulness::judge(Instant now, const Key& key, Known& known) {
  const auto gain = improvement(known.ahead, known.control);
  if (!gain) {
    return;
  }
  Switch& which = known.runs_ahead;
  // What has been shown to save too little has to show that it saves enough.
  const double most = which.is_probing ? gain->value : gain->interval.high;
  which.is_probing = false;
  if (most < settings_.improvement_min) {
    turn_off(now, which,
             "running ahead saves " + text_of(*gain) + " of the wait, expected at least " +
                 percent(settings_.improvement_min));
    turns_.push_back({key.first, key.second, true, "turned off: " + which.why});
  } else if (gain->interval.low >= settings_.improvement_min) {
    which.off_for = settings_.probe_after;
  }
}

// ---- races

void Usefulness::raced(Instant now, std::string_view tenant, std::string_view race,
                       const RaceOutcome& outcome) {
  Known& known = use(tenant, race);
  if (known.races.size() < settings_.window) {
    known.races.push_back(outcome);
  } else {
    known.races[known.oldest_race] = outcome;
    known.oldest_race = (known.oldest_race + 1) % settings_.window;
  }
  if (++known.new_races >= settings_.look_every && known.races.size() >= settings_.races_min) {
    judge_race(now, {std::string(tenant), std::string(race)}, known);
  }
}

std::optional<Usefulness::Wins> Usefulness::most_wins(const Known& known) {
  std::map<std::size_t, std::size_t> wins;
  std::map<std::size_t, std::string> names;
  for (const RaceOutcome& race : known.races) {
    if (race.winner) {
      ++wins[*race.winner];
      names[*race.winner] = race.winner_name;
    }
  }
  const auto most = std::max_element(
      wins.begin(), wins.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == wins.end()) {
    return std::nullopt;
  }
  return Wins{most->first, names.at(most->first), share_of(most->second, known.races.size())};
}

void Usefulness::judge_race(Instant now, const Key& key, Known& known) {
  Switch& which = known.at_once;
  if (which.is_off && now < which.probe_at) {
    return;
  }
  known.new_races = 0;
  const auto wins = most_wins(known);
  const bool is_clear = wins && wins->share.interval.low > settings_.winner_share_max;
  const bool was_off = which.is_off;
  if (is_clear) {
    known.favourite = wins->branch;
    turn_off(now, which,
             "branch " + wins->name + " wins " + text_of(wins->share) +
                 " of the races, more than " + percent(settings_.winner_share_max) +
                 ": branches start one by one");
    known.races.clear();  // What decides the next time has yet to happen.
    known.oldest_race = 0;
  } else if (was_off) {
    which.is_off = false;
    which.why = "no branch wins more than " + percent(settings_.winner_share_max) +
                " of the races: all branches start at once";
  } else if (!wins || wins->share.interval.high < settings_.winner_share_max) {
    which.off_for = settings_.probe_after;
  }
  if (is_clear != was_off) {
    turns_.push_back(
        {key.first, key.second, false, (is_clear ? "turned off: " : "turned on: ") + which.why});
  }
}

// ---- reports

std::vector<Usefulness::Turn> Usefulness::take_turns() {
  return std::exchange(turns_, {});
}

json::Value Usefulness::report_of(Instant now, const Key& key, const Known& known) const {
  const Switch& ahead = known.runs_ahead;
  json::Object out;
  out.set("tenant", key.first);
  out.set("task", key.second);
  out.set("speculation", ahead.is_off ? "off" : ahead.is_probing ? "probing" : "on");
  const auto gain = improvement(known.ahead, known.control);
  std::string why = ahead.why;
  if (!ahead.is_off && !ahead.is_probing) {
    why = known.ahead.size() < settings_.ahead_min || known.control.size() < settings_.control_min
              ? "not judged yet: " + std::to_string(known.ahead.size()) + " waits of " +
                    std::to_string(settings_.ahead_min) + ", " +
                    std::to_string(known.control.size()) + " of " +
                    std::to_string(settings_.control_min) + " in the control share"
          : gain && gain->interval.low >= settings_.improvement_min
              ? "saves enough"
              : "nothing says that it saves less than " + percent(settings_.improvement_min);
  }
  out.set("why", std::move(why));
  out.set("probes_in_ms", time_left(now, ahead.is_off, ahead.probe_at));
  out.set("ahead", forerun::report_of(known.ahead));
  out.set("control", forerun::report_of(known.control));
  out.set("improvement", gain ? ratio(gain->value) : json::Value());
  out.set("improvement_ci95",
          interval_of(gain ? std::optional(gain->interval) : std::nullopt, ratio));
  if (known.races.empty() && !known.at_once.is_off) {
    return out;
  }
  json::Object race;
  race.set("branches", known.at_once.is_off ? "one by one" : "at once");
  race.set("why", known.at_once.why);
  race.set("looks_in_ms", time_left(now, known.at_once.is_off, known.at_once.probe_at));
  race.set("n", std::uint64_t{known.races.size()});
  const auto wins = most_wins(known);
  race.set("most_wins", wins ? json::Value(wins->name) : json::Value());
  race.set("share", wins ? ratio(wins->share.value) : json::Value());
  race.set("share_ci95",
           interval_of(wins ? std::optional(wins->share.interval) : std::nullopt, ratio));
  Duration at_once{};
  Duration one_by_one{};
  for (const RaceOutcome& each : known.races) {
    at_once += each.at_once;
    one_by_one += each.one_by_one;
  }
  race.set("longer_one_by_one", at_once > Duration::zero()
                                    ? ratio(static_cast<double>(one_by_one.count()) /
                                                static_cast<double>(at_once.count()) -
                                            1)
                                    : json::Value());
  out.set("race", std::move(race));
  return out;
}

std::vector<std::pair<std::string, std::string>> Usefulness::turned_off() const {
  std::vector<Key> off;
  for (auto at = by_use_.rbegin(); at != by_use_.rend(); ++at) {
    if (is_off(at->second.first, at->second.second)) {
      off.push_back(at->second);
    }
  }
  return off;
}

json::Array Usefulness::report(Instant now, const std::string& tenant) const {
  json::Array off;
  json::Array others;
  for (auto at = by_use_.rbegin(); at != by_use_.rend(); ++at) {
    const Key& key = at->second;
    if (key.first != tenant) {
      continue;
    }
    const Known& known = *find(key.first, key.second);
    const bool is_off = known.runs_ahead.is_off || known.at_once.is_off;
    json::Array& list = is_off ? off : others;
    if (list.size() < settings_.told_max) {
      list.push_back(report_of(now, key, known));
    }
  }
  for (json::Value& each : others) {
    if (off.size() >= settings_.told_max) {
      break;
    }
    off.push_back(std::move(each));
  }
  return off;
}

}  // namespace forerun
