#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "coordinator/machine.hpp"

namespace forerun::test {

/// Predicts what a test tells it to, for the session's next call, and nothing else.
class ScriptedPredictor final : public Predictor {
public:
  void text(const RunId&, std::string_view, std::string_view text) override {
    texts.emplace_back(text);
    heard += std::string(text) + "|";
  }
  void observe(const RunId&, std::string_view, const Call& call,
               const std::optional<Output>&) override {
    observed.push_back(call.task());
    heard += "<" + call.task() + ">";
  }
  void end(const RunId&) override { ++ended; }
  void set_learning(bool) override {}
  std::vector<Prediction> predict(const RunId&, const Question& question) const override {
    const std::string after = question.beyond.empty() ? "" : question.beyond.back().call.task();
    const auto at = next.find(after);
    return at == next.end() ? std::vector<Prediction>() : at->second;
  }
  double end_probability(const RunId&, const Question&) const override { return ends; }
  /// What is predicted after a path that ends with this task; "" for an empty path.
  std::map<std::string, std::vector<Prediction>> next;
  std::vector<std::string> texts;
  std::vector<std::string> observed;
  std::string heard;  ///< Texts and tasks in their order, as "hello|<task>".
  int ended = 0;
  double ends = 0;  ///< How likely any session ends next.
};

Call call(const std::string& task, const std::string& input = "{}");
Output output(const std::string& text);
Prediction prediction(Call call, double probability);

/// A coordinator's brain with hand-moved time, disk and nodes. What the brain asks for is kept
/// until a test acts on it.
class ScriptedCluster {
public:
  explicit ScriptedCluster(CoordinatorSettings settings = settings_of(default_catalog()));
  static Catalog default_catalog();
  static CoordinatorSettings settings_of(Catalog catalog);

  /// Gives an input and collects what must be done.
  void input(const CoordinatorInput& input);
  void pass(Duration duration);
  /// Makes everything durable that waits.
  void persist();
  /// A node with one worker of `slots` slots joins, its run IDs are reserved and all is durable.
  void join(int node, std::uint32_t slots = 4);
  /// Fills the waste budget with a minute of committed work.
  void earn();
  RunId open(SpeculationMode mode = SpeculationMode::on);
  RunId open(const OpenSession& body);
  /// Confirms calls and returns the request's number.
  RequestId confirm(const RunId& run_id, std::vector<Call> calls, const std::string& key = "");
  /// The dispatch of this task that has not been answered, oldest first. Fails the test when there
  /// is none.
  Dispatch take_dispatch(const std::string& task);
  bool has_dispatch(const std::string& task) const;
  /// The oldest effect that is a request and was not answered. Fails the test when there is none.
  Dispatch take_request();
  bool has_request() const;
  void finish(const Dispatch& dispatch, const std::string& output,
              Duration latency = std::chrono::milliseconds(10));
  /// Nodes say of each cancelled branch that it has ended.
  void free_slots();
  /// With a write-set and effects, as the node sends them; either may be empty.
  void finish_with(const Dispatch& dispatch, const std::string& output, const std::string& writes,
                   const std::string& effects = "");
  void end(const Dispatch& dispatch, Ending ending, const std::string& cause = "");
  /// The answer to a request; null when none has left.
  const ResponseBody* answer(RequestId request) const;
  /// Of what is durable.
  json::Value explanation(const RunId& run_id) const;
  const StepAnswer& step(RequestId request) const;
  /// The session's state as its client sees it.
  std::string state(const RunId& run_id);
  std::size_t cancels() const;
  /// Entries made durable or waiting to be, as JSON.
  std::vector<json::Value> entries() const;
  std::size_t count_entries(const std::string& kind, const std::string& member = "",
                            const std::string& value = "") const;

  /// Moves what is durable into a new brain, as after kill -9. What was not persisted is lost. With
  /// another catalog, if one is given.
  void crash_and_restart(std::optional<Catalog> catalog = {});

  Instant now{std::chrono::seconds(1000)};
  Duration freed_after{};                  ///< What nodes say of branches that they stop.
  ScriptedPredictor* predictor = nullptr;  ///< Owned by the machine.
  std::unique_ptr<CoordinatorMachine> machine;
  std::vector<ToNode> sent;
  std::vector<Dispatch> dispatches;
  std::map<std::uint64_t, ResponseBody> answers;
  std::vector<Entries> published;
  std::vector<std::string> races;
  std::vector<ServeSession> asked_of_store;
  std::vector<std::string> log;

private:
  void collect(CoordinatorOutput output);
  void settle(CoordinatorOutput output);
  static WorkerId worker_of(int node);

  CoordinatorSettings settings_;
  SigningKey key_ = SigningKey::from_seed({1});
  std::vector<CoordinatorBatch> waiting_;
  std::vector<std::pair<ConnectionId, BranchToken>> cancelled_;  ///< Not freed yet.
  std::vector<StoredEntry> durable_;
  std::map<RunId, SessionRow> rows_;
  std::vector<TextRow> texts_;
  std::vector<KeyRow> keys_;
  std::vector<IntentRow> intents_;
  std::map<WorkerId, std::uint64_t> marks_;
  std::map<WorkerId, OwnerRow> owners_;
  std::set<NodeId> quarantined_;
  std::map<EffectId, EffectRow> effects_;
  std::map<WorkerId, ConnectionId> connections_;
  std::uint64_t next_connection_ = 1;
  std::uint64_t next_request_ = 1;
};

}  // namespace forerun::test
