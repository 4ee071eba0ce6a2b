#include "demo/workload.hpp"

#include <array>
#include <cstdio>
#include <utility>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "base/prng.hpp"

namespace forerun {
namespace {

constexpr std::array<const char*, 38> model_tasks = {
    "approve", "archive", "assess",    "audit",   "classify",  "cluster", "compare", "critique",
    "dedupe",  "draft",   "embed",     "enrich",  "escalate",  "explain", "extract", "forecast",
    "index",   "label",   "match",     "notify",  "outline",   "parse",   "plan",    "price",
    "quote",   "rank",    "redact",    "resolve", "retrieve",  "review",  "rewrite", "route",
    "score",   "segment", "summarize", "tag",     "translate", "verify"};
constexpr std::array<const char*, 3> labels = {"a", "b", "c"};

constexpr double latency_median_ms = 1550;
constexpr double latency_sigma = 0.3;
constexpr double think_median_ms = 50;
constexpr double think_sigma = 0.3;
constexpr double second_label_share = 0.7;  ///< Of what the likeliest label leaves.

/// Modelled latencies of the native tasks (node/executors/demo_functions.hpp). Only the ideal and
/// the ratio of tool to think time are computed from them. `triage` ends with the branch ranked
/// first, so a mean; `answer` most often with its slow branch.
constexpr double store_get_ms = 60;
constexpr double store_put_ms = 80;
constexpr double triage_ms = 150;
constexpr double answer_ms = 400;

Duration from_milliseconds(double value) {
  return Duration(static_cast<Duration::rep>(value * 1000.0 + 0.5));
}

/// One call of a workflow at one depth.
struct Place {
  std::string task;
  double likeliest = 0.95;
  std::array<std::size_t, 3> next{};  ///< By label: which place of the next depth.
};

struct WorkloadFlow {
  std::string name;
  std::vector<std::vector<Place>> depths;  ///< The first depth has one place, the others three.
};

double likeliest_share(Prng& prng) {
  const double draw = prng.unit();
  if (draw < 0.80) {
    return 0.95;
  }
  return draw < 0.95 ? 0.78 : 0.45;
}

std::array<std::size_t, 3> shuffled_next(Prng& prng) {
  std::array<std::size_t, 3> order{0, 1, 2};
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[prng.below(i)]);
  }
  return order;
}

std::string numbered(const char* format, std::uint64_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, static_cast<unsigned long long>(number));
  return text.data();
}

/// No task occurs twice in a flow, as in the workload that this one is shaped after.
WorkloadFlow make_flow(std::size_t number, Prng& prng) {
  WorkloadFlow flow;
  flow.name = numbered("flow-%02llu", number);
  std::vector<std::string> pool(model_tasks.begin(), model_tasks.end());
  const std::size_t length = 6 + prng.below(3);
  for (std::size_t depth = 0; depth < length; ++depth) {
    std::vector<Place> places(depth == 0 ? 1 : labels.size());
    for (Place& place : places) {
      const std::size_t pick = prng.below(pool.size());
      place.task = pool[pick];
      pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(pick));
      place.likeliest = likeliest_share(prng);
      place.next = shuffled_next(prng);
    }
    flow.depths.push_back(std::move(places));
  }
  return flow;
}

std::size_t draw_label(const Place& place, Prng& prng) {
  if (prng.chance(place.likeliest)) {
    return 0;
  }
  return prng.chance(second_label_share) ? 1 : 2;
}

/// Writes one session step by step.
class SessionWriter {
public:
  SessionWriter(Prng& prng, const WorkloadFlow& flow, std::string document)
      : prng_(prng), flow_(flow), document_(std::move(document)) {}

  TraceSession write(std::size_t number, std::size_t flow_number) {
    const std::string customer = numbered("C-%llu", 100 + prng_.below(300));
    session_.name = "demo-" + std::to_string(number);
    session_.group = session_.name;
    session_.source = "demo";
    session_.context =
        "Run " + flow_.name + " on document " + document_ + " of customer " + customer + ".";
    std::size_t place_index = 0;
    for (std::size_t depth = 0; depth < flow_.depths.size(); ++depth) {
      const Place& place = flow_.depths[depth][place_index];
      const std::size_t label = draw_label(place, prng_);
      add_model_call(place.task, labels[label], depth == 0 ? customer : std::string());
      place_index = place.next[label];
      if (flow_number % 3 == 1 && depth == 2) {
        add_store_steps();
      }
      if (flow_number % 3 == 2 && depth == 2) {
        add_native("triage", document_input(), triage_ms);
      }
    }
    if (flow_number % 3 == 2) {
      add_native("answer", document_input(), answer_ms);
    }
    return std::move(session_);
  }

private:
  json::Object document_input() const {
    json::Object input;
    input.set("workflow", flow_.name);
    input.set("document", document_);
    return input;
  }

  void add(std::string task, json::Object input, json::Value output, double latency_ms) {
    const double think_ms = prng_.lognormal(think_median_ms, think_sigma);
    session_.steps.push_back(TraceStep{Call::make(std::move(task), std::move(input)),
                                       std::move(output),
                                       from_milliseconds(latency_ms),
                                       from_milliseconds(think_ms),
                                       {},
                                       false});
  }

  void add_model_call(const std::string& task, const char* label, const std::string& customer) {
    json::Object input = document_input();
    if (!customer.empty()) {
      input.set("customer", customer);
    }
    json::Object output;
    output.set("label", label);
    add(task, std::move(input), std::move(output),
        prng_.lognormal(latency_median_ms, latency_sigma));
  }

  void add_native(const std::string& task, json::Object input, double latency_ms) {
    add(task, std::move(input), nullptr, latency_ms);
  }

  /// The second read equals the first; started before the write has ended, its answer would be
  /// stale.
  void add_store_steps() {
    json::Object key;
    key.set("key", document_);
    json::Object entry = key;
    entry.set("value", numbered("checked-%llu", prng_.below(1'000'000)));
    add_native("store_get", key, store_get_ms);
    add_native("store_put", std::move(entry), store_put_ms);
    add_native("store_get", std::move(key), store_get_ms);
  }

  Prng& prng_;
  const WorkloadFlow& flow_;
  std::string document_;
  TraceSession session_;
};

constexpr const char* native_catalog = R"(
[task.store_get]
executor = "native"
function = "demo.store_get"
effect = "read"
reads = ["store/{key}"]

[task.store_put]
executor = "native"
function = "demo.store_put"
effect = "write"
writes = ["store/{key}"]
idempotent = true

[task.classify_fast]
executor = "native"
function = "demo.classify_fast"
effect = "pure"

[task.classify_slow]
executor = "native"
function = "demo.classify_slow"
effect = "pure"

[task.classify_rules]
executor = "native"
function = "demo.classify_rules"
effect = "pure"

[race.triage]
branches = ["classify_fast", "classify_slow", "classify_rules"]
select = "ranked"

[race.answer]
branches = ["classify_fast", "classify_slow"]
select = "ordered"
valid = [{ branch = "classify_fast", pointer = "/confidence", at_least = 0.9 }]
)";

std::string generated_catalog() {
  std::string text =
      "# The catalog of `forerun demo`: model calls are answered by the demo's recorded world.\n";
  for (const char* task : model_tasks) {
    text += "\n[task." + std::string(task) + "]\nexecutor = \"world\"\neffect = \"pure\"\n";
  }
  return text + native_catalog;
}

}  // namespace

Effect Workload::effect(std::string_view task) const {
  const auto found = effects.find(task);
  return found == effects.end() ? Effect::write : found->second;
}

Workload generate_workload(const WorkloadSettings& settings) {
  FORERUN_ASSERT(settings.flows > 0);
  FORERUN_ASSERT(settings.sessions <= workload_sessions_max);
  Prng prng(settings.seed);
  std::vector<WorkloadFlow> flows;
  for (std::size_t i = 0; i < settings.flows; ++i) {
    flows.push_back(make_flow(i, prng));
  }
  Workload workload;
  workload.is_synthetic = true;
  workload.title =
      "generated, of the shape of the mission's steady workload, with store steps and races";
  workload.catalog = generated_catalog();
  std::set<std::string> documents;
  while (workload.sessions.size() < settings.sessions) {
    const std::string document = numbered("D-%06llu", prng.below(1'000'000));
    if (!documents.insert(document).second) {
      continue;  // Documents are the store's keys: sessions that run at once must not share one.
    }
    const std::size_t flow = prng.below(flows.size());
    const std::size_t number = workload.sessions.size();
    workload.sessions.push_back(SessionWriter(prng, flows[flow], document).write(number, flow));
  }
  for (const char* task : model_tasks) {
    workload.effects.emplace(task, Effect::pure);
  }
  workload.effects.insert({{"store_get", Effect::read},
                           {"store_put", Effect::write},
                           {"triage", Effect::pure},
                           {"answer", Effect::pure}});
  workload.native_tasks = {"store_get", "store_put", "triage", "answer"};
  return workload;
}

}  // namespace forerun
