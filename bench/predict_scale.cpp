/// forerun-predict-scale [TASKS] [STEPS]: teaches the predictor made-up sessions until it has
/// learned so many steps of so many tasks, and prints how fast it learned, all steps and each tenth
/// of them, how long a prediction then takes, and how much memory the process holds. Times are the
/// thread's own processor time, so that what else the machine does is not counted.

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "coordinator/prediction_graph.hpp"

using namespace forerun;

namespace {

constexpr std::size_t steps_per_session = 10;
constexpr std::size_t asked_sessions = 1'000;

/// Workflows of ten tasks each; one step in five goes another way. Inputs take a value of the
/// output before, one of the first input, and a constant.
class Sessions {
public:
  explicit Sessions(std::size_t tasks)
      : workflows_(std::max<std::size_t>(1, tasks / steps_per_session)) {}

  template <class Each>
  void play(Each each) {
    const std::uint64_t workflow = random_.below(workflows_);
    const std::string order = "order_" + std::to_string(random_.below(1'000'000));
    std::string last = order;
    for (std::size_t step = 0; step < steps_per_session; ++step) {
      const std::uint64_t taken = random_.below(5) == 0 ? random_.below(workflows_) : workflow;
      json::Object input;
      input.set("mode", "full");
      input.set("order", order);
      input.set("ref", last);
      last = "ref_" + std::to_string(random_.below(1'000'000));
      json::Object output;
      output.set("ref", last);
      output.set("status", random_.below(4) == 0 ? "held" : "ok");
      each(Call::make("task_" + std::to_string(taken * steps_per_session + step), std::move(input)),
           Output::make(json::Value(std::move(output))));
    }
  }

private:
  std::uint64_t workflows_;
  Prng random_{7};
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t tasks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000;
  const std::size_t steps = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  PredictionGraph graph;
  Sessions sessions(tasks);
  RunId id;
  double learning = 0;
  double tenths[10] = {};
  for (std::size_t learned = 0; learned < steps; learned += steps_per_session) {
    ++id.counter;
    std::vector<std::pair<Call, Output>> made;
    sessions.play(
        [&](Call call, Output output) { made.emplace_back(std::move(call), std::move(output)); });
    const double from = processor_seconds();
    for (const auto& [call, output] : made) {
      graph.observe(id, "bench", call, output);
    }
    graph.end(id);
    const double took = processor_seconds() - from;
    learning += took;
    tenths[std::min<std::size_t>(9, learned * 10 / steps)] += took;
  }
  graph.set_learning(false);
  std::vector<double> us;
  std::size_t right = 0;
  for (std::size_t n = 0; n < asked_sessions; ++n) {
    ++id.counter;
    sessions.play([&](const Call& call, const Output& output) {
      const double from = processor_seconds();
      const std::vector<Prediction> predictions = graph.predict(id, {.limit = 8});
      us.push_back((processor_seconds() - from) * 1e6);
      right += !predictions.empty() && predictions.front().call == call ? 1 : 0;
      graph.observe(id, "bench", call, output);
    });
    graph.end(id);
  }
  std::sort(us.begin(), us.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const PredictionSizes sizes = graph.sizes();
  std::printf("%zu tasks, %zu steps: learned %.0f steps/s\n", tasks, steps,
              static_cast<double>(steps) / learning);
  std::printf("each tenth:");
  for (const double took : tenths) {
    std::printf(" %.0f", static_cast<double>(steps) / 10 / took);
  }
  std::printf("\n");
  std::printf("predict us: p50 %.1f p99 %.1f max %.1f; first guess right %.3f\n", us[us.size() / 2],
              us[us.size() * 99 / 100], us.back(),
              static_cast<double>(right) / static_cast<double>(us.size()));
  std::printf("memory %.0f MB; contexts %zu forms %zu parameters %zu outputs %zu\n",
              static_cast<double>(usage.ru_maxrss) / 1024, sizes.contexts, sizes.forms,
              sizes.parameters, sizes.outputs);
  return 0;
}
