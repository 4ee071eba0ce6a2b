#include "apps/bench/load.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "apps/bench/cpu_times.hpp"
#include "base/assert.hpp"

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* tenant = "bench";
constexpr std::uint64_t steps_per_session_max =
    9'000;  ///< Then the session makes room for another.
constexpr std::chrono::seconds answered_within{20};
constexpr unsigned slot_bits = 16;  ///< Of a request id: which slot it belongs to.

ClientRequest request_of(std::uint64_t id, decltype(ClientRequest::body) body) {
  return {RequestId{id}, tenant, std::move(body)};
}

CoordinatorInputs alone(ClientRequest request) {
  CoordinatorInputs inputs;
  inputs.inputs.emplace_back(std::move(request));
  return inputs;
}

double micros_since(Clock::time_point since) {
  return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

/// One session after another, with one request on its way.
struct Slot {
  RunId run_id;
  std::uint64_t steps = 0;  ///< Confirmed in this session.
  std::uint64_t total = 0;  ///< Requests sent.
  Clock::time_point sent;
};

/// What the coordinator's threads and the measuring thread share.
class Loop : public std::enable_shared_from_this<Loop> {
public:
  Loop(BenchCluster& cluster, const LoadSettings& settings)
      : cluster_(cluster), settings_(settings), slots_(settings.in_flight) {}

  void begin() {
    cluster_.answer_to([self = shared_from_this()](ClientResponse response) {
      self->answered(std::move(response));
    });
    CoordinatorInputs inputs;
    for (std::size_t number = 0; number < slots_.size(); ++number) {
      inputs.inputs.emplace_back(open(number));
    }
    cluster_.put(std::move(inputs));
  }

  bool wait_until_idle() {
    std::unique_lock lock(mutex_);
    is_stopping_ = true;
    return changed_.wait_for(lock, answered_within, [this] { return idle_ == slots_.size(); });
  }

  bool wait_until_open() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, answered_within, [this] { return opened_ >= slots_.size(); });
  }

  void end_sessions() { cluster_.answer_to({}); }

  std::uint64_t steps() const { return steps_; }
  std::uint64_t hits() const { return hits_; }
  std::uint64_t late_hits() const { return late_hits_; }
  std::uint64_t refused() const { return refused_; }
  void keep_latencies(bool keep) { keeps_latencies_ = keep; }
  std::vector<float> take_latencies() {
    const std::lock_guard lock(mutex_);
    return std::exchange(latencies_, {});
  }

private:
  std::uint64_t next_id(std::size_t number) {
    return local_requests_from | (++slots_[number].total << slot_bits) | number;
  }
  ClientRequest open(std::size_t number) {
    OpenSession body;
    body.mode = settings_.mode;
    return request_of(next_id(number), std::move(body));
  }
  ClientRequest confirm(std::size_t number) {
    Slot& slot = slots_[number];
    ConfirmCalls body;
    body.run_id = slot.run_id;
    body.calls.push_back(bench_call(number, slot.steps++, settings_.input_bytes, settings_.work));
    slot.sent = Clock::now();
    return request_of(next_id(number), std::move(body));
  }

  void answered(ClientResponse response) {
    const std::size_t number = response.id.value & ((std::uint64_t{1} << slot_bits) - 1);
    Slot& slot = slots_.at(number);
    if (const auto* opened = std::get_if<SessionOpened>(&response.body)) {
      slot.run_id = opened->run_id;
      slot.steps = 0;
      note_opened();
    } else if (const auto* answers = std::get_if<StepAnswers>(&response.body)) {
      note_answer(slot, answers->steps.front());
    } else if (std::holds_alternative<RequestFailed>(response.body)) {
      ++refused_;
      note_idle();
      return;
    }
    if (is_stopping_) {
      note_idle();
    } else if (std::holds_alternative<SessionEnded>(response.body)) {
      cluster_.put(alone(open(number)));
    } else if (slot.steps >= steps_per_session_max) {
      cluster_.put(alone(request_of(next_id(number), EndSession{slot.run_id})));
    } else {
      cluster_.put(alone(confirm(number)));
    }
  }

  void note_answer(Slot& slot, const StepAnswer& answer) {
    if (answer.failed) {
      ++refused_;
      return;
    }
    ++steps_;
    hits_ += answer.origin == Origin::hit ? 1 : 0;
    late_hits_ += answer.origin == Origin::late_hit ? 1 : 0;
    if (keeps_latencies_) {
      const std::lock_guard lock(mutex_);
      latencies_.push_back(static_cast<float>(micros_since(slot.sent)));
    }
  }
  void note_opened() {
    const std::lock_guard lock(mutex_);
    ++opened_;
    changed_.notify_all();
  }
  void note_idle() {
    const std::lock_guard lock(mutex_);
    ++idle_;
    changed_.notify_all();
  }

  BenchCluster& cluster_;
  const LoadSettings settings_;
  std::vector<Slot> slots_;  ///< Each touched by the thread that its answer comes on.
  std::atomic<std::uint64_t> steps_ = 0;
  std::atomic<std::uint64_t> hits_ = 0;
  std::atomic<std::uint64_t> late_hits_ = 0;
  std::atomic<std::uint64_t> refused_ = 0;
  std::atomic<bool> keeps_latencies_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<float> latencies_;
  std::size_t opened_ = 0;
  std::size_t idle_ = 0;
};

struct Snapshot {
  Clock::time_point at;
  std::uint64_t steps = 0;
  std::uint64_t hits = 0;
  std::uint64_t late_hits = 0;
  std::map<std::string, Duration> coordinator_cpu;
  std::map<std::string, Duration> node_cpu;
};

class LoopLoad final : public Load {
public:
  LoopLoad(BenchCluster& cluster, const LoadSettings& settings)
      : cluster_(cluster), settings_(settings), loop_(std::make_shared<Loop>(cluster, settings)) {}

  Result<void> begin() {
    loop_->begin();
    if (!loop_->wait_until_open()) {
      return fail(Errc::io, "bench: sessions are not opened");
    }
    std::this_thread::sleep_for(settings_.warm_up);
    return {};
  }

  LoadResult measure() override {
    LoadResult result;
    loop_->keep_latencies(true);
    Snapshot before = look();
    for (std::size_t i = 0; i < settings_.slices; ++i) {
      std::this_thread::sleep_for(settings_.slice);
      Snapshot after = look();
      LoadSlice slice;
      slice.time = std::chrono::duration_cast<Duration>(after.at - before.at);
      slice.steps = after.steps - before.steps;
      slice.hits = after.hits - before.hits;
      slice.late_hits = after.late_hits - before.late_hits;
      slice.coordinator_cpu = cpu_used(before.coordinator_cpu, after.coordinator_cpu);
      slice.node_cpu = cpu_used(before.node_cpu, after.node_cpu);
      result.slices.push_back(std::move(slice));
      before = std::move(after);
    }
    loop_->keep_latencies(false);
    result.latencies_us = loop_->take_latencies();
    result.refused = loop_->refused();
    return result;
  }

  Result<void> stop() override {
    if (!loop_->wait_until_idle()) {
      return fail(Errc::io, "bench: an answer stays away");
    }
    loop_->end_sessions();
    return {};
  }

private:
  Snapshot look() {
    Snapshot snapshot;
    snapshot.coordinator_cpu = cpu_times(static_cast<int>(getpid()));
    for (const int pid : cluster_.node_pids()) {
      for (const auto& [name, time] : cpu_times(pid)) {
        snapshot.node_cpu[name] += time;
      }
    }
    snapshot.hits = loop_->hits();
    snapshot.late_hits = loop_->late_hits();
    snapshot.steps = loop_->steps();
    snapshot.at = Clock::now();
    return snapshot;
  }

  BenchCluster& cluster_;
  const LoadSettings settings_;
  std::shared_ptr<Loop> loop_;
};

}  // namespace

Call bench_call(std::size_t session, std::uint64_t step, std::size_t input_bytes, BenchWork work) {
  json::Object input;
  const bool is_cyclic = work != BenchWork::distinct;
  const std::uint64_t number = is_cyclic ? step % bench_tasks : step;
  input.set("item", number);
  if (!is_cyclic) {
    input.set("session", std::uint64_t{session});
  }
  if (work == BenchWork::nap) {
    input.set("ms", 5);
  }
  const std::size_t own = json::canonical(input).size() + std::string_view(",\"pad\":\"\"").size();
  input.set("pad", std::string(input_bytes > own ? input_bytes - own : 0, 'x'));
  const char* function = work == BenchWork::brief ? "brief"
                         : work == BenchWork::nap ? "nap"
                                                  : "noop";
  return Call::make(bench_task(function, is_cyclic ? number : 0), std::move(input));
}

double percentile(std::vector<float> values, double share) {
  if (values.empty()) {
    return 0;
  }
  const auto rank = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), at, values.end());
  return static_cast<double>(*at);
}

double median(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double LoadSlice::per_s() const {
  return time > Duration::zero()
             ? static_cast<double>(steps) * 1e6 / static_cast<double>(time.count())
             : 0;
}

double LoadResult::per_s() const {
  std::vector<double> rates;
  for (const LoadSlice& slice : slices) {
    rates.push_back(slice.per_s());
  }
  return median(std::move(rates));
}

double LoadResult::per_step_us(std::map<std::string, Duration> LoadSlice::*cpu) const {
  std::vector<double> costs;
  for (const LoadSlice& slice : slices) {
    if (slice.steps > 0) {
      costs.push_back(static_cast<double>(sum_of(slice.*cpu).count()) /
                      static_cast<double>(slice.steps));
    }
  }
  return median(std::move(costs));
}

Result<std::unique_ptr<Load>> Load::start(BenchCluster& cluster, const LoadSettings& settings) {
  FORERUN_ASSERT(settings.in_flight > 0 && settings.in_flight < (std::size_t{1} << slot_bits));
  auto load = std::make_unique<LoopLoad>(cluster, settings);
  if (auto begun = load->begin(); !begun) {
    return tl::unexpected<Error>(begun.error());
  }
  return load;
}

Result<LoadResult> run_load(BenchCluster& cluster, const LoadSettings& settings) {
  auto load = Load::start(cluster, settings);
  if (!load) {
    return tl::unexpected<Error>(load.error());
  }
  LoadResult result = (*load)->measure();
  if (auto stopped = (*load)->stop(); !stopped) {
    return tl::unexpected<Error>(stopped.error());
  }
  return result;
}

Result<Asked> ask(BenchCluster& cluster, ClientRequest request, AskFrom from) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<ClientRequest> request;  ///< To be handed over where the first answer comes.
    std::optional<ClientResponse> response;
    Clock::time_point sent;
    Clock::time_point arrived;
  };
  const auto waiting = std::make_shared<Waiting>();
  cluster.answer_to([waiting, &cluster](ClientResponse response) {
    const auto now = Clock::now();
    const std::lock_guard lock(waiting->mutex);
    if (waiting->request) {
      CoordinatorInputs inputs = alone(*std::exchange(waiting->request, std::nullopt));
      waiting->sent = Clock::now();
      cluster.put(std::move(inputs));
      return;
    }
    waiting->response = std::move(response);
    waiting->arrived = now;
    waiting->changed.notify_all();
  });
  request.id.value |= local_requests_from;
  request.tenant = tenant;
  if (from == AskFrom::coordinator) {
    ClientRequest knock{request.id, tenant, EndSession{}};  // Of no session: refused at once.
    waiting->request = std::move(request);
    request = std::move(knock);
  }
  waiting->sent = Clock::now();
  cluster.put(alone(std::move(request)));
  std::unique_lock lock(waiting->mutex);
  if (!waiting->changed.wait_for(lock, answered_within,
                                 [&] { return waiting->response.has_value(); })) {
    return fail(Errc::io, "bench: an answer stays away");
  }
  return Asked{std::move(*waiting->response),
               std::chrono::duration<double, std::micro>(waiting->arrived - waiting->sent).count()};
}

}  // namespace forerun
