#include <unistd.h>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "simulation/simulation.hpp"

/// forerun-sim: whole clusters on virtual time, one a seed. Exit codes: 0 all rules held, 1 one was
/// broken, 2 usage.
namespace {

using namespace forerun;
using namespace forerun::simulation;

struct Arguments {
  std::uint64_t from = 0;
  std::uint64_t count = 1;
  Plant plant = Plant::none;
  std::string plant_name;
  bool prints_hash = false;
  bool prints_trace = false;
  bool wants_violation = false;
};

constexpr const char* usage =
    "usage: forerun-sim --seed N [--trace-hash] [--trace] [--plant NAME]\n"
    "       forerun-sim --seeds COUNT [--from N] [--plant NAME] [--expect-violation]\n";

char abort_note[160];

/// An assertion in a brain ends the process: say which seed it was.
void on_abort(int) {
  const ssize_t written = ::write(STDERR_FILENO, abort_note, std::strlen(abort_note));
  (void)written;
}

std::string replay_of(const Arguments& arguments, std::uint64_t seed) {
  return "replay: forerun-sim --seed " + std::to_string(seed) +
         (arguments.plant_name.empty() ? std::string() : " --plant " + arguments.plant_name);
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  text.remove_prefix(is_hex ? 2 : 0);
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, is_hex ? 16 : 10);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--trace-hash" || flag == "--trace" || flag == "--expect-violation") {
      arguments.prints_hash |= flag == "--trace-hash";
      arguments.prints_trace |= flag == "--trace";
      arguments.wants_violation |= flag == "--expect-violation";
      continue;
    }
    if (++i >= argc) {
      return std::nullopt;
    }
    if (flag == "--plant") {
      const auto plant = plant_from(argv[i]);
      if (!plant) {
        std::fprintf(stderr, "%s\n", plant.error().message.c_str());
        return std::nullopt;
      }
      arguments.plant = *plant;
      arguments.plant_name = argv[i];
      continue;
    }
    const auto number = number_of(argv[i]);
    if (!number || (flag != "--seed" && flag != "--from" && flag != "--seeds")) {
      return std::nullopt;
    }
    (flag == "--seeds" ? arguments.count : arguments.from) = *number;
  }
  return arguments;
}

SimulationReport run_seed(const Arguments& arguments, std::uint64_t seed) {
  std::snprintf(abort_note, sizeof abort_note, "%s\n", replay_of(arguments, seed).c_str());
  return simulate({seed, arguments.plant, arguments.prints_trace});
}

void add(SimulationReport& sum, const SimulationReport& report) {
  sum.events += report.events;
  sum.steps += report.steps;
  sum.hits += report.hits;
  sum.discards += report.discards;
  sum.entries += report.entries;
  sum.coordinator_crashes += report.coordinator_crashes;
  sum.node_crashes += report.node_crashes;
  sum.audits += report.audits;
  sum.hedges += report.hedges;
  sum.hedges_won += report.hedges_won;
}

int run(const Arguments& arguments) {
  SimulationReport sum;
  for (std::uint64_t i = 0; i < arguments.count; ++i) {
    const std::uint64_t seed = arguments.from + i;
    const SimulationReport report = run_seed(arguments, seed);
    add(sum, report);
    if (arguments.prints_hash) {
      std::printf("%s\n", to_hex(report.trace_hash).c_str());
    }
    if (report.violation) {
      std::fprintf(arguments.wants_violation ? stdout : stderr, "seed %llu: %s\n%s\n",
                   static_cast<unsigned long long>(seed), report.violation->c_str(),
                   replay_of(arguments, seed).c_str());
      return arguments.wants_violation ? EXIT_SUCCESS : EXIT_FAILURE;
    }
  }
  const auto shown = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  if (!arguments.prints_hash) {
    std::printf(
        "%llu seeds: %llu steps, %llu hits, %llu discards, %llu entries, %llu coordinator crashes, "
        "%llu node crashes, %llu audits, %llu second attempts (%llu answered first), %llu events\n",
        shown(arguments.count), shown(sum.steps), shown(sum.hits), shown(sum.discards),
        shown(sum.entries), shown(sum.coordinator_crashes), shown(sum.node_crashes),
        shown(sum.audits), shown(sum.hedges), shown(sum.hedges_won), shown(sum.events));
  }
  if (arguments.wants_violation) {
    std::fprintf(stderr, "no seed found the planted bug %s\n", arguments.plant_name.c_str());
    return EXIT_FAILURE;
  }
  if (arguments.count > 50 && sum.hedges_won == 0) {
    std::fprintf(stderr, "nothing was hedged in %llu seeds, so nothing is shown\n",
                 shown(arguments.count));
    return EXIT_FAILURE;
  }
  if (arguments.count > 1 && (sum.hits == 0 || sum.discards == 0)) {
    std::fprintf(stderr, "nothing was speculated in %llu seeds, so nothing is shown\n",
                 shown(arguments.count));
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
  if (!arguments) {
    std::fputs(usage, stderr);
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  return run(*arguments);
}
