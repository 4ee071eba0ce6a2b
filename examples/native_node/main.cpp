// A node with two functions of its own; catalog.toml says what they are.
#include <chrono>
#include <cmath>
#include <forerun/native_node.hpp>
#include <string>
#include <thread>

namespace {

namespace json = forerun::json;
using forerun::NativeAnswer;
using forerun::NativeCall;
using forerun::Result;

/// How likely an order is a fraud: a slow estimate that gets better with each round. It goes on
/// until it is good enough or its deadline is near, and stops when nobody needs it.
Result<NativeAnswer> score(const NativeCall& call) {
  using namespace std::chrono_literals;
  const json::Value* const amount = call.input.find("amount");
  if (amount == nullptr || amount->number() == nullptr) {
    return forerun::fail(forerun::Errc::invalid, "amount: expected a number");
  }
  double estimate = 0;
  int rounds = 0;
  for (; rounds < 50 && std::chrono::steady_clock::now() + 100ms < call.deadline.at(); ++rounds) {
    if (call.stop.stop_requested()) {
      return forerun::fail(forerun::Errc::refused, "stopped");
    }
    estimate += std::tanh(*amount->number() / 1000) / 50;
    std::this_thread::sleep_for(1ms);
  }
  json::Object output;
  output.set("rounds", rounds);
  output.set("score", estimate);
  return NativeAnswer(std::move(output));
}

/// Counts a customer's orders in the session's state: reads it, and returns what changes.
Result<NativeAnswer> count_order(const NativeCall& call) {
  const json::Value* const before = call.state.find("orders");
  const double orders = before == nullptr || before->number() == nullptr ? 0 : *before->number();
  NativeAnswer answer;
  json::Object writes;
  writes.set("orders", orders + 1);
  answer.writes = std::move(writes);
  answer.output = orders + 1;
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  return forerun::native_node_main(
      argc, argv, {{"scoring::score", score}, {"scoring::count_order", count_order}});
}
