#include "node/executors/resident_pool.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.hpp"
#include "node/executors/envelope.hpp"
#include "node/executors/resident_lines.hpp"

namespace forerun {
namespace {

std::size_t answer_bytes(const Task& task) {
  return std::size_t{task.exec.limits.output_kb} << 10U;
}

RunEnded cancelled() {
  return ended_without_output(Ending::cancelled, "stopped");
}

}  // namespace

std::string ResidentPool::program_of(const Task& task, std::string_view tenant) {
  json::Array command;
  for (const std::string& word : task.command) {
    command.emplace_back(word);
  }
  json::Object program;
  program.set("command", std::move(command));
  program.set("exec", command_settings_json(task.exec));
  program.set("sandbox", task.sandbox);
  program.set("tenant", tenant);
  return json::canonical(program);
}

ResidentPool::Output ResidentPool::prepare(Time now, const std::vector<Task>& tasks,
                                           std::string_view tenant) {
  std::set<std::string> named;
  for (const Task& task : tasks) {
    const std::string name = program_of(task, tenant);
    named.insert(name);
    Program& program = programs_.try_emplace(name, Program{.task = task}).first->second;
    program.wanted = settings_.per_program;
  }
  for (auto& [name, program] : programs_) {
    if (!named.contains(name)) {
      program.wanted = 0;
    }
  }
  for (auto& [number, process] : processes_) {
    if (process.phase == Process::Phase::idle && !named.contains(process.program)) {
      kill(number, process);
    }
  }
  return finish(now);
}

ResidentPool::Output ResidentPool::call(Time now, CallNumber call, Run run,
                                        std::string_view tenant) {
  FORERUN_ASSERT(call != 0);
  const std::string name = program_of(run.task, tenant);
  Program& program = programs_.try_emplace(name, Program{.task = run.task}).first->second;
  program.waiting.push_back({call, std::move(run)});
  return finish(now);
}

ResidentPool::Output ResidentPool::cancel(Time now, CallNumber call) {
  for (auto& [name, program] : programs_) {
    const auto at = std::find_if(program.waiting.begin(), program.waiting.end(),
                                 [&](const Waiting& waiting) { return waiting.call == call; });
    if (at != program.waiting.end()) {
      program.waiting.erase(at);
      end_call(call, cancelled());
      return finish(now);
    }
  }
  for (auto& [number, process] : processes_) {
    if (process.call != call) {
      continue;
    }
    if (process.phase == Process::Phase::busy) {
      process.phase = Process::Phase::cancelling;
      process.kill_at = now + settings_.cancel_grace;
      output_.send.push_back({number, resident_cancel(process.last_id)});
    } else if (process.phase == Process::Phase::ending) {
      process.end = cancelled();
    }
  }
  return finish(now);
}

namespace {

RunEnded returned(const Task& task, ResidentAnswer& answer) {
  if (answer.is_envelope && !task.envelope) {
    return ended_without_output(Ending::failed,
                                "answer: writes or effects, expected only of a task with "
                                "envelope = true");
  }
  if (!answer.is_envelope && task.envelope) {
    answer.text = R"({"output":)" + answer.text + "}";
  }
  auto ended = ended_with(task, answer.text, answer_bytes(task));
  return ended ? std::move(*ended) : ended_without_output(Ending::failed, ended.error().message);
}

}  // namespace

ResidentPool::Output ResidentPool::line(Time now, ProcessNumber number, std::string_view text) {
  const auto at = processes_.find(number);
  if (at == processes_.end() || at->second.phase == Process::Phase::ending) {
    return finish(now);
  }
  Process& process = at->second;
  auto line = read_resident_line(text);
  if (!line) {
    return broken(now, number, line.error().message);
  }
  Program& program = programs_.at(process.program);
  if (std::holds_alternative<ResidentReady>(*line)) {
    if (process.has_answered) {
      return broken(now, number, "answer: ready for a second time, or after an answer");
    }
    has_proved_itself(process, program);
    return finish(now);
  }
  auto& answer = std::get<ResidentAnswer>(*line);
  if (process.call == 0 || answer.id != process.last_id) {
    return broken(now, number,
                  "answer: id " + std::to_string(answer.id) +
                      (process.call == 0 ? ", which nobody waits for"
                                         : ", expected " + std::to_string(process.last_id)));
  }
  const bool is_cancelled = process.phase == Process::Phase::cancelling;
  if (!is_cancelled && answer.kind == ResidentAnswer::Kind::cancelled) {
    return broken(now, number, "answer: cancelled, which nobody asked for");
  }
  has_proved_itself(process, program);
  RunEnded ended;
  if (is_cancelled) {
    ended = cancelled();
  } else if (answer.kind == ResidentAnswer::Kind::error) {
    ended = ended_without_output(Ending::failed, answer.text);
  } else {
    ended = returned(process.task, answer);
  }
  end_call(std::exchange(process.call, 0), std::move(ended));
  process.phase = Process::Phase::idle;
  process.since = now;
  if (answer.is_last) {
    kill(number, process);  // With all that it has started.
  }
  return finish(now);
}

ResidentPool::Output ResidentPool::broken(Time now, ProcessNumber number, const std::string& why) {
  const auto at = processes_.find(number);
  if (at == processes_.end() || at->second.phase == Process::Phase::ending) {
    return finish(now);
  }
  Process& process = at->second;
  if (process.call != 0) {
    process.end = process.phase == Process::Phase::cancelling
                      ? cancelled()
                      : ended_without_output(Ending::failed, "resident: " + why);
  }
  process.was_broken = true;
  programs_.at(process.program).last_cause = why;
  kill(number, process);
  return finish(now);
}

ResidentPool::Output ResidentPool::gone(Time now, ProcessNumber number, const std::string& cause,
                                        bool is_lost, std::uint32_t dead_handles) {
  const auto at = processes_.find(number);
  if (at == processes_.end()) {
    return finish(now);
  }
  const Process process = std::move(at->second);
  processes_.erase(at);
  Program& program = programs_.at(process.program);
  const bool was_killed = process.phase == Process::Phase::ending;
  if (!process.has_answered && (!was_killed || process.was_broken)) {
    ++program.ends;
    program.last_cause = process.was_broken ? program.last_cause : cause;
    const std::uint32_t doublings = std::min(program.ends - 1, std::uint32_t{20});
    program.next_start =
        now + (program.ends >= settings_.ends_max
                   ? settings_.rest
                   : std::min<Duration>(settings_.backoff_first * (1U << doublings),
                                        settings_.backoff_max));
  }
  if (process.call != 0) {
    RunEnded ended =
        process.end ? *process.end
        : process.phase == Process::Phase::cancelling
            ? cancelled()
            : ended_without_output(is_lost ? Ending::lost : Ending::failed, "resident: " + cause);
    ended.dead_handles = dead_handles;
    end_call(process.call, std::move(ended));
  }
  if (is_lost) {
    // No doing of the program's: its calls may run on another node.
    for (Waiting& waiting : std::exchange(program.waiting, {})) {
      end_call(waiting.call, ended_without_output(Ending::lost, "resident: " + cause));
    }
  }
  return finish(now);
}

ResidentPool::Output ResidentPool::time_passed(Time now) {
  for (auto& [number, process] : processes_) {
    if (process.phase == Process::Phase::cancelling && process.kill_at <= now) {
      process.end = cancelled();
      kill(number, process);
    }
  }
  return finish(now);
}

// ----

ResidentPool::Output ResidentPool::finish(Time now) {
  for (auto& [name, program] : programs_) {
    serve(now, name, program);
  }
  std::erase_if(programs_, [&](const auto& entry) {
    const Program& program = entry.second;
    return program.wanted == 0 && program.waiting.empty() && program.ends == 0 &&
           std::none_of(processes_.begin(), processes_.end(),
                        [&](const auto& process) { return process.second.program == entry.first; });
  });
  std::optional<Time> wake;
  const auto wake_by = [&](Time time) { wake = wake ? std::min(*wake, time) : time; };
  for (const auto& [number, process] : processes_) {
    if (process.phase == Process::Phase::cancelling) {
      wake_by(process.kill_at);
    }
  }
  for (const auto& [name, program] : programs_) {
    const bool wants_more =
        alive(name) < std::max(program.wanted, program.waiting.empty() ? 0 : std::size_t{1});
    if (wants_more && program.next_start > now) {
      wake_by(program.next_start);
    }
  }
  output_.wake_at = wake;
  return std::exchange(output_, {});
}

/// Gives waiting calls to processes, and starts what is missing.
void ResidentPool::serve(Time now, const std::string& name, Program& program) {
  for (const bool ready_ones : {true, false}) {
    for (auto& [number, process] : processes_) {
      if (!program.waiting.empty() && process.program == name &&
          process.phase == Process::Phase::idle && process.has_answered == ready_ones) {
        give(number, process, std::move(program.waiting.front()));
        program.waiting.pop_front();
      }
    }
  }
  std::size_t running = alive(name);
  while (program.next_start <= now && running < settings_.per_program &&
         running < std::max(program.wanted, running + program.waiting.size()) && make_room()) {
    start(now, name, program);
    ++running;
    if (program.ends >= settings_.ends_max) {
      program.next_start = now + settings_.rest;  // One try at a time.
    }
  }
  if (program.ends >= settings_.ends_max && program.next_start > now && running == 0) {
    for (Waiting& waiting : std::exchange(program.waiting, {})) {
      end_call(waiting.call,
               ended_without_output(Ending::failed,
                                    "resident: ended " + std::to_string(program.ends) +
                                        " times in a row without an answer, so it is tried every " +
                                        std::to_string(settings_.rest / std::chrono::seconds(1)) +
                                        " s only; the last time: " + program.last_cause));
    }
  }
}

void ResidentPool::start(Time now, const std::string& name, Program& program) {
  const ProcessNumber number = ++last_process_;
  Process& process = processes_.emplace(number, Process{.program = name}).first->second;
  process.since = now;
  output_.start.push_back({number, program.task});
  if (!program.waiting.empty()) {
    give(number, process, std::move(program.waiting.front()));
    program.waiting.pop_front();
  }
}

void ResidentPool::has_proved_itself(Process& process, Program& program) {
  process.has_answered = true;
  program.ends = 0;
  program.next_start = {};
}

/// False when every process is in use.
bool ResidentPool::make_room() {
  const auto count = std::count_if(processes_.begin(), processes_.end(), [](const auto& entry) {
    return entry.second.phase != Process::Phase::ending;
  });
  if (static_cast<std::size_t>(count) < settings_.processes_max) {
    return true;
  }
  auto oldest = processes_.end();
  for (auto at = processes_.begin(); at != processes_.end(); ++at) {
    if (at->second.phase == Process::Phase::idle &&
        (oldest == processes_.end() || at->second.since < oldest->second.since)) {
      oldest = at;
    }
  }
  if (oldest == processes_.end()) {
    return false;
  }
  programs_.at(oldest->second.program).wanted = 0;
  kill(oldest->first, oldest->second);
  return true;
}

void ResidentPool::give(ProcessNumber number, Process& process, Waiting waiting) {
  process.phase = Process::Phase::busy;
  process.call = waiting.call;
  ++process.last_id;
  output_.send.push_back({number, resident_call(process.last_id, waiting.run)});
  process.task = std::move(waiting.run.task);
}

void ResidentPool::end_call(CallNumber call, RunEnded ended) {
  output_.ended.push_back({call, std::move(ended)});
}

void ResidentPool::kill(ProcessNumber number, Process& process) {
  process.phase = Process::Phase::ending;
  output_.kill.push_back(number);
}

/// Processes of a program that are not on their way out.
std::size_t ResidentPool::alive(const std::string& program) const {
  return static_cast<std::size_t>(
      std::count_if(processes_.begin(), processes_.end(), [&](const auto& entry) {
        return entry.second.program == program && entry.second.phase != Process::Phase::ending;
      }));
}

}  // namespace forerun
