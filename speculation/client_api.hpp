#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "speculation/call.hpp"
#include "speculation/durable.hpp"
#include "speculation/entry.hpp"
#include "speculation/ids.hpp"
#include "speculation/session_state.hpp"

/// What clients ask of the coordinator and what they get, free of HTTP. The gateway translates both
/// ways.
namespace forerun {

inline constexpr std::size_t calls_per_request_max = 64;
inline constexpr std::uint32_t audit_sample_max = 10'000;
inline constexpr std::size_t ledger_page_entries_max = 512;
inline constexpr std::size_t ledger_page_bytes_max =
    4U << 20U;  ///< Of leaves, calls and outputs; an entry of more comes alone.
inline constexpr std::uint32_t session_page_steps_max = 512;
inline constexpr std::size_t session_page_bytes_max =
    4U << 20U;  ///< Of what is stored of its steps; a step of more comes alone.
inline constexpr std::size_t history_sessions_per_request_max = 256;
inline constexpr std::size_t key_bytes_max = 255;  ///< Idempotency-Key.
inline constexpr std::size_t text_bytes_max = 256U << 10U;

struct OpenSession {
  std::string context;
  SpeculationMode mode = SpeculationMode::on;
  std::string world;            ///< Name of a recorded session that answers; empty for none.
  std::string idempotency_key;  ///< Empty for none.
  std::optional<RunId> run_id;  ///< Given only on a store that accepts it (replay).
  SessionState state;           ///< That it starts with.
};
struct AddText {
  RunId run_id;
  std::string text;
};
struct ConfirmCalls {
  RunId run_id;
  std::vector<Call> calls;  ///< 1 to calls_per_request_max.
  bool is_list = false;     ///< The client sent `calls`: answer with a list.
  std::optional<std::uint32_t> expect_step;
  std::string idempotency_key;
};
/// A page of a session: its steps from `first` on. It ends where the session does, after `count`
/// of them, or at session_page_bytes_max.
struct SessionPage {
  std::uint32_t first = 0;
  std::uint32_t count = session_page_steps_max;
};
struct ShowSession {
  RunId run_id;
  SessionPage page{};
};
struct EndSession {
  RunId run_id;
};
struct ShowStatus {};
/// What the predictor expects next in a session, with reasons.
struct ShowPredictions {
  RunId run_id;
};

/// How the session's decisions came about, from the stored record.
struct ShowExplanation {
  RunId run_id;
  SessionPage page{};
};
/// Every node reads its replica again, and a sample of committed steps runs again.
struct StartAudit {
  std::uint32_t sample = 0;           ///< Steps to run again; at most audit_sample_max.
  std::optional<std::uint64_t> seed;  ///< Of the sample; none: the head's root gives it.
  std::vector<std::uint64_t> sizes;   ///< Whose roots are asked for, rising; none: the head's.
  Duration deadline = std::chrono::seconds(60);
};
/// Durable entries with what lies beside them.
struct ShowLedger {
  Seq from;
  std::size_t count = ledger_page_entries_max;
};

/// Sessions that happened elsewhere, to learn from. Whole or not at all.
struct LearnHistory {
  struct Item {
    std::string name;
    std::uint32_t steps = 0;
    std::string text;  ///< history_text() of it.
  };
  std::vector<Item> sessions;  ///< 1 to history_sessions_per_request_max.
};
/// Drops every session that was taught.
struct ForgetHistory {};
/// The tenant's effects that are not delivered.
struct ShowEffects {};
/// Parked effects are tried again, or given up for good.
struct ChangeEffects {
  enum class Change : std::uint8_t { redrive, drop };
  Change change = Change::redrive;
  std::optional<EffectId> id;  ///< None: all of the tenant's that are parked.
};

struct ClientRequest {
  RequestId id;
  std::string tenant;
  std::variant<OpenSession, AddText, ConfirmCalls, ShowSession, EndSession, ShowStatus,
               ShowPredictions, ShowExplanation, StartAudit, ShowLedger, LearnHistory,
               ForgetHistory, ShowEffects, ChangeEffects>
      body;
};

struct SessionOpened {
  RunId run_id;
};
struct TextAdded {};
struct SessionEnded {
  RunId run_id;
  std::uint32_t steps = 0;
};

/// One decided step as its client sees it.
struct StepAnswer {
  RunId run_id;
  std::uint32_t step = 0;
  std::string task;
  bool failed = false;  ///< No branch was valid: `causes` tells why, by branch.
  std::string output;   ///< Canonical JSON; empty when failed.
  std::vector<std::string> branch_names;
  std::vector<std::optional<std::string>> causes;
  std::optional<std::string> winner;  ///< The winning branch's name.
  Origin origin = Origin::miss;
  Duration saved{};
  std::string seed;  ///< 16 hex digits.
  Digest decision_hash;
  Seq seq;
  std::optional<double> confidence;  ///< Of the speculation that answered.
};
struct StepAnswers {
  std::vector<StepAnswer> steps;
  bool is_list = false;
};

struct SessionView {
  RunId run_id;
  std::string context;
  SpeculationMode mode = SpeculationMode::on;
  bool ended = false;
  std::uint32_t next_step = 0;    ///< Of the session, not of the page.
  std::uint32_t first = 0;        ///< The page's first step, if there is one.
  std::vector<StepAnswer> steps;  ///< Of the page.
  std::string state;              ///< Canonical JSON object, after all steps.
};

/// Entries in order; fewer than asked for where the ledger or the page ends.
struct LedgerPage {
  struct Row {
    std::string leaf;
    std::string call;    ///< Empty: none, or erased.
    std::string output;  ///< The same, like those below.
    std::string writes;
    std::string effects;
  };
  Seq first;
  std::vector<Row> rows;
  SignedHead head;  ///< Of all that is durable.
};

/// Already JSON: for people and scripts, its shape is documented in docs/http.md.
struct JsonReport {
  json::Value body;
};

/// Why a request was not carried out.
enum class Refusal {
  invalid,     ///< 400
  not_found,   ///< 404: no such session, task or run ID
  conflict,    ///< 409: expect_step, session ended, a step is open
  key_reused,  ///< 422: an idempotency key that came with another request
  gone,        ///< 410: the key's outputs are no longer kept
  too_large,   ///< 413
  overloaded,  ///< 503 with Retry-After: a named limit was reached
  not_ready,   ///< 503 with Retry-After: no worker is in the cluster yet
};
struct RequestFailed {
  Refusal refusal = Refusal::invalid;
  std::string message;
  Duration retry_after{};
};

using ResponseBody = std::variant<SessionOpened, TextAdded, StepAnswers, SessionView, SessionEnded,
                                  JsonReport, LedgerPage, RequestFailed>;

struct ClientResponse {
  RequestId id;
  ResponseBody body;
};

/// Answer from the store: ShowSession, of a session that is not in memory as a whole;
/// ShowExplanation; ConfirmCalls under a key whose steps are durable and no longer in memory;
/// ConfirmCalls under a key, or EndSession, of a session that ended and is not in memory.
struct ServeSession {
  struct View {
    SessionPage page{};
  };
  struct Explanation {
    SessionPage page{};
  };
  struct Steps {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    bool is_list = false;
  };
  struct Keyed {
    std::string key;
    Digest request_hash;
    bool is_list = false;
  };
  struct Ended {};
  RequestId request;
  std::string tenant;
  RunId run_id;
  std::variant<View, Explanation, Steps, Keyed, Ended> what;
};

/// Refusals that a session gives, whether it is in memory or not.
RequestFailed session_has_ended(const RunId& run_id);
RequestFailed key_came_with_another();
RequestFailed session_ended_within(const RunId& run_id, std::uint32_t steps, std::uint32_t of);

}  // namespace forerun
