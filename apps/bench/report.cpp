#include <cmath>
#include <iomanip>
#include <ostream>

#include "apps/bench/bench.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

json::Value rounded(double number) {
  return number >= 1000 ? std::round(number) : std::round(number * 100) / 100;
}

double ratio(double a, double b) {
  return b > 0 ? a / b : 0;
}

json::Object shares_json(const std::vector<std::pair<std::string, double>>& shares) {
  json::Object object;
  for (const auto& [name, us] : shares) {
    object.set(name, rounded(us));
  }
  return object;
}

json::Object cpu_json(const BenchRate& rate) {
  json::Object cpu;
  cpu.set("coordinator_us", rounded(rate.coordinator_cpu_us));
  cpu.set("nodes_us", rounded(rate.node_cpu_us));
  return cpu;
}

json::Object confirmed_first_json(const ConfirmedFirst& measured) {
  json::Object idle;
  idle.set("p50_us", rounded(measured.idle_p50_us));
  idle.set("p99_us", rounded(measured.idle_p99_us));
  json::Object busy;
  busy.set("p50_us", rounded(measured.busy_p50_us));
  busy.set("p99_us", rounded(measured.busy_p99_us));
  busy.set("samples", std::uint64_t{measured.preempting});
  json::Object full;
  full.set("off_p99_us", rounded(measured.full_off_p99_us));
  full.set("on_p99_us", rounded(measured.full_on_p99_us));
  full.set("on_to_off", rounded(ratio(measured.full_on_p99_us, measured.full_off_p99_us)));
  full.set("off_per_s", rounded(measured.full_off_per_s));
  full.set("on_per_s", rounded(measured.full_on_per_s));
  json::Object object;
  object.set("idle", std::move(idle));
  object.set("slots_full_of_speculation", std::move(busy));
  object.set("slots_full_of_confirmed", std::move(full));
  return object;
}

json::Object hedging_json(const HedgingTail& measured) {
  json::Object object;
  object.set("off_p50_us", rounded(measured.off_p50_us));
  object.set("off_p99_us", rounded(measured.off_p99_us));
  object.set("on_p50_us", rounded(measured.on_p50_us));
  object.set("on_p99_us", rounded(measured.on_p99_us));
  object.set("off_to_on_p99", rounded(ratio(measured.off_p99_us, measured.on_p99_us)));
  object.set("second_share", std::round(measured.second_share * 1e4) / 1e4);
  return object;
}

class Table {
public:
  explicit Table(std::ostream& out) : out_(out) {
    row("", "p50 µs", "p99 µs", "per s", "CPU µs/step");
  }
  void rate(const std::string& name, const BenchRate& rate) {
    row(name, number(rate.p50_us), number(rate.p99_us), number(rate.per_s),
        rate.coordinator_cpu_us > 0
            ? number(rate.coordinator_cpu_us) + " + " + number(rate.node_cpu_us)
            : "");
  }
  static std::string number(double value) {
    if (value <= 0) {
      return "-";
    }
    std::string text = std::to_string(static_cast<std::int64_t>(std::llround(value * 10)));
    if (value >= 100) {
      return text.substr(0, text.size() - 1);
    }
    text.insert(text.size() - 1, text.size() == 1 ? "0." : ".");
    return text;
  }

private:
  void row(const std::string& name, const std::string& p50, const std::string& p99,
           const std::string& per_s, const std::string& cpu) {
    out_ << pad(name, 34) << pad(p50, 10) << pad(p99, 10) << pad(per_s, 12) << cpu << '\n';
  }
  static std::string pad(std::string text, std::size_t width) {
    std::size_t shown = 0;  // "µ" takes two bytes and one column.
    for (const char c : text) {
      shown += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
    }
    text.append(shown < width ? width - shown : 1, ' ');
    return text;
  }
  std::ostream& out_;
};

void print_tail(const BenchResult& result, std::ostream& out) {
  const ConfirmedFirst& first = result.confirmed_first;
  const HedgingTail& hedging = result.hedging;
  const auto number = &Table::number;
  out << "A confirmed no-op, p50 and p99 in µs: " << number(first.idle_p50_us) << " and "
      << number(first.idle_p99_us) << " with idle slots, " << number(first.busy_p50_us) << " and "
      << number(first.busy_p99_us) << " with every slot taken by speculation.\n"
      << "All slots busy with confirmed work, p99 in µs: " << number(first.full_off_p99_us)
      << " without speculation, " << number(first.full_on_p99_us) << " with it.\n"
      << "One slow node among four, p99 in µs: " << number(hedging.off_p99_us)
      << " without second attempts, " << number(hedging.on_p99_us) << " with them, a factor of "
      << std::setprecision(1) << ratio(hedging.off_p99_us, hedging.on_p99_us) << " ("
      << 100 * hedging.second_share << " % of the steps).\n";
}

void print_shares(const std::string& title,
                  const std::vector<std::pair<std::string, double>>& shares, std::ostream& out) {
  double sum = 0;
  for (const auto& [name, us] : shares) {
    sum += us;
  }
  out << '\n' << title << ", µs of processor time a step:\n";
  for (const auto& [name, us] : shares) {
    out << "  " << std::left << std::setw(32) << name << std::right << std::fixed
        << std::setprecision(1) << std::setw(7) << us << std::setw(6) << std::setprecision(0)
        << 100 * ratio(us, sum) << " %\n";
  }
}

}  // namespace

void print_bench_json(const BenchResult& result, const BenchSettings& settings, std::ostream& out) {
  json::Object raw;
  raw.set("p50_us", rounded(result.raw.p50_us));
  raw.set("p99_us", rounded(result.raw.p99_us));
  raw.set("per_s", rounded(result.raw.per_s));
  json::Object step;
  step.set("p50_us", rounded(result.step.p50_us));
  step.set("p99_us", rounded(result.step.p99_us));
  step.set("per_s", rounded(result.step.per_s));
  step.set("durable_per_s", rounded(result.durable.per_s));
  step.set("durable_p50_us", rounded(result.durable.p50_us));
  step.set("durable_p99_us", rounded(result.durable.p99_us));
  step.set("raw_ratio", rounded(ratio(result.step.p50_us, result.raw.p50_us)));
  step.set("cpu", cpu_json(result.step));
  step.set("durable_cpu", cpu_json(result.durable));
  json::Object three;
  three.set("per_s", rounded(result.three_nodes.per_s));
  three.set("durable_per_s", rounded(result.three_nodes_durable.per_s));
  three.set("cpu", cpu_json(result.three_nodes));
  json::Object saturated;
  saturated.set("in_flight", std::uint64_t{settings.saturated});
  saturated.set("per_s", rounded(result.saturated.per_s));
  saturated.set("durable_per_s", rounded(result.saturated_durable.per_s));
  saturated.set("three_nodes_per_s", rounded(result.saturated_three_nodes.per_s));
  saturated.set("cpu", cpu_json(result.saturated));
  saturated.set("durable_cpu", cpu_json(result.saturated_durable));
  json::Object predicting;
  predicting.set("per_s", rounded(result.predicting.per_s));
  predicting.set("ahead_share", rounded(result.predicting_hits));
  predicting.set("cpu", cpu_json(result.predicting));
  json::Object hit;
  hit.set("p50_us", rounded(result.hit.p50_us));
  hit.set("p99_us", rounded(result.hit.p99_us));
  hit.set("outside_p50_us", rounded(result.hit_from_outside.p50_us));
  hit.set("outside_p99_us", rounded(result.hit_from_outside.p99_us));
  hit.set("share", rounded(result.hit_share));
  json::Object http;
  http.set("p50_us", rounded(result.http.p50_us));
  http.set("p99_us", rounded(result.http.p99_us));
  http.set("per_s", rounded(result.http.per_s));
  json::Object disk;
  disk.set("syncs", result.syncs);
  disk.set("entries", result.durable_steps);
  disk.set("largest_batch", result.largest_batch);
  json::Object memory;
  memory.set("session_bytes", rounded(result.session_bytes));
  memory.set("session_of_ten_steps_bytes",
             rounded(result.session_bytes + 10 * result.session_step_bytes));
  memory.set("learned_task_bytes", rounded(result.task_bytes));
  json::Object shares;
  shares.set("step", shares_json(result.shares));
  shares.set("durable_step", shares_json(result.shares_durable));
  json::Object body;
  body.set("raw_curve", std::move(raw));
  body.set("step", std::move(step));
  body.set("three_nodes", std::move(three));
  body.set("saturated", std::move(saturated));
  body.set("predicting", std::move(predicting));
  body.set("hit", std::move(hit));
  body.set("http_step", std::move(http));
  body.set("confirmed_first", confirmed_first_json(result.confirmed_first));
  body.set("hedging", hedging_json(result.hedging));
  body.set("jcs_hash_1kib_us", rounded(result.jcs_hash_1kib_us));
  body.set("disk", std::move(disk));
  body.set("memory", std::move(memory));
  body.set("cpu_us_by_part", std::move(shares));
  body.set("in_flight", std::uint64_t{settings.in_flight});
  body.set("frame_bytes", std::uint64_t{settings.size});
  out << json::canonical(body) << '\n';
}

void print_bench_table(const BenchResult& result, const BenchSettings& settings,
                       std::ostream& out) {
  Table table(out);
  table.rate("raw CURVE round trip", result.raw);
  table.rate("step, one node", result.step);
  table.rate("step, one node, durable", result.durable);
  table.rate("step, three nodes", result.three_nodes);
  table.rate("step, three nodes, durable", result.three_nodes_durable);
  const std::string saturated = std::to_string(settings.saturated) + " in flight";
  table.rate("one node, " + saturated, result.saturated);
  table.rate("durable, " + saturated, result.saturated_durable);
  table.rate("three nodes, " + saturated, result.saturated_three_nodes);
  table.rate("step, learning and predicting", result.predicting);
  table.rate("step over HTTP", result.http);
  table.rate("hit", result.hit);
  table.rate("hit, asked from another thread", result.hit_from_outside);
  out << "\np50 and p99: one at a time; per s: " << settings.in_flight
      << " in flight where no other number stands; CPU: coordinator + nodes. A request is "
      << settings.size << " bytes.\n"
      << std::fixed << std::setprecision(2) << "One step takes "
      << ratio(result.step.p50_us, result.raw.p50_us) << " raw round trips. "
      << std::setprecision(0) << 100 * result.hit_share << " % of the asked were hits; "
      << 100 * result.predicting_hits << " % of the predicting steps were run ahead.\n"
      << result.syncs << " syncs made " << result.durable_steps << " entries durable, at most "
      << result.largest_batch << " with one.\n"
      << "Canonical call of 1 KiB with its hash: " << std::setprecision(1)
      << result.jcs_hash_1kib_us << " µs. Memory: " << std::setprecision(0) << result.session_bytes
      << " bytes an open session, " << result.session_step_bytes << " more a step; "
      << result.task_bytes << " bytes a learned task.\n";
  print_tail(result, out);
  print_shares("One node", result.shares, out);
  print_shares("One node, durable", result.shares_durable, out);
}

}  // namespace forerun
