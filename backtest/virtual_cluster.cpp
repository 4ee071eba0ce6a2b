#include "backtest/virtual_cluster.hpp"

#include "base/assert.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

namespace {

constexpr ConnectionId only_connection{1};

SigningKey throw_away_key() {
  return SigningKey::from_seed(sha256(std::string_view("backtest")).bytes);
}

}  // namespace

VirtualCluster::VirtualCluster(CoordinatorSettings settings, std::unique_ptr<Predictor> predictor,
                               const RecordedWorld& world, std::uint32_t slots, ClusterCosts costs)
    : world_(world), costs_(costs) {
  // One node that is never silent and never lags: only time is of interest here.
  settings.membership.silence_max = std::chrono::hours(24 * 365 * 10);
  settings.membership.lag_entries_max = UINT64_MAX / 2;
  settings.head_interval = std::chrono::hours(24 * 365 * 10);
  settings.publish_interval = std::chrono::hours(24 * 365 * 10);
  settings.session_idle_max = std::chrono::hours(24 * 365 * 10);
  settings.race_log_share = 0;
  settings.run_id_block = 1U << 20U;
  machine_ = std::make_unique<CoordinatorMachine>(std::move(settings), throw_away_key(),
                                                  std::move(predictor));
  perform(machine_->start(now_));
  Join join;
  join.name = node_;
  join.instance = 1;
  while (slots > 0) {
    WorkerOffer offer;
    offer.worker.uuid.bytes.back() = static_cast<std::uint8_t>(join.workers.size());
    offer.slots = std::min<std::uint32_t>(slots, slots_per_worker_max);
    slots -= offer.slots;
    join.workers.push_back(offer);
  }
  step(NodeSaid{only_connection, NodeId{node_}, join});
}

void VirtualCluster::after(Duration delay, std::function<void()> happen) {
  events_.emplace(std::pair(now_ + std::max(delay, Duration::zero()), order_++), std::move(happen));
}

void VirtualCluster::ask(std::string tenant, decltype(ClientRequest::body) body,
                         std::function<void(const ResponseBody&)> answer) {
  ClientRequest request;
  request.id = RequestId{++requests_};
  request.tenant = std::move(tenant);
  request.body = std::move(body);
  waiting_.emplace(request.id.value, std::move(answer));
  after({}, [this, request = std::move(request)] { step(request); });
}

void VirtualCluster::run(const std::function<bool()>& done) {
  while (!events_.empty() && !done()) {
    auto next = events_.begin();
    now_ = next->first.first;
    const std::function<void()> happen = std::move(next->second);
    events_.erase(next);
    happen();
  }
}

void VirtualCluster::step(const CoordinatorInput& input) {
  perform(machine_->step(now_, input));
}

void VirtualCluster::perform(CoordinatorOutput output) {
  if (output.persist) {
    after({}, [this, number = output.persist->number] { step(Persisted{number}); });
  }
  for (const ToNode& message : output.send) {
    serve(message.message);
  }
  if (output.look_ahead && !is_ahead_due_) {
    is_ahead_due_ = true;
    after({}, [this] {
      is_ahead_due_ = false;
      step(LookAhead{});
    });
  }
  for (const ClientResponse& response : output.reply) {
    const auto found = waiting_.find(response.id.value);
    FORERUN_ASSERT(found != waiting_.end());
    const auto answer = std::move(found->second);
    waiting_.erase(found);
    answer(response.body);
  }
  if (output.wake_at && output.wake_at != armed_) {
    armed_ = output.wake_at;
    after(*output.wake_at - now_, [this, at = *output.wake_at] {
      if (armed_ == at) {
        armed_.reset();
        step(TimePassed{});
      }
    });
  }
}

void VirtualCluster::serve(const CoordinatorMessage& message) {
  if (const auto* dispatch = std::get_if<Dispatch>(&message)) {
    begin(*dispatch);
  } else if (const auto* cancel = std::get_if<CancelBranch>(&message)) {
    if (running_.erase(cancel->token) > 0) {
      BranchEnded ended;
      ended.epoch = cancel->epoch;
      ended.token = cancel->token;
      ended.ending = Ending::cancelled;
      ended.freed_after = costs_.kill;
      after(costs_.kill, [this, ended] { step(NodeSaid{only_connection, NodeId{node_}, ended}); });
    }
  } else if (const auto* reserve = std::get_if<ReserveRunIds>(&message)) {
    after({}, [this, stored = MarkStored{reserve->worker, reserve->mark}] {
      step(NodeSaid{only_connection, NodeId{node_}, stored});
    });
  }
}

void VirtualCluster::begin(const Dispatch& dispatch) {
  const std::uint64_t run = ++runs_;
  running_[dispatch.token] = run;
  BranchEnded ended;
  ended.epoch = dispatch.epoch;
  ended.token = dispatch.token;
  Duration latency{};
  FORERUN_ASSERT(dispatch.world.has_value());
  auto input = json::parse(dispatch.input);
  FORERUN_ASSERT(input.has_value() && input->object() != nullptr);
  const auto answer =
      world_.answer(Call::make(dispatch.task, std::move(*input->object())), *dispatch.world);
  if (answer) {
    ended.output = json::canonical(answer->output);
    latency = answer->latency;
  } else {
    ended.ending = Ending::failed;
    ended.cause = answer.error().message;
  }
  ended.latency = latency;
  after(costs_.dispatch + latency, [this, run, ended = std::move(ended)] {
    const auto at = running_.find(ended.token);
    if (at != running_.end() && at->second == run) {
      running_.erase(at);
      step(NodeSaid{only_connection, NodeId{node_}, ended});
    }
  });
}

}  // namespace forerun
