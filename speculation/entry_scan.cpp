#include "speculation/entry_scan.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/hex.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

constexpr std::uint64_t whole_number_max = (std::uint64_t{1} << 53U) - 1;

/// Reads a text of known shape from left to right. The first thing that is not as expected ends it,
/// and everything after it reads as nothing.
class Scanner {
public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool is_good() const { return is_good_; }
  bool at_end() const { return is_good_ && rest_.empty(); }
  void give_up() { is_good_ = false; }

  bool sees(std::string_view text) const { return is_good_ && rest_.starts_with(text); }
  bool take(std::string_view text) {
    const bool is_there = sees(text);
    if (is_there) {
      rest_.remove_prefix(text.size());
    }
    return is_there;
  }
  void expect(std::string_view text) { is_good_ = take(text); }

  /// What is between quotation marks, if nothing in it is escaped.
  std::string_view plain_text() {
    expect("\"");
    const std::size_t end = rest_.find('"');
    const std::string_view text = rest_.substr(0, end);
    if (!is_good_ || end == std::string_view::npos || text.find('\\') != std::string_view::npos) {
      give_up();
      return {};
    }
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::uint64_t count(std::uint64_t max = whole_number_max) {
    std::uint64_t value = 0;
    number(value);
    is_good_ = is_good_ && value <= max;
    return value;
  }
  double real() {
    double value = 0;
    if (!rest_.empty() &&
        (rest_.front() == '-' || (rest_.front() >= '0' && rest_.front() <= '9'))) {
      number(value);
    } else {
      give_up();
    }
    is_good_ = is_good_ && std::isfinite(value);
    return value;
  }
  Duration milliseconds() {
    const double value = real();
    is_good_ = is_good_ && value >= 0 && value <= entry_milliseconds_max;
    return is_good_ ? Duration(std::llround(value * 1000.0)) : Duration{};
  }
  Digest digest() {
    Digest value;
    is_good_ = bytes_from_hex(plain_text(), value.bytes) && is_good_;
    return value;
  }
  std::optional<Digest> digest_or_null() {
    return take("null") ? std::nullopt : std::optional(digest());
  }
  template <class Value>
  Value parsed(Result<Value> (*parse)(std::string_view)) {
    const auto value = parse(plain_text());
    is_good_ = is_good_ && value.has_value();
    return value.value_or(Value{});
  }
  template <class Item, class Read>
  void list(std::vector<Item>& to, Read&& read) {
    expect("[");
    if (take("]")) {
      return;
    }
    do {
      to.push_back(read(*this));
      is_good_ = is_good_ && to.size() <= entry_branches_max;
    } while (take(","));
    expect("]");
  }
  /// As list(), of items that may be null.
  template <class Item, class Read>
  void list_or_null(std::vector<std::optional<Item>>& to, Read&& read) {
    list(to, [&](Scanner& in) {
      return in.take("null") ? std::nullopt : std::optional<Item>(read(in));
    });
  }
  template <class Enum, std::size_t size>
  Enum one_of(const std::array<Enum, size>& values) {
    const std::string_view text = plain_text();
    for (const Enum value : values) {
      if (to_string(value) == text) {
        return value;
      }
    }
    give_up();
    return values.front();
  }

private:
  template <class Number>
  void number(Number& value) {
    const auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (!is_good_ || problem != std::errc()) {
      give_up();
      return;
    }
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
  }

  std::string_view rest_;
  bool is_good_ = true;
};

/// What entry_of() asks of branch lists.
bool fit_together(const CommitEntry& body) {
  const std::size_t count = body.branch_names.size();
  const auto is_index = [count](std::size_t i) { return i < count; };
  const auto has_twin = [](const auto& items) {
    for (std::size_t i = 1; i < items.size(); ++i) {
      if (std::find(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), items[i]) !=
          items.begin() + static_cast<std::ptrdiff_t>(i)) {
        return true;
      }
    }
    return false;
  };
  return count > 0 && count <= entry_branches_max && body.branch_latencies.size() == count &&
         body.branch_validities.size() == count && body.branch_causes.size() == count &&
         body.workers.size() == count && (!body.winner || is_index(*body.winner)) &&
         std::ranges::all_of(body.arrival_order, is_index) && !has_twin(body.arrival_order) &&
         !has_twin(body.branch_names);
}

/// Reads the members in their order; what follows from other members is passed over.
Entry scan(Scanner& in) {
  constexpr std::uint64_t short_number_max = 0xFFFFFFFFU;
  Entry entry;
  CommitEntry& body = entry.body.emplace<CommitEntry>();
  const bool has_arrival = in.take("{\"arrival_order\":");
  if (has_arrival) {
    in.list(body.arrival_order,
            [](Scanner& item) { return static_cast<std::size_t>(item.count(entry_branches_max)); });
  }
  in.expect(has_arrival ? ",\"branch_causes\":" : "{\"branch_causes\":");
  in.list_or_null(body.branch_causes, [](Scanner& item) { return std::string(item.plain_text()); });
  in.expect(",\"branch_latencies_ms\":");
  in.list_or_null(body.branch_latencies, [](Scanner& item) { return item.milliseconds(); });
  in.expect(",\"branch_names\":");
  in.list(body.branch_names, [](Scanner& item) { return std::string(item.plain_text()); });
  in.expect(",\"branch_validities\":");
  in.list_or_null(body.branch_validities, [](Scanner& item) {
    const bool is_valid = item.take("true");
    if (!is_valid) {
      item.expect("false");
    }
    return is_valid;
  });
  HitRecord hit;
  const bool is_hit = in.take(",\"confidence\":");
  if (is_hit) {
    hit.confidence = in.real();
  }
  in.expect(",\"decision_hash\":");
  in.plain_text();
  if (is_hit) {
    in.expect(",\"depth\":");
    hit.depth = static_cast<std::uint32_t>(in.count(short_number_max));
  }
  in.expect(",\"deterministic_tie_breaker_seed\":");
  in.plain_text();
  in.expect(",\"effects_hash\":");
  body.effects_hash = in.digest_or_null();
  in.expect(",\"epoch\":");
  entry.epoch.value = in.count();
  in.expect(",\"input_hash\":");
  body.input_hash = in.digest();
  in.expect(",\"kind\":\"commit\",\"origin\":");
  body.origin = in.one_of(std::array{Origin::miss, Origin::hit, Origin::late_hit});
  in.expect(",\"output_hash\":");
  body.output_hash = in.digest_or_null();
  in.expect(",\"run_id\":");
  body.run_id = in.parsed(RunId::parse);
  if (is_hit) {
    in.expect(",\"saved_ms\":");
    hit.saved = in.milliseconds();
  }
  in.expect(",\"seed_chain\":");
  body.chain = in.digest();
  in.expect(",\"select\":");
  body.select = in.one_of(
      std::array{SelectRule::ranked, SelectRule::seeded, SelectRule::ordered, SelectRule::first});
  in.expect(",\"seq\":");
  entry.seq.value = in.count();
  if (is_hit) {
    in.expect(",\"speculation\":");
    hit.speculation.value = static_cast<std::uint32_t>(in.count(short_number_max));
    body.hit = hit;
  }
  in.expect(",\"step\":");
  body.step.value = static_cast<std::uint32_t>(in.count(short_number_max));
  in.expect(",\"task\":");
  body.task = in.plain_text();
  in.expect(",\"wasted_ms\":");
  body.wasted = in.milliseconds();
  in.expect(",\"winning_branch_index\":");
  if (!in.take("-1")) {
    body.winner = static_cast<std::size_t>(in.count(entry_branches_max));
  }
  in.expect(",\"workers\":");
  in.list_or_null(body.workers, [](Scanner& item) { return WorkerId{item.parsed(Uuid::parse)}; });
  in.expect(",\"writes_hash\":");
  body.writes_hash = in.digest_or_null();
  in.expect("}");
  return entry;
}

}  // namespace

std::optional<Entry> scan_commit(std::string_view leaf) {
  Scanner in(leaf);
  Entry entry = scan(in);
  const CommitEntry& body = std::get<CommitEntry>(entry.body);
  const bool is_whole =
      in.at_end() && body.hit.has_value() == (body.origin != Origin::miss) && fit_together(body);
  return is_whole && leaf_of(entry) == leaf ? std::optional(std::move(entry)) : std::nullopt;
}

}  // namespace forerun
