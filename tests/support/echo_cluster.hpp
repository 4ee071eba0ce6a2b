#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "demo/session_client.hpp"

namespace forerun::test {

/// A cluster that answers every call with its input. Thread-safe: its clients share it.
struct EchoCluster {
  std::mutex mutex;
  std::size_t openings = 0;
  std::map<std::string, std::vector<std::string>> heard;  ///< By run ID: texts and calls, in order.
  std::vector<std::string> ended;
  std::string origin = "miss";  ///< Of every step, and what it saved.
  double saved_ms = 0;
  std::string break_task;  ///< Confirming this task fails.
  std::string lie_task;    ///< This task's answer is not what it should be.
};

/// A client of it. Who derives says what opening does.
class EchoClient : public SessionClient {
public:
  explicit EchoClient(EchoCluster& cluster) : echo_(cluster) {}
  Result<void> add_text(const std::string& run_id, const std::string& text) override {
    const std::lock_guard lock(echo_.mutex);
    echo_.heard[run_id].push_back("text " + text);
    return {};
  }
  Result<std::vector<StepResult>> confirm(const std::string& run_id, const std::vector<Call>& calls,
                                          std::uint32_t expect_step,
                                          const std::string& key) override {
    const std::lock_guard lock(echo_.mutex);
    std::string line = std::to_string(expect_step) + " " + key + ":";
    std::vector<StepResult> results;
    for (const Call& call : calls) {
      if (call.task() == echo_.break_task) {
        return fail(Errc::io, "cut");
      }
      line += " " + call.task();
      const std::string output(call.canonical_input());
      results.push_back({expect_step + static_cast<std::uint32_t>(results.size()), false,
                         call.task() == echo_.lie_task ? "\"marker\"" : output, echo_.origin,
                         echo_.saved_ms, "hash"});
    }
    echo_.heard[run_id].push_back(line);
    return results;
  }
  Result<void> end(const std::string& run_id) override {
    const std::lock_guard lock(echo_.mutex);
    echo_.ended.push_back(run_id);
    return {};
  }
  Result<json::Value> status() override { return json::Value(); }

protected:
  /// @pre the cluster is locked.
  std::string opened() { return "home/" + std::to_string(++echo_.openings); }

private:
  EchoCluster& echo_;
};

}  // namespace forerun::test
