// What a step costs in the two brains and on the wire's codec, in one thread without sockets,
// actors and disk, by part. Under callgrind it counts instructions, which a busy machine does not
// change. Usage: forerun-bench-step [STEPS]

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "coordinator/no_predictor.hpp"
#include "messages/codec.hpp"
#include "node/machine.hpp"
#include "storage/memory_store.hpp"

using namespace forerun;

namespace {

constexpr std::size_t sessions = 64;
constexpr std::size_t pad_bytes = 150;
constexpr std::uint64_t steps_per_session = 9'000;

enum Part { generator, coordinator, store, wire, node_branches, node_ledger, parts };
constexpr std::array<const char*, parts> names = {"calls made and hashed",  "coordinator's brain",
                                                  "store in memory",        "codec, both ways",
                                                  "node's brain: branches", "node's brain: ledger"};

class StepBench {
public:
  StepBench()
      : machine_(settings(), SigningKey::from_seed({1}), std::make_unique<NoPredictor>()),
        node_(node_settings(), LedgerChecker(SigningKey::from_seed({1}).public_key()), Epoch{}) {}

  void run(std::uint64_t steps) {
    handle(machine_.start(now_));
    from_node(node_.step(now_, TimePassed{}));
    for (std::size_t i = 0; i < sessions; ++i) {
      open_one();
    }
    spent_ = {};
    const auto began = Clock::now();
    for (std::uint64_t done = 0; done < steps; done += sessions) {
      round();
    }
    report(std::chrono::duration<double, std::micro>(Clock::now() - began).count());
  }

private:
  using Clock = std::chrono::steady_clock;

  static CoordinatorSettings settings() {
    Task task;
    task.name = "noop";
    task.executor = ExecutorKind::native;
    task.effect = Effect::pure;
    task.function = "noop";
    CoordinatorSettings settings;
    settings.usefulness.control_share = 0;
    settings.catalog = Catalog::make({std::move(task)}, {}, {}).value();
    return settings;
  }
  static NodeSettings node_settings() {
    NodeSettings settings;
    settings.workers = {{WorkerId{Uuid{{1}}}, sessions, 0}};
    return settings;
  }

  template <class Work>
  auto timed(Part part, Work&& work) {
    const auto began = Clock::now();
    auto result = work();
    spent_[part] += std::chrono::duration<double, std::micro>(Clock::now() - began).count();
    return result;
  }

  void open_one() {
    OpenSession body;
    body.mode = SpeculationMode::off;
    give({ClientRequest{RequestId{++requests_}, "bench", std::move(body)}});
    FORERUN_ASSERT(!opened_.empty());
  }

  /// Every session confirms its next step; all are answered.
  void round() {
    now_ += std::chrono::microseconds(500);
    if (node_wake_ && *node_wake_ <= now_) {
      from_node(node_.step(now_, TimePassed{}));
    }
    const std::size_t answered = answered_;
    give(timed(generator, [&] {
      std::vector<CoordinatorInput> inputs;
      for (const RunId& run_id : opened_) {
        json::Object input;
        input.set("item", step_);
        input.set("session", run_id.counter);
        input.set("pad", std::string(pad_bytes, 'x'));
        ConfirmCalls body;
        body.run_id = run_id;
        body.calls.push_back(Call::make("noop", std::move(input)));
        inputs.emplace_back(ClientRequest{RequestId{++requests_}, "bench", std::move(body)});
      }
      return inputs;
    }));
    FORERUN_ASSERT(answered_ == answered + sessions);
    ++step_;
    FORERUN_ASSERT(step_ < steps_per_session);
  }

  void give(std::vector<CoordinatorInput> inputs) {
    handle(timed(coordinator, [&] { return machine_.step(now_, std::move(inputs)); }));
  }

  void handle(CoordinatorOutput output) {
    answered_ += output.reply.size();
    for (const ClientResponse& response : output.reply) {
      if (const auto* opened = std::get_if<SessionOpened>(&response.body)) {
        opened_.push_back(opened->run_id);
      }
    }
    if (output.publish) {
      to_node(node_ledger, {CoordinatorMessage(std::move(*output.publish))});
    }
    std::vector<CoordinatorMessage> messages;
    for (ToNode& message : output.send) {
      messages.push_back(std::move(message.message));
    }
    for (const ServeEntries& request : output.serve_entries) {
      Entries entries{request.from, {}, {}};
      std::vector<StoredEntry> rows = store_.read(request.from, request.count, false).value();
      for (StoredEntry& row : rows) {
        entries.records.push_back({std::move(row.leaf), std::move(row.call)});
      }
      messages.emplace_back(std::move(entries));
    }
    to_node(node_branches, std::move(messages));
    if (output.persist) {
      const BatchNumber number = output.persist->number;
      timed(store, [&] { return store_.persist(std::span(&*output.persist, 1)).has_value(); });
      give({Persisted{number}});
    }
  }

  void to_node(Part part, std::vector<CoordinatorMessage> messages) {
    if (messages.empty()) {
      return;
    }
    std::vector<NodeInput> inputs = timed(wire, [&] {
      std::vector<NodeInput> received;
      for (const std::string& frame : encode_frames(std::span(messages))) {
        std::vector<CoordinatorMessage> decoded = decode_coordinator_frame(frame).value();
        for (CoordinatorMessage& message : decoded) {
          received.emplace_back(std::move(message));
        }
      }
      return received;
    });
    from_node(timed(part, [&] { return node_.step(now_, std::move(inputs)); }));
  }

  void from_node(NodeOutput output) {
    node_wake_ = output.wake_at;
    std::vector<NodeInput> finished;
    for (const StartBranch& start : output.start) {
      BranchFinished branch;
      branch.ended.token = start.dispatch.token;
      branch.ended.output = "{}";
      branch.ended.latency = Duration(3);
      finished.emplace_back(std::move(branch));
    }
    for (const MarkRow& mark : output.marks) {
      finished.emplace_back(MarkPersisted{mark.worker, mark.mark});
    }
    if (!output.send.empty()) {
      give(timed(wire, [&] {
        std::vector<CoordinatorInput> received;
        for (const std::string& frame : encode_frames(std::span(output.send))) {
          std::vector<NodeMessage> decoded = decode_node_frame(frame).value();
          for (NodeMessage& message : decoded) {
            received.emplace_back(NodeSaid{ConnectionId{1}, NodeId{"node"}, std::move(message)});
          }
        }
        return received;
      }));
    }
    if (!finished.empty()) {
      from_node(timed(node_branches, [&] { return node_.step(now_, std::move(finished)); }));
    }
  }

  void report(double total) const {
    const auto steps = static_cast<double>(step_ * sessions);
    std::printf("%zu steps, %.2f us each\n", static_cast<std::size_t>(steps), total / steps);
    for (std::size_t part = 0; part < parts; ++part) {
      std::printf("  %-24s %6.2f us\n", names[part], spent_[part] / steps);
    }
  }

  Instant now_{std::chrono::seconds(1000)};
  CoordinatorMachine machine_;
  NodeMachine node_;
  MemoryCoordinatorStore store_;
  std::vector<RunId> opened_;
  std::optional<Instant> node_wake_;
  std::uint64_t requests_ = 0;
  std::uint64_t step_ = 0;
  std::size_t answered_ = 0;
  std::array<double, parts> spent_{};
};

}  // namespace

int main(int count, char** arguments) {
  StepBench().run(count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 100'000);
  return 0;
}
