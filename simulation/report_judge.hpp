#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "simulation/environment.hpp"
#include "speculation/client_api.hpp"

namespace forerun::simulation {

/// Says when what a client or an operator is shown is not what the auditor knows to be durable at
/// this moment.
class ReportJudge {
public:
  explicit ReportJudge(Environment& environment) : env_(environment) {}

  /// A page of a session. What is in memory may be a little behind what is durable.
  void session(const SessionView& view, const SessionPage& page);
  /// The same with how it came about, read from the store at this moment.
  void explanation(const RunId& run_id, const SessionPage& page, const json::Value& report);
  /// `confirmed`: so many steps were answered. `is_idle`: no call of the session is open.
  void predictions(const RunId& run_id, std::uint32_t confirmed, bool is_idle,
                   const json::Value& report);
  void status(const json::Value& report, const PublicKey& key, std::size_t nodes);
  /// Effects that are not delivered. `waited` were durable a while ago: what became so just now the
  /// brain may not have heard.
  void effects(const json::Value& report, const std::set<EffectId>& waited);

private:
  void fail(Rule rule, const std::string& what) { env_.time.violate(rule, what); }
  void expect_step(const std::string& place, const Auditor::Session& session, std::uint32_t step,
                   const json::Value& shown);
  void expect_discards(const std::string& place, const Auditor::Session& session,
                       const SessionPage& page, const json::Value& report);

  Environment& env_;
};

/// Members of a report; empty or 0 where there is none of that kind.
std::string text_in(const json::Value& value, std::string_view name);
std::uint64_t number_in(const json::Value& value, std::string_view name);
const json::Array& list_in(const json::Value& value, std::string_view name);
/// Reads "run_id", "step" and "index".
EffectId effect_in(const json::Value& value);

}  // namespace forerun::simulation
