#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "simulation/plants.hpp"
#include "simulation/seed_runner.hpp"

/// forerun-sim: whole clusters on virtual time, one a seed (docs/simulation.md). Exit codes: 0 all
/// rules held, 1 one was broken, 2 usage.
namespace {

using namespace forerun;
using namespace forerun::simulation;

#ifdef FORERUN_PLANTED_BUGS
constexpr bool has_plants = true;
constexpr const char* program = "forerun-sim-planted";
void plant(Bug bug) {
  planted_bug = bug;
}
#else
constexpr bool has_plants = false;
constexpr const char* program = "forerun-sim";
void plant(Bug) {}
#endif

constexpr std::uint64_t plant_seeds_max = 5'000;
constexpr std::uint64_t jobs_max = 256;
/// Below so many seeds a fault, a hit or a second attempt may well be missing.
constexpr std::uint64_t telling_seeds = 300;

struct Arguments {
  SimulationSettings settings;
  std::uint64_t from = 0;
  std::uint64_t count = 1;
  std::uint64_t jobs = 1;
  std::string plant_name;
  bool prints_hash = false;
  bool prints_coverage = false;
  bool goes_on = false;
  bool minimises = false;
  bool lists_plants = false;
};

constexpr const char* usage =
    "usage: forerun-sim --seed N [--trace-hash] [--trace] [--minimise]\n"
    "       forerun-sim --seeds COUNT [--from N] [--jobs N] [--coverage] [--all]\n"
    "       forerun-sim-planted --plant NAME --seeds COUNT | --plants [--jobs N]\n"
    "  --jobs N          processes; the output does not depend on it\n"
    "  --all             goes on after a seed that breaks a rule\n"
    "  --coverage        prints which fault struck which protocol step; exits 1 if a cell is "
    "empty\n"
    "  --imposter        another node's key claims workers that have joined\n"
    "  --minimise        looks for the shortest command that breaks the same rule\n"
    "  --without FAULT   this fault does not strike (more than once)\n"
    "  --nodes N, --clients N, --sessions N, --faults-ms N   draws no more than that\n"
    "  --plants          the table of planted bugs: which rule finds each, after how many seeds\n";

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool is_hex = text.starts_with("0x");
  text.remove_prefix(is_hex ? 2 : 0);
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, is_hex ? 16 : 10);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

bool set_number(Arguments& arguments, std::string_view flag, std::uint64_t number) {
  Limits& limits = arguments.settings.limits;
  const std::map<std::string_view, std::uint64_t*> numbers{
      {"--seed", &arguments.from},      {"--from", &arguments.from},
      {"--seeds", &arguments.count},    {"--jobs", &arguments.jobs},
      {"--nodes", &limits.nodes},       {"--clients", &limits.clients},
      {"--sessions", &limits.sessions}, {"--faults-ms", &limits.faults_ms}};
  const auto found = numbers.find(flag);
  if (found == numbers.end()) {
    return false;
  }
  *found->second = number;
  return true;
}

bool set_name(Arguments& arguments, std::string_view flag, std::string_view name) {
  if (flag == "--without") {
    const auto fault = fault_from(name);
    if (!fault) {
      std::fprintf(stderr, "%s\n", fault.error().message.c_str());
      return false;
    }
    arguments.settings.off.insert(*fault);
    return true;
  }
  const auto found = plant_from(name);
  if (!found || !has_plants) {
    std::fprintf(stderr, "%s\n",
                 has_plants ? found.error().message.c_str()
                            : "--plant: bugs are planted in forerun-sim-planted only");
    return false;
  }
  plant(found->bug);
  arguments.plant_name = name;
  return true;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  const std::map<std::string_view, bool*> switches{
      {"--trace-hash", &arguments.prints_hash},
      {"--trace", &arguments.settings.prints_trace},
      {"--coverage", &arguments.prints_coverage},
      {"--all", &arguments.goes_on},
      {"--minimise", &arguments.minimises},
      {"--plants", &arguments.lists_plants},
      {"--imposter", &arguments.settings.has_imposter}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (const auto found = switches.find(flag); found != switches.end()) {
      *found->second = true;
      continue;
    }
    if (++i >= argc) {
      return std::nullopt;
    }
    const bool is_name = flag == "--without" || flag == "--plant";
    const auto number = is_name ? std::nullopt : number_of(argv[i]);
    if (is_name ? !set_name(arguments, flag, argv[i])
                : !number || !set_number(arguments, flag, *number)) {
      return std::nullopt;
    }
  }
  const Limits& limits = arguments.settings.limits;
  const bool is_sound = arguments.jobs > 0 && arguments.jobs <= jobs_max && limits.nodes > 0 &&
                        limits.clients > 0 && limits.sessions > 0 && arguments.count > 0;
  return is_sound && (has_plants || !arguments.lists_plants) ? std::optional(arguments)
                                                             : std::nullopt;
}

/// The one line that shows the same again.
std::string replay_of(const Arguments& arguments, const SimulationSettings& settings,
                      std::uint64_t seed) {
  std::string line = program;
  line += " --seed " + std::to_string(seed);
  line += arguments.plant_name.empty() ? "" : " --plant " + arguments.plant_name;
  const Limits usual;
  const auto limit = [&](const char* flag, std::uint64_t value, std::uint64_t usually) {
    line += value == usually ? std::string() : flag + std::to_string(value);
  };
  limit(" --nodes ", settings.limits.nodes, usual.nodes);
  limit(" --clients ", settings.limits.clients, usual.clients);
  limit(" --sessions ", settings.limits.sessions, usual.sessions);
  limit(" --faults-ms ", settings.limits.faults_ms, usual.faults_ms);
  line += settings.has_imposter ? " --imposter" : "";
  for (const Fault fault : settings.off) {
    line += " --without " + std::string(to_string(fault));
  }
  return line;
}

void print_failure(const Arguments& arguments, std::uint64_t seed, const SimulationReport& report) {
  std::fprintf(stderr, "seed %llu: %s: %s\nreplay: %s\n", static_cast<unsigned long long>(seed),
               std::string(to_string(report.violation->rule)).c_str(),
               report.violation->text.c_str(),
               replay_of(arguments, arguments.settings, seed).c_str());
  if (!arguments.minimises) {
    return;
  }
  SimulationSettings settings = arguments.settings;
  settings.seed = seed;
  const SimulationSettings least = minimise(settings, report.violation->rule);
  const SimulationReport shortest = run_seed_apart(least);
  std::fprintf(stderr, "minimised, %llu events instead of %llu: %s\nreplay: %s\n",
               static_cast<unsigned long long>(shortest.totals.events),
               static_cast<unsigned long long>(report.totals.events),
               shortest.violation ? shortest.violation->text.c_str() : "",
               replay_of(arguments, least, seed).c_str());
}

void print_totals(std::uint64_t seeds, const Totals& sum, const Digest& traces) {
  const auto shown = [](std::uint64_t number) { return static_cast<unsigned long long>(number); };
  std::printf(
      "%llu seeds: %llu steps, %llu hits, %llu discards, %llu entries, %llu coordinator crashes, "
      "%llu node crashes, %llu older stores put back, %llu audits, %llu second attempts (%llu "
      "answered first), %llu decisions "
      "the same without speculation, %llu events, traces %s\n",
      shown(seeds), shown(sum.steps), shown(sum.hits), shown(sum.discards), shown(sum.entries),
      shown(sum.coordinator_crashes), shown(sum.node_crashes), shown(sum.put_back),
      shown(sum.audits), shown(sum.hedges), shown(sum.hedges_won), shown(sum.serial),
      shown(sum.events), to_hex(traces).substr(0, 16).c_str());
}

/// What a run of many seeds must have met, or it shows nothing.
bool is_telling(const Arguments& arguments, const Totals& sum) {
  bool tells = true;
  const auto require = [&](bool is_met, const std::string& what) {
    if (!is_met) {
      std::fprintf(stderr, "%s in %llu seeds, so nothing is shown\n", what.c_str(),
                   static_cast<unsigned long long>(arguments.count));
      tells = false;
    }
  };
  if (arguments.count >= telling_seeds) {
    require(sum.hits > 0 && sum.discards > 0, "nothing was speculated");
    require(sum.hedges_won > 0, "nothing was hedged");
    require(sum.serial > 0, "nothing was compared with a run without speculation");
  }
  if (arguments.settings.has_imposter) {
    std::printf("%llu joins under another key were refused\n",
                static_cast<unsigned long long>(sum.imposters));
    require(sum.imposters > 0, "no imposter came");
  }
  if (arguments.prints_coverage) {
    std::printf("%s", sum.coverage.table().c_str());
    std::fflush(stdout);
    for (const std::string& cell : sum.coverage.missing()) {
      require(false, "never happened: " + cell);
    }
  }
  return tells;
}

int run(const Arguments& arguments) {
  Totals sum;
  Digest traces;
  std::uint64_t failures = 0;
  const auto take = [&](std::uint64_t seed, const SimulationReport& report) {
    sum.add(report.totals);
    traces = sha256_concat(traces.bytes, to_hex(report.trace_hash));
    if (arguments.prints_hash) {
      std::printf("%s\n", to_hex(report.trace_hash).c_str());
    }
    if (report.violation) {
      ++failures;
      print_failure(arguments, seed, report);
    }
    return !report.violation || arguments.goes_on;
  };
  run_seeds(arguments.settings, arguments.from, arguments.count,
            static_cast<unsigned>(arguments.jobs), take);
  if (failures > 0) {
    if (arguments.goes_on) {
      std::fprintf(stderr, "%llu of %llu seeds broke a rule\n",
                   static_cast<unsigned long long>(failures),
                   static_cast<unsigned long long>(arguments.count));
    }
    return EXIT_FAILURE;
  }
  if (!arguments.prints_hash) {
    print_totals(arguments.count, sum, traces);
  }
  return arguments.plant_name.empty() && !is_telling(arguments, sum) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/// Each planted bug until a rule finds it, as a table.
int list_plants(const Arguments& arguments) {
  std::printf("| planted bug | what is wrong | found by | seeds needed |\n|---|---|---|---|\n");
  bool all_found = true;
  for (const Plant& each : plants()) {
    plant(each.bug);
    bool is_found = false;
    run_seeds(arguments.settings, arguments.from, plant_seeds_max,
              static_cast<unsigned>(arguments.jobs),
              [&](std::uint64_t seed, const SimulationReport& report) {
                if (report.violation) {
                  is_found = true;
                  std::printf("| `%s` | %s | %s | %llu |\n", std::string(each.name).c_str(),
                              std::string(each.what).c_str(),
                              std::string(to_string(report.violation->rule)).c_str(),
                              static_cast<unsigned long long>(seed - arguments.from + 1));
                  std::fflush(stdout);
                }
                return !report.violation;
              });
    if (!is_found) {
      all_found = false;
      std::fprintf(stderr, "no seed of %llu found %s\n",
                   static_cast<unsigned long long>(plant_seeds_max),
                   std::string(each.name).c_str());
    }
  }
  return all_found ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(usage, stdout);
    return EXIT_SUCCESS;
  }
  const auto arguments = parse(argc, argv);
  if (!arguments) {
    std::fputs(usage, stderr);
    return 2;
  }
  return arguments->lists_plants ? list_plants(*arguments) : run(*arguments);
}
