#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "speculation/call.hpp"
#include "speculation/catalog.hpp"
#include "speculation/seed_chain.hpp"

/// What branches ask to be done outside, as data: it happens once their step is committed.
namespace forerun {

inline constexpr std::size_t effects_per_step_max = 16;

/// `{"method", "url", "headers"?, "body"?}`.
struct HttpEffect {
  std::string method;  ///< GET, POST, PUT, PATCH or DELETE.
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::string> body;  ///< Canonical JSON.
};

/// The effects of one branch, in order.
struct EffectList {
  Output whole;
  std::vector<Output> items;
};

/// Reads a branch's `effects`: a list of `{"http": {…}}` and `{"task": name, "input": {…}}`.
/// Nothing for an empty text or list. Errors, naming the item: invalid; too_large; refused for a
/// target that the catalog's [effects] does not allow.
Result<std::optional<EffectList>> effect_list_of(std::string_view text, const Catalog& catalog);

/// The request of `{"http": {…}}`; nothing for a task. @pre the effect was read by
/// effect_list_of().
std::optional<HttpEffect> http_effect_of(const json::Value& effect);
/// The call of `{"task", "input"}`; nothing for a request. @pre as above.
std::optional<Call> task_effect_of(const json::Value& effect);

/// What tells a receiver that it has seen an effect before: hex(Sk), a dash, the effect's index.
std::string effect_key(const ChainValue& chain, std::uint32_t index);

/// An entry of `allow`: an http or https URL without query, with the host at least.
bool is_url_prefix(std::string_view prefix);
/// True when scheme, host and port of one prefix are the URL's and its path begins with the
/// prefix's, whole segments only. A URL with a user, a fragment, dot segments, an encoded slash or
/// characters that belong to no URL is never allowed.
bool is_allowed_url(std::string_view url, std::span<const std::string> allow);

}  // namespace forerun
