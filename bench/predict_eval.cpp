/// forerun-predict-eval [--train-share P] [--seed N] [--sessions N] [--coverage]
/// [--catalog FILE] [--without IDEA | --ablation] FILE...: how often the predictor names the next
/// call of recorded sessions exactly, how far its probabilities hold, and how long it takes. Each
/// file is measured for itself, online from nothing, or with a share of its groups learned first
/// and the rest measured without learning, as `forerun simulate` does it.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backtest/accuracy.hpp"
#include "backtest/sessions.hpp"
#include "backtest/simulation_input.hpp"
#include "coordinator/prediction_graph.hpp"

using namespace forerun;

namespace {

struct Options {
  std::optional<double> train_share;
  std::uint64_t seed = 1;
  std::size_t sessions_max = SIZE_MAX;
  bool shows_coverage = false;
  bool shows_ablation = false;
  PredictionSettings prediction;
  DeclaredTasks declared;
  std::vector<std::filesystem::path> files;
};

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
    std::printf("  %s: %zu, us: mean %.1f p50 %.1f p99 %.1f max %.1f\n", title, us.size(), mean,
                us[us.size() / 2], us[us.size() * 99 / 100], us.back());
  }
};

/// Where the right call stands among all that the predictor considered.
struct Coverage {
  static constexpr std::size_t considered_max = 1'000;
  std::uint64_t steps = 0, within[6] = {};
  static constexpr std::size_t ranks[6] = {1, 3, 8, 16, 32, considered_max};

  void count(const std::vector<Prediction>& made, const Call& came) {
    ++steps;
    for (std::size_t rank = 0; rank < made.size(); ++rank) {
      if (made[rank].call == came) {
        for (std::size_t i = 0; i < std::size(ranks); ++i) {
          within[i] += rank < ranks[i] ? 1 : 0;
        }
        return;
      }
    }
  }
  void print() const {
    std::printf("  the right call is among the first");
    for (std::size_t i = 0; i < std::size(ranks); ++i) {
      std::printf(
          i + 1 < std::size(ranks) ? " %zu: %.3f;" : " %zu (all): %.3f\n", ranks[i],
          static_cast<double>(within[i]) / static_cast<double>(std::max<std::uint64_t>(steps, 1)));
    }
  }
};

bool measure(const std::filesystem::path& file, const Options& options) {
  auto read = read_traces(file);
  if (!read) {
    std::fprintf(stderr, "forerun-predict-eval: %s\n", read.error().message.c_str());
    return false;
  }
  std::vector<TraceSession> sessions = std::move(*read);
  if (sessions.size() > options.sessions_max) {
    sessions.erase(sessions.begin() + static_cast<std::ptrdiff_t>(options.sessions_max),
                   sessions.end());
  }
  SplitSessions split;
  if (options.train_share) {
    split = split_by_group(std::move(sessions), *options.train_share, options.seed);
  } else {
    split.measured = std::move(sessions);
  }
  PredictionGraph graph(options.prediction);
  graph.declare(options.declared);
  std::size_t learned = 0;
  for (const TraceSession& session : split.history) {
    learned += session.steps.size();
  }
  const auto from = std::chrono::steady_clock::now();
  learn_from(graph, split.history);
  const double learning = microseconds(from);
  graph.set_learning(!options.train_share);
  Accuracy accuracy;
  Coverage coverage;
  Timing observing;
  Timing predicting;
  RunId id;
  for (const TraceSession& session : split.measured) {
    ++id.counter;
    const std::string tenant = tenant_of(session);
    graph.text(id, tenant, session.context);
    for (const TraceStep& step : session.steps) {
      for (const std::string& text : step.texts) {
        graph.text(id, tenant, text);
      }
      auto began = std::chrono::steady_clock::now();
      const Expectation expected = graph.expect(id, {});
      predicting.us.push_back(microseconds(began));
      accuracy.count(expected, step.call);
      if (options.shows_coverage) {
        coverage.count(graph.predict(id, {.limit = Coverage::considered_max}), step.call);
      }
      const std::optional<Output> output = Output::make(step.output);
      began = std::chrono::steady_clock::now();
      graph.observe(id, tenant, step.call, output);
      observing.us.push_back(microseconds(began));
    }
    graph.end(id);
  }
  const auto steps = static_cast<double>(std::max<std::uint64_t>(accuracy.steps, 1));
  const auto share = [&](std::uint64_t count) { return static_cast<double>(count) / steps; };
  std::printf(
      "%-24s steps %5llu  task %.3f %.3f  call %.3f %.3f  brier %.4f  ece %.4f  sure %.3f of "
      "%llu\n",
      file.stem().stem().string().c_str(), static_cast<unsigned long long>(accuracy.steps),
      share(accuracy.task_top1), share(accuracy.task_top3), share(accuracy.call_top1),
      share(accuracy.call_top3), accuracy.brier(), accuracy.ece(),
      static_cast<double>(accuracy.sure_came) /
          static_cast<double>(std::max<std::uint64_t>(accuracy.sure, 1)),
      static_cast<unsigned long long>(accuracy.sure));
  if (options.shows_coverage) {
    coverage.print();
    predicting.print("predict");
    observing.print("observe");
    if (learned > 0) {
      std::printf("  learned %zu steps, us a step: %.1f\n", learned,
                  learning / static_cast<double>(learned));
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto number = [&](auto& value) {
      const std::string_view text = ++i < argc ? argv[i] : "";
      if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
        std::fprintf(stderr, "forerun-predict-eval: %s: expected a number\n", argv[i - 1]);
        std::exit(2);
      }
    };
    if (flag == "--train-share") {
      number(options.train_share.emplace());
    } else if (flag == "--seed") {
      number(options.seed);
    } else if (flag == "--sessions") {
      number(options.sessions_max);
    } else if (flag == "--without") {
      const std::string_view name = ++i < argc ? argv[i] : "";
      options.prediction.without = parse_idea(name);
      if (!options.prediction.without) {
        std::fprintf(stderr, "forerun-predict-eval: --without: expected one of:");
        for (std::size_t n = 0; n < ideas; ++n) {
          std::fprintf(stderr, " %s", to_string(static_cast<Idea>(n)));
        }
        std::fprintf(stderr, "\n");
        return 2;
      }
    } else if (flag == "--catalog") {
      auto declared = read_declared(++i < argc ? argv[i] : "");
      if (!declared) {
        std::fprintf(stderr, "forerun-predict-eval: %s\n", declared.error().message.c_str());
        return 2;
      }
      options.declared = std::move(*declared);
    } else if (flag == "--ablation") {
      options.shows_ablation = true;
    } else if (flag == "--coverage") {
      options.shows_coverage = true;
    } else {
      options.files.emplace_back(flag);
    }
  }
  bool is_good = !options.files.empty();
  for (std::size_t n = 0; options.shows_ablation && n <= ideas; ++n) {
    // Each idea switched off in turn, none first.
    if (n > 0) {
      options.prediction.without = static_cast<Idea>(n - 1);
    }
    std::printf("without %s\n", n == 0 ? "nothing" : to_string(*options.prediction.without));
    for (const std::filesystem::path& file : options.files) {
      is_good = measure(file, options) && is_good;
    }
    std::fflush(stdout);
  }
  if (options.shows_ablation) {
    return is_good ? 0 : 1;
  }
  for (const std::filesystem::path& file : options.files) {
    is_good = measure(file, options) && is_good;
  }
  return is_good ? 0 : 1;
}
