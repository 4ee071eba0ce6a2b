#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/json.hpp"
#include "speculation/entry.hpp"
#include "speculation/entry_scan.hpp"

namespace forerun {
namespace {

constexpr double integer_max = 9007199254740991.0;

/// Reads the members of one object. The first failure is kept and everything after it reads as a
/// default value, so that a caller looks once, at the end.
class MemberReader {
public:
  explicit MemberReader(const json::Object& members) : members_(members) {}

  bool has(std::string_view name) const { return members_.find(name) != nullptr; }

  std::string text(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr ? std::string() : text_of(name, *value);
  }
  std::uint64_t count(std::string_view name, double max = integer_max) {
    const json::Value* value = member(name);
    return value == nullptr ? 0 : static_cast<std::uint64_t>(integer_of(name, *value, 0, max));
  }
  std::int64_t integer(std::string_view name, double min, double max) {
    const json::Value* value = member(name);
    return value == nullptr ? 0 : static_cast<std::int64_t>(integer_of(name, *value, min, max));
  }
  double number(std::string_view name) {
    const json::Value* value = member(name);
    if (value != nullptr && value->number() == nullptr) {
      wrong(name, "a number", *value);
    }
    return value == nullptr || value->number() == nullptr ? 0 : *value->number();
  }
  Duration milliseconds(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr ? Duration{} : milliseconds_of_value(name, *value);
  }
  Digest digest(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr ? Digest{} : hex_of(name, *value, digest_from_hex);
  }
  std::optional<Digest> digest_or_null(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr || value->is_null()
               ? std::nullopt
               : std::optional(hex_of(name, *value, digest_from_hex));
  }
  PublicKey public_key(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr ? PublicKey{} : hex_of(name, *value, public_key_from_hex);
  }
  Signature signature(std::string_view name) {
    const json::Value* value = member(name);
    return value == nullptr ? Signature{} : hex_of(name, *value, signature_from_hex);
  }
  RunId run_id(std::string_view name) { return parsed(name, text(name), RunId::parse); }

  template <class Function>
  auto list(std::string_view name, Function&& read) {
    std::vector<decltype(read(name, json::Value()))> items;
    const json::Value* value = member(name);
    if (value != nullptr && value->array() == nullptr) {
      wrong(name, "a list", *value);
    } else if (value != nullptr) {
      items.reserve(value->array()->size());
      for (const json::Value& item : *value->array()) {
        items.push_back(read(name, item));
      }
    }
    return items;
  }

  std::string text_of(std::string_view name, const json::Value& value) {
    if (value.string() == nullptr) {
      wrong(name, "a text", value);
      return {};
    }
    return *value.string();
  }
  double integer_of(std::string_view name, const json::Value& value, double min, double max) {
    const double* number = value.number();
    if (number == nullptr || *number < min || *number > max || *number != std::trunc(*number)) {
      wrong(name, "an integer in range", value);
      return 0;
    }
    return *number;
  }
  Duration milliseconds_of_value(std::string_view name, const json::Value& value) {
    const double* number = value.number();
    if (number == nullptr || *number < 0 || *number > entry_milliseconds_max) {
      wrong(name, "milliseconds", value);
      return {};
    }
    return Duration(std::llround(*number * 1000.0));
  }
  WorkerId worker_of(std::string_view name, const json::Value& value) {
    return WorkerId{parsed(name, text_of(name, value), Uuid::parse)};
  }

  /// Reads `found` with `parse`; its failure becomes this reader's.
  template <class Value>
  Value parsed(std::string_view name, const std::string& found,
               Result<Value> (*parse)(std::string_view)) {
    auto result = parse(found);
    if (!result) {
      refuse(Errc::invalid, std::string(name) + ": " + result.error().message);
      return Value{};
    }
    return *result;
  }
  void refuse(Errc code, std::string message) {
    if (!error_) {
      error_ = Error{code, std::move(message)};
    }
  }
  void wrong(std::string_view name, std::string_view expected, const json::Value& found) {
    refuse(Errc::invalid, std::string(name) + ": found " + json::canonical(found).substr(0, 80) +
                              ", expected " + std::string(expected));
  }
  /// For what follows from other fields.
  void equal(std::string_view name, const std::string& found, const std::string& expected) {
    if (found != expected) {
      refuse(Errc::verification, std::string(name) + ": found " + found + ", expected " + expected);
    }
  }
  const std::optional<Error>& error() const { return error_; }

private:
  const json::Value* member(std::string_view name) {
    const json::Value* value = members_.find(name);
    if (value == nullptr) {
      refuse(Errc::invalid, std::string(name) + ": missing");
    }
    return value;
  }
  /// Lowercase only: one value has one text.
  template <class Value>
  Value hex_of(std::string_view name, const json::Value& value,
               Result<Value> (*parse)(std::string_view)) {
    const std::string text = text_of(name, value);
    const Value result = parsed(name, text, parse);
    if (!error_ && to_hex(result) != text) {
      wrong(name, "lowercase hex digits", value);
    }
    return result;
  }

  const json::Object& members_;
  std::optional<Error> error_;
};

template <class Enum, class... Rest>
Enum one_of(MemberReader& in, std::string_view name, Enum first, Rest... rest) {
  const std::string found = in.text(name);
  std::string known;
  for (const Enum each : {first, rest...}) {
    if (to_string(each) == found) {
      return each;
    }
    known += (known.empty() ? "" : ", ") + std::string(to_string(each));
  }
  in.refuse(Errc::invalid, std::string(name) + ": found \"" + found.substr(0, 80) +
                               "\", expected one of " + known);
  return first;
}

EpochEntry read_epoch(MemberReader& in) {
  EpochEntry body;
  body.cause = in.text("cause");
  body.version = in.text("version");
  body.public_key = in.public_key("public_key");
  if (in.has("root")) {
    body.root = in.digest("root");
  }
  if (in.has("previous_signature")) {
    body.previous_signature = in.signature("previous_signature");
  }
  return body;
}

/// Branch lists have one item a branch, names are unique.
void check_branches(MemberReader& in, const CommitEntry& body) {
  const std::size_t count = body.branch_names.size();
  if (count == 0 || count > entry_branches_max) {
    in.refuse(Errc::invalid, "branch_names: found " + std::to_string(count) + ", expected 1 to " +
                                 std::to_string(entry_branches_max));
    return;
  }
  const auto sized = [&](std::string_view name, std::size_t size) {
    if (size != count) {
      in.refuse(Errc::invalid, std::string(name) + ": found " + std::to_string(size) +
                                   " items, expected " + std::to_string(count));
    }
  };
  sized("branch_latencies_ms", body.branch_latencies.size());
  sized("branch_validities", body.branch_validities.size());
  sized("branch_causes", body.branch_causes.size());
  sized("workers", body.workers.size());
  const std::set<std::string_view> names(body.branch_names.begin(), body.branch_names.end());
  if (names.size() != count) {
    in.refuse(Errc::invalid, "branch_names: found one twice, expected unique names");
  }
  const std::set<std::size_t> arrived(body.arrival_order.begin(), body.arrival_order.end());
  if (arrived.size() != body.arrival_order.size() ||
      (!arrived.empty() && *arrived.rbegin() >= count)) {
    in.refuse(Errc::invalid,
              "arrival_order: found one twice or beyond the last branch, expected branch indices");
  }
}

void read_branches(MemberReader& in, CommitEntry& body) {
  body.branch_names = in.list(
      "branch_names", [&](auto name, const json::Value& item) { return in.text_of(name, item); });
  body.branch_latencies = in.list("branch_latencies_ms", [&](auto name, const json::Value& item) {
    return item.is_null() ? std::nullopt : std::optional(in.milliseconds_of_value(name, item));
  });
  body.branch_validities =
      in.list("branch_validities", [&](auto name, const json::Value& item) -> std::optional<bool> {
        if (!item.is_null() && item.boolean() == nullptr) {
          in.wrong(name, "true, false or null", item);
        }
        return item.boolean() == nullptr ? std::nullopt : std::optional(*item.boolean());
      });
  body.branch_causes = in.list("branch_causes", [&](auto name, const json::Value& item) {
    return item.is_null() ? std::nullopt : std::optional(in.text_of(name, item));
  });
  body.workers = in.list("workers", [&](auto name, const json::Value& item) {
    return item.is_null() ? std::nullopt : std::optional(in.worker_of(name, item));
  });
  if (body.select == SelectRule::first) {
    body.arrival_order = in.list("arrival_order", [&](auto name, const json::Value& item) {
      return static_cast<std::size_t>(in.integer_of(name, item, 0, entry_branches_max));
    });
  }
  const std::int64_t winner = in.integer("winning_branch_index", -1, entry_branches_max);
  if (winner >= 0) {
    body.winner = static_cast<std::size_t>(winner);
  }
  check_branches(in, body);
  if (body.winner && *body.winner >= body.branch_names.size()) {
    in.refuse(Errc::invalid, "winning_branch_index: found " + std::to_string(winner) +
                                 ", expected below " + std::to_string(body.branch_names.size()));
  }
}

constexpr double number32_max = std::numeric_limits<std::uint32_t>::max();

CommitEntry read_commit(MemberReader& in) {
  CommitEntry body;
  body.run_id = in.run_id("run_id");
  body.step.value = static_cast<std::uint32_t>(in.count("step", number32_max));
  body.task = in.text("task");
  body.input_hash = in.digest("input_hash");
  body.chain = in.digest("seed_chain");
  body.select = one_of(in, "select", SelectRule::seeded, SelectRule::ranked, SelectRule::ordered,
                       SelectRule::first);
  read_branches(in, body);
  body.output_hash = in.digest_or_null("output_hash");
  body.writes_hash = in.digest_or_null("writes_hash");
  body.effects_hash = in.digest_or_null("effects_hash");
  body.origin = one_of(in, "origin", Origin::hit, Origin::late_hit, Origin::miss);
  if (body.origin != Origin::miss) {
    HitRecord hit;
    hit.speculation.value = static_cast<std::uint32_t>(in.count("speculation", number32_max));
    hit.confidence = in.number("confidence");
    hit.depth = static_cast<std::uint32_t>(in.count("depth", number32_max));
    hit.saved = in.milliseconds("saved_ms");
    body.hit = hit;
  }
  body.wasted = in.milliseconds("wasted_ms");
  const std::string seed = in.text("deterministic_tie_breaker_seed");
  const Digest decision = in.digest("decision_hash");
  if (!in.error()) {
    in.equal("deterministic_tie_breaker_seed", seed, seed_text(body.chain));
    in.equal("decision_hash", to_hex(decision), to_hex(body.decision_hash()));
  }
  return body;
}

DiscardEntry read_discard(MemberReader& in) {
  DiscardEntry body;
  body.run_id = in.run_id("run_id");
  body.speculation.value = static_cast<std::uint32_t>(in.count("speculation", number32_max));
  body.task = in.text("task");
  body.input_hash = in.digest("input_hash");
  body.cause = one_of(in, "cause", DiscardCause::wrong, DiscardCause::stale, DiscardCause::conflict,
                      DiscardCause::preempted, DiscardCause::expired, DiscardCause::failed,
                      DiscardCause::session_ended, DiscardCause::turned_off);
  body.confidence = in.number("confidence");
  body.depth = static_cast<std::uint32_t>(in.count("depth", number32_max));
  body.wasted = in.milliseconds("wasted_ms");
  body.workers = in.list(
      "workers", [&](auto name, const json::Value& item) { return in.worker_of(name, item); });
  return body;
}

/// Where a text leaves its canonical form. @pre they differ.
std::string first_difference(std::string_view found, std::string_view canonical) {
  const auto [at, wanted] =
      std::mismatch(found.begin(), found.end(), canonical.begin(), canonical.end());
  const auto shown = [](const char* byte, std::string_view text) {
    return byte == text.end() ? std::string("the end")
                              : "byte " + std::to_string(static_cast<unsigned char>(*byte));
  };
  return "byte " + std::to_string(at - found.begin()) + ": found " + shown(at, found) +
         ", expected " + shown(wanted, canonical) + " of its value's canonical text";
}

}  // namespace

Result<Entry> entry_of(std::string_view leaf) {
  if (auto quick = scan_commit(leaf)) {
    return std::move(*quick);
  }
  const auto value = json::parse(leaf);
  if (!value) {
    return fail(Errc::invalid, value.error().message);
  }
  const json::Object* members = value->object();
  if (members == nullptr) {
    return fail(Errc::invalid, "leaf: expected an object");
  }
  if (const std::string canonical = json::canonical(*value); canonical != leaf) {
    return fail(Errc::invalid, "leaf: " + first_difference(leaf, canonical));
  }
  MemberReader in(*members);
  Entry entry;
  entry.seq.value = in.count("seq");
  entry.epoch.value = in.count("epoch");
  const std::string kind = in.text("kind");
  if (kind == "epoch") {
    entry.body = read_epoch(in);
  } else if (kind == "commit") {
    entry.body = read_commit(in);
  } else if (kind == "discard") {
    entry.body = read_discard(in);
  } else {
    entry.body = UnknownEntry{kind};
  }
  if (in.error()) {
    return tl::unexpected<Error>(*in.error());
  }
  return entry;
}

Result<SignedHead> head_from_json(std::string_view text) {
  const auto value = json::parse(text);
  if (!value) {
    return fail(Errc::invalid, "head: " + value.error().message);
  }
  if (value->object() == nullptr) {
    return fail(Errc::invalid, "head: expected an object");
  }
  MemberReader in(*value->object());
  SignedHead head;
  head.head.epoch.value = in.count("epoch");
  head.head.root = in.digest("root");
  head.head.size = in.count("size");
  head.signature = in.signature("signature");
  head.public_key = in.public_key("public_key");
  if (in.error()) {
    return fail(in.error()->code, "head: " + in.error()->message);
  }
  return head;
}

}  // namespace forerun
