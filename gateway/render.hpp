#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "gateway/problem.hpp"
#include "speculation/client_api.hpp"

/// From answers to HTTP, pure: no socket and no library.
namespace forerun {

inline constexpr std::size_t detail_bytes_max = 2000;  ///< A problem's detail is cut to this.

/// A response without what depends on the connection.
struct RenderedAnswer {
  unsigned status = 200;
  std::string_view content_type;  ///< Empty with 204.
  std::string fields;             ///< Whole further header lines, each with its line end.
  std::string body;
};

/// Outputs are spliced in as they are: canonical texts. Texts from outside that are not UTF-8 are
/// made so.
RenderedAnswer render(const ResponseBody& body);
RenderedAnswer render(const Problem& problem);
/// `{"ok": true}`.
RenderedAnswer render_health();

/// What the connection adds.
struct WireForm {
  enum class Connection { close, keep_alive_1_0, persistent };
  Connection connection = Connection::persistent;
  bool omit_body = false;  ///< The answer to HEAD.
  std::string_view date;   ///< As http_date() writes it.
};

/// The whole response as one text.
std::string to_wire(const RenderedAnswer& answer, const WireForm& form);

/// IMF-fixdate (RFC 9110 §5.6.7), whatever the locale.
std::string http_date(std::chrono::sys_seconds time);

}  // namespace forerun
