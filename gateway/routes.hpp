#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "gateway/problem.hpp"
#include "gateway/tokens.hpp"
#include "speculation/client_api.hpp"

/// From HTTP to requests, pure: no socket and no library. A request is judged twice: its head
/// before a byte of its body is read, then its body.
namespace forerun {

inline constexpr std::size_t task_name_bytes_max = 255;
inline constexpr std::size_t world_name_bytes_max = 255;
inline constexpr std::size_t run_id_bytes_max = 64;

using ClientRequestBody = decltype(ClientRequest::body);

struct Header {
  std::string_view name;
  std::string_view value;
};

/// A request's head as it was read; borrows.
struct RequestHead {
  std::string_view method;
  std::string_view target;
  bool is_http_1_1 = true;
  std::span<const Header> headers;
  std::uint64_t content_length = 0;
  bool is_chunked = false;
  bool has_body() const { return is_chunked || content_length != 0; }
};

/// What heads are judged by.
struct HeadRules {
  std::string bound_host = "127.0.0.1";  ///< An address without brackets.
  bool is_loopback = true;
  std::vector<std::string> names{};    ///< Further names of this server, without ports.
  const TokenTable* tokens = nullptr;  ///< Null: whoever reaches this server may ask anything.
  std::size_t body_bytes_max = 1U << 20U;
};

enum class Endpoint {
  open_session,
  add_text,
  confirm_calls,
  show_session,
  show_predictions,
  show_explanation,
  end_session,
  show_status,
  start_audit,
  show_ledger,
  learn_history,
  forget_history,
  show_effects,
  redrive_effects,
  drop_effects,
  healthz,
};

/// Which part of an answer that comes in pages (docs/http.md).
struct PageQuery {
  std::uint64_t from = 0;
  std::uint64_t count = 0;
};

/// A head that was accepted.
struct Route {
  Endpoint endpoint = Endpoint::healthz;
  std::string tenant{default_tenant};  ///< Who asks.
  std::optional<Digest> token;         ///< The hash of its token; none when none is asked for.
  RunId run_id;                        ///< Where the path has one.
  std::string idempotency_key;         ///< Empty for none.
  PageQuery page{};                    ///< Of what comes in pages: the session, its explanation,
                                       ///< the ledger.
  bool wants_continue = false;         ///< The client waits for 100 before it sends the body.
};

/// What a role may ask; healthz needs none.
bool may(Role role, Endpoint endpoint);

/// Judges a head: framing, Host and Origin (against DNS rebinding and pages of other sites), path,
/// method, token, Idempotency-Key, length and type of the body, in this order. Segments are
/// percent-decoded after splitting; a run ID may be two segments or one whose slash is encoded.
/// Query strings are refused, but those of pages.
tl::expected<Route, Problem> route_of(const RequestHead& head, const HeadRules& rules);

/// Whether its answer is a page, of which a query says the place.
bool comes_in_pages(Endpoint endpoint);

/// Whether a route that was accepted under earlier tokens still is.
std::optional<Problem> check_again(const Route& route, const TokenTable* tokens);

/// Reads the body that belongs to a route. @pre endpoint is not healthz. Unknown members are
/// refused.
tl::expected<ClientRequestBody, Problem> request_of(const Route& route, std::string_view body,
                                                    std::size_t body_bytes_max);

}  // namespace forerun
