/// forerun-predict-eval NAME: reads a trace (JSON Lines, unpacked) from standard input, learns it
/// online from nothing, and prints how often the next call was foretold exactly, how far the stated
/// probabilities held, and how long it took.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include "coordinator/prediction_graph.hpp"

using namespace forerun;

namespace {

constexpr std::size_t bins = 10;

struct Tally {
  std::uint64_t asked = 0, top1 = 0, top3 = 0, task1 = 0, any = 0;
  double brier = 0;
  double expected[bins] = {};
  std::uint64_t count[bins] = {}, hit[bins] = {};

  void add(const std::vector<Prediction>& predictions, const Call& truth,
           const std::optional<Output>& last_output) {
    ++asked;
    std::size_t rank = 0;
    bool found = false;
    for (const Prediction& each : predictions) {
      const bool premise_held =
          !each.premise || (last_output && each.premise->hash() == last_output->hash());
      const bool hit_now = premise_held && each.call == truth;
      const double p = each.probability * each.premise_probability;
      if (!found && hit_now) {
        top1 += rank == 0 ? 1 : 0;
        top3 += rank < 3 ? 1 : 0;
        any += 1;
        found = true;
      }
      if (rank == 0) {
        task1 += each.call.task() == truth.task() ? 1 : 0;
        note(p, hit_now);
      }
      ++rank;
    }
  }
  void note(double p, bool hit_now) {
    const auto bin = std::min<std::size_t>(static_cast<std::size_t>(p * bins), bins - 1);
    ++count[bin];
    hit[bin] += hit_now ? 1 : 0;
    expected[bin] += p;
    const double miss = p - (hit_now ? 1 : 0);
    brier += miss * miss;
  }
  void print(const char* title) const {
    const auto n = static_cast<double>(std::max<std::uint64_t>(asked, 1));
    double error = 0;
    double counted = 0;
    for (std::size_t i = 0; i < bins; ++i) {
      const double gap = expected[i] - static_cast<double>(hit[i]);
      error += gap < 0 ? -gap : gap;
      counted += static_cast<double>(count[i]);
    }
    std::printf(
        "%-10s n %6llu  top1 %.3f  top3 %.3f  listed %.3f  task %.3f  brier %.3f  ece %.3f\n",
        title, static_cast<unsigned long long>(asked), static_cast<double>(top1) / n,
        static_cast<double>(top3) / n, static_cast<double>(any) / n, static_cast<double>(task1) / n,
        brier / std::max(counted, 1.0), error / std::max(counted, 1.0));
  }
  void print_bins() const {
    for (std::size_t i = 0; i < bins; ++i) {
      if (count[i] > 0) {
        const auto n = static_cast<double>(count[i]);
        std::printf("    said %.3f  n %6llu  true %.3f\n", expected[i] / n,
                    static_cast<unsigned long long>(count[i]), static_cast<double>(hit[i]) / n);
      }
    }
  }
};

std::string string_at(const json::Value& value, const char* name) {
  const json::Value* found = value.find(name);
  const std::string* text = found == nullptr ? nullptr : found->string();
  return text == nullptr ? std::string() : *text;
}

double microseconds(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from).count();
}

struct Timing {
  std::vector<double> us;
  void print(const char* title) {
    if (us.empty()) {
      return;
    }
    std::sort(us.begin(), us.end());
    const double mean = std::accumulate(us.begin(), us.end(), 0.0) / static_cast<double>(us.size());
    std::printf("  %s us: mean %.1f p50 %.1f p99 %.1f max %.1f\n", title, mean, us[us.size() / 2],
                us[us.size() * 99 / 100], us.back());
  }
};

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "trace";
  const std::size_t sessions_max = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000;
  const std::size_t late_from = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 500;
  PredictionGraph graph;
  Tally known;
  Tally late;
  Tally open;
  Tally late_open;
  Timing observing;
  Timing predicting;
  Timing predicting_open;
  Timing texting;
  std::string line;
  RunId id;
  while (id.counter < sessions_max && std::getline(std::cin, line)) {
    json::Limits limits;
    limits.bytes = 16U << 20U;
    const Result<json::Value> parsed = json::parse(line, limits);
    if (!parsed) {
      // Recorded outputs may hold what JSON has no word for, such as Infinity.
      std::fprintf(stderr, "predict-eval: line after session %llu left out: %s\n",
                   static_cast<unsigned long long>(id.counter), parsed.error().message.c_str());
      continue;
    }
    const json::Value& session = *parsed;
    const bool is_late = id.counter >= late_from;
    ++id.counter;
    const std::string tenant = string_at(session, "source");
    if (const std::string context = string_at(session, "context"); !context.empty()) {
      const auto from = std::chrono::steady_clock::now();
      graph.text(id, tenant, context);
      texting.us.push_back(microseconds(from));
    }
    const json::Value* steps = session.find("steps");
    std::optional<ImaginedStep> last;
    for (const json::Value& step : *steps->array()) {
      const Call call = Call::make(string_at(step, "task"), *step.find("input")->object());
      const std::optional<Output> output = Output::make(*step.find("output"));
      if (const json::Value* texts = step.find("pre"); texts != nullptr && texts->array()) {
        for (const json::Value& text : *texts->array()) {
          graph.text(id, tenant, *text.string());
        }
      }
      auto from = std::chrono::steady_clock::now();
      const std::vector<Prediction> predictions = graph.predict(id, {.limit = 8});
      predicting.us.push_back(microseconds(from));
      const std::optional<Output> before = last ? last->output : std::nullopt;
      known.add(predictions, call, before);
      if (is_late) {
        late.add(predictions, call, before);
      }
      // What was said while this step ran, of what follows it, is asked one step later.
      from = std::chrono::steady_clock::now();
      const ImaginedStep running{call, std::nullopt};
      const std::vector<Prediction> beyond =
          graph.predict(id, {.beyond = std::span(&running, 1), .limit = 8});
      predicting_open.us.push_back(microseconds(from));
      const std::size_t place = static_cast<std::size_t>(&step - steps->array()->data());
      if (place + 1 < steps->array()->size()) {
        const json::Value& next = (*steps->array())[place + 1];
        const Call truth = Call::make(string_at(next, "task"), *next.find("input")->object());
        open.add(beyond, truth, output);
        if (is_late) {
          late_open.add(beyond, truth, output);
        }
      }
      from = std::chrono::steady_clock::now();
      graph.observe(id, tenant, call, output);
      observing.us.push_back(microseconds(from));
      last = ImaginedStep{call, output};
    }
    graph.end(id);
  }
  std::printf("%s: %llu sessions\n", name.c_str(), static_cast<unsigned long long>(id.counter));
  known.print("  known");
  known.print_bins();
  open.print("  running");
  open.print_bins();
  if (late.asked > 0) {
    late.print("  late");
    late_open.print("  late run");
  }
  observing.print("observe");
  predicting.print("predict");
  predicting_open.print("predict beyond a running step");
  texting.print("context");
  const PredictionSizes sizes = graph.sizes();
  std::printf("  contexts %zu forms %zu parameters %zu outputs %zu\n", sizes.contexts, sizes.forms,
              sizes.parameters, sizes.outputs);
  return 0;
}
