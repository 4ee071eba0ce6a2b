#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "demo/http_client.hpp"
#include "speculation/call.hpp"

namespace forerun {

struct SessionToOpen {
  std::string context;
  std::string speculation = "on";  ///< on, off or shadow.
  std::string world;               ///< A recorded session's name; empty for none.
  std::string idempotency_key;
  std::string run_id;  ///< Only for a cluster that takes given run IDs; empty: it gives one.
  std::string state;   ///< That it begins with, JSON; empty: `{}`.
};

/// One decided step as the cluster answered it.
struct StepResult {
  std::uint32_t step = 0;
  bool failed = false;
  std::string output;  ///< Canonical JSON; "null" when failed.
  std::string origin;  ///< hit, late_hit or miss.
  double saved_ms = 0;
  std::string decision_hash;  ///< 64 hex digits.
};

/// What a client of a cluster does, free of HTTP so that a test can stand in for a cluster. Owned
/// by one thread at a time. Every error names the request; errors keep the cluster's own words.
class SessionClient {
public:
  virtual ~SessionClient() = default;
  /// Returns the run ID.
  virtual Result<std::string> open(const SessionToOpen& session) = 0;
  virtual Result<void> add_text(const std::string& run_id, const std::string& text) = 0;
  /// Confirms the calls together; one result for each, in their order. @pre 1 to
  /// calls_per_request_max calls.
  virtual Result<std::vector<StepResult>> confirm(const std::string& run_id,
                                                  const std::vector<Call>& calls,
                                                  std::uint32_t expect_step,
                                                  const std::string& idempotency_key) = 0;
  virtual Result<void> end(const std::string& run_id) = 0;
  virtual Result<json::Value> status() = 0;
};

/// Speaks docs/http.md. Asks again, with the same key, after 503 and after a cut connection, a
/// limited number of times.
std::unique_ptr<SessionClient> make_http_session_client(std::string base_url,
                                                        const HttpLimits& limits = {});

/// The body of a request that confirms `calls`: one call as itself, several as a list.
std::string confirm_body(const std::vector<Call>& calls, std::uint32_t expect_step);
/// Reads one step of an answer. Errors: invalid, naming the member.
Result<StepResult> read_step_result(const json::Value& value);

}  // namespace forerun
