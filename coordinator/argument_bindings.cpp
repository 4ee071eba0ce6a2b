#include "coordinator/argument_bindings.hpp"

#include <algorithm>

#include "base/real.hpp"
#include "coordinator/argument_rules.hpp"

namespace forerun::prediction {

namespace {

constexpr double recognised_prior[recognised_max] = {0.5, 0.3, 0.2};
constexpr double corrected_prior[SessionMemory::corrections] = {0.2, 0.2, 0.05};
constexpr std::size_t composed_max = 8;
constexpr float tries_max = 64;
constexpr double prior_weight = 1.5;

double odds(double share) {
  return share / (1 - std::min(share, 0.999));
}

}  // namespace

Key meaning_of(Key name, Key hash) {
  return (mix(0xf3, name) & name_of_meaning) | (hash == 0 ? 0 : mix(0xf3, name, hash) >> 16U);
}

Key task_side(Key task, Side side) {
  return mix(task, static_cast<Key>(side));
}

std::size_t Followed::find(Key task) const {
  const auto end = tasks_.begin() + static_cast<std::ptrdiff_t>(count_);
  const auto at = std::find(tasks_.begin(), end, task);
  return at == end ? nowhere : static_cast<std::size_t>(at - tasks_.begin());
}

Followed::Taken Followed::take(Key task) {
  if (const std::size_t known = find(task); known != nowhere) {
    return {known, false};
  }
  std::size_t place = count_;
  if (count_ < places) {
    ++count_;
  } else {
    place = oldest_;
    oldest_ = (oldest_ + 1) % places;
  }
  tasks_[place] = task;
  return {place, true};
}

void Count::add(bool hit) {
  tries += 1;
  hits += hit ? 1 : 0;
  if (tries > tries_max) {
    tries *= 0.5F;
    hits *= 0.5F;
  }
}

double Count::share(double prior) const {
  return (hits + prior_weight * prior) / (tries + prior_weight);
}

void Record::add(std::size_t place, bool hit) {
  all.add(hit);
  after[place].add(hit);
}

double Record::share(std::size_t place, double prior) const {
  const double general = all.share(prior);
  return place == Followed::nowhere ? general : after[place].share(general);
}

double Parameter::rule_share(std::size_t rule, std::size_t place, const KindRecord& kinds) const {
  const double general = rules_[rule].all.share(kinds.prior(rules_[rule]));
  return place == Followed::nowhere ? general
                                    : after_rules_[place * rules_max + rule].share(general);
}

namespace {

std::size_t kind_of(const Binding& rule) {
  return static_cast<std::size_t>(rule.from) * source_kinds + rule.source;
}

}  // namespace

double KindRecord::prior(const Binding& rule) const {
  return priors[kind_of(rule)];
}

void KindRecord::learn(const Binding& rule, bool hit) {
  const std::size_t at = kind_of(rule);
  tries[at] += 1;
  hits[at] += hit ? 1 : 0;
  priors[at] = (hits[at] + 1) / (tries[at] + 3);
}

double Parameter::familiar(Key look) const {
  for (const Look& each : looks_) {
    if (each.shape == look) {
      return 1;
    }
  }
  const auto different = static_cast<double>(looks_.size());
  return (different + 0.2) / (looked_ + 0.5);
}

ValueRanker first_value_ranker() {
  const Features<value_features> weights = {0.75, 0.15, -0.8, 0.6, 0.4, 0,   -0.35, -0.15, 0.2, 0.5,
                                            0.2,  0.6,  0,    0.3, 0,   0,   0.2,   0.4,   0.4, 0.0,
                                            0,    0,    0,    0,   1,   0.3, 0,     0,     0,   0};
  return ValueRanker(weights);
}

namespace {

/// Logarithms of small whole numbers, which every candidate needs.
double logarithm_of(std::size_t number) {
  static const auto table = [] {
    std::array<double, 1024> made{};
    for (std::size_t i = 1; i < made.size(); ++i) {
      made[i] = real::log(static_cast<double>(i));
    }
    return made;
  }();
  return number < table.size() ? table[number] : real::log(static_cast<double>(number));
}

}  // namespace

/// A candidate while its claims are gathered.
struct Parameter::Claims {
  double best = 0;    ///< The largest share that a rule, a constant or the text gives it.
  double others = 0;  ///< Odds of all other claims.
  double constant = 0;
  double familiar = 1;
  double by_rules = -1;  ///< Candidate::allowed, as its rules have it; below 0: no rule gives it.
  const json::Value* value = nullptr;
  Origin origin{};
  std::uint32_t seen = 0;
  std::uint32_t count = 0;
  std::uint32_t times = 1;  ///< So many values, alike in all that describes them.
  bool is_recognised = false;
  bool is_composed = false;
  bool is_projected = false;
  bool is_converted = false;
  std::uint8_t corrected = 0;  ///< 1 + the kind of correction; 0: none.
};

/// All claims on one parameter, by value.
class Parameter::Claimed {
public:
  static constexpr std::size_t size_max =
      rules_max + constants_max + SessionMemory::corrections + composed_max;
  /// A constant that nothing but its share speaks for; those of one share are one claim.
  struct Plain {
    std::uint8_t constant = 0;
    std::uint8_t claim = 0;
  };

  explicit Claimed(std::size_t count_max) { claims_.reserve(count_max); }
  Claims& offer(Key hash, double share, const json::Value* value, Origin origin,
                std::uint32_t seen) {
    const std::size_t at = find(hash);
    if (at == size()) {
      return add(hash, share, value, origin, seen);
    }
    Claims& claims = claims_[at];
    ++claims.count;
    claims.seen = claims.seen == 0 ? seen : claims.seen;
    if (share > claims.best) {
      claims.others += odds(claims.best);
      claims.best = share;
      claims.origin = origin;
    } else {
      claims.others += odds(share);
    }
    return claims;
  }
  /// @pre the constant is not claimed.
  void offer_plain(std::size_t constant, double share, Key hash, const json::Value* value) {
    std::size_t at = std::min(first_plain_, size());
    while (at < size() && (claims_[at].best != share || !is_plain_[at])) {
      ++at;
    }
    if (at == size()) {
      Claims& claims = add(hash, share, value, {}, 0);
      claims.constant = share;
      is_plain_[at] = true;
      first_plain_ = std::min(first_plain_, at);
    } else {
      ++claims_[at].times;
    }
    plain_[plain_count_++] = {static_cast<std::uint8_t>(constant), static_cast<std::uint8_t>(at)};
  }
  bool has(Key hash) const { return find(hash) != size(); }
  std::size_t size() const { return claims_.size(); }
  Key hash(std::size_t at) const { return hashes_[at]; }
  bool is_plain(std::size_t at) const { return is_plain_[at]; }
  std::span<const Plain> plain() const { return std::span(plain_).first(plain_count_); }
  const Claims& operator[](std::size_t at) const { return claims_[at]; }

private:
  std::size_t find(Key hash) const {
    if ((marks_ >> (hash % 64) & 1U) == 0) {
      return size();
    }
    const auto end = hashes_.begin() + static_cast<std::ptrdiff_t>(size());
    return static_cast<std::size_t>(std::find(hashes_.begin(), end, hash) - hashes_.begin());
  }
  Claims& add(Key hash, double share, const json::Value* value, Origin origin, std::uint32_t seen) {
    marks_ |= std::uint64_t{1} << (hash % 64);
    hashes_[size()] = hash;
    is_plain_[size()] = false;
    Claims& claims = claims_.emplace_back();
    claims.best = share;
    claims.value = value;
    claims.origin = origin;
    claims.seen = seen;
    claims.count = 1;
    return claims;
  }

  std::uint64_t marks_ = 0;  ///< One of 64 for each hash that is there.
  std::array<Key, size_max> hashes_;
  std::array<bool, size_max> is_plain_;
  std::array<Plain, constants_max> plain_;
  std::size_t plain_count_ = 0;
  std::size_t first_plain_ = size_max;
  std::vector<Claims> claims_;  ///< Never moves: what offer() gave is borrowed.
};

double Parameter::constant_share(const Constant& constant, std::size_t place) const {
  const double share = constant.count / (total_ + constants_seen_);
  if (place == Followed::nowhere) {
    return share;
  }
  const After& after = after_[place];
  return (constant.after[place] + after.seen * share) / (after.total + after.seen);
}

namespace {

double stale_share(const Binding& rule) {
  constexpr double prior = 0.3;  // Of a rule that was never tried with an old text.
  return rule.stale.share(prior);
}

/// Candidate::allowed, as this rule has it; `waits`: another text is still to come.
double allowed_by(const Binding& rule, const SessionMemory& memory, std::uint32_t at, bool waits) {
  const bool is_old = is_stale(memory, at) || (waits && memory.value(at).side == Side::text);
  return is_old ? stale_share(rule) : 1.0;
}

}  // namespace

/// Returns the largest share of a rule whose value is still to come.
double Parameter::claim_by_rules(const Surroundings& around, const KindRecord& kinds,
                                 std::size_t place, Claimed& claimed, MadeValues& made) const {
  double blocked = 0;
  Resolver resolve(around, name_);
  const bool waits = waits_for_text(around.memory);
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Binding& rule = rules_[i];
    if (!around.open_tasks.empty() && is_open(around, rule, task_sides_[i])) {
      blocked = std::max(blocked, rule_share(i, place, kinds));
      continue;
    }
    if (waits && task_sides_[i] == task_side(0, Side::text)) {
      blocked = std::max(blocked, rule_share(i, place, kinds) * (1 - stale_share(rule)));
    }
    if (const std::uint32_t at = resolve(rule); at != 0) {
      const SeenValue& value = around.memory.value(at);
      const Key hash = given(value, rule);
      if (hash == 0) {
        continue;
      }
      const bool is_made = rule.mold != 0 || rule.as != As::it_is;
      const json::Value* json = value.json;
      if (is_made && (rule.as != As::it_is || !claimed.has(hash))) {
        json = &made.emplace_front(make(value, rule));
      }
      const double known = familiar(rule.as == As::it_is ? value.look : look_of(*json));
      Claims& claims = claimed.offer(hash, rule_share(i, place, kinds) * known, json,
                                     {Origin::Kind::rule, rule.from, at, rule.as}, at);
      claims.familiar = known;
      claims.by_rules = std::max(claims.by_rules, allowed_by(rule, around.memory, at, waits));
      if (is_made && claims.count == 1) {
        claims.is_projected = rule.mold != 0;
        claims.is_converted = rule.as != As::it_is;
      }
    }
  }
  return blocked;
}

std::uint32_t Parameter::last_used(const Surroundings& around) const {
  return text_.empty() ? 0 : around.memory.latest_at(place_of_parameter(around.task, step_));
}

void Parameter::claim_corrected(const Surroundings& around, std::size_t place,
                                Claimed& claimed) const {
  const std::uint32_t used = around.corrects ? last_used(around) : 0;
  if (used == 0) {
    return;
  }
  for (const SessionMemory::Corrected& each : around.memory.corrected(used)) {
    const auto kind = static_cast<std::size_t>(each.by);
    claimed
        .offer(each.hash, corrected_[kind].share(place, corrected_prior[kind]), &each.text,
               {Origin::Kind::corrected}, around.memory.latest_equal(each.hash))
        .corrected = static_cast<std::uint8_t>(1 + kind);
  }
}

namespace {

const Meaning* find_meaning(const Surroundings& around, Key name, Key hash) {
  const Key meant = around.meanings.empty() ? 0 : meaning_of(name, hash);
  const auto at =
      std::lower_bound(around.meanings.begin(), around.meanings.end(), meant,
                       [](const Meaning& each, Key value) { return each.value < value; });
  return at != around.meanings.end() && at->value == meant ? &*at : nullptr;
}

/// The session's memory and texts say nothing of the value.
bool is_unknown(const Surroundings& around, Key name, Key hash, const json::Value& value) {
  const SessionMemory& memory = around.memory;
  if (memory.latest_equal(hash) != 0 || (value.string() == nullptr && value.number() == nullptr)) {
    return false;
  }
  if (!memory.has_text()) {
    return true;
  }
  return memory.mention(hash, value).anywhere == 0 && find_meaning(around, name, hash) == nullptr;
}

}  // namespace

void Parameter::claim_known(const Surroundings& around, std::size_t place, Claimed& claimed) const {
  for (std::size_t i = 0; i < constants_.size(); ++i) {
    const Constant& constant = constants_[i];
    const Key hash = hashes_[i];
    const json::Value& value = values_[constant.value];
    const double share = constant_share(constant, place);
    if (!claimed.has(hash) && is_unknown(around, name_, hash, value)) {
      claimed.offer_plain(i, share, hash, &value);
      continue;
    }
    Claims& claims = claimed.offer(hash, share, &value, {}, 0);
    claims.constant = share;
    claims.seen = claims.seen == 0 ? around.memory.latest_equal(hash) : claims.seen;
  }
  std::array<std::size_t, recognised_max> known{};
  const std::size_t count = recognised(around, known);
  for (std::size_t i = 0; i < count; ++i) {
    const Key hash = hashes_[known[i]];
    claimed
        .offer(hash, recognised_[i].share(place, recognised_prior[i]),
               &values_[constants_[known[i]].value], {Origin::Kind::recognised},
               around.memory.in_text(hash))
        .is_recognised = true;
  }
}

void Parameter::prefetch() const {
  constexpr std::size_t line_bytes = 64;
  const auto fetch = [](const auto& list) {
    const auto* const from = reinterpret_cast<const char*>(list.data());
    for (std::size_t at = 0; at < list.size() * sizeof(*list.data()); at += line_bytes) {
      __builtin_prefetch(from + at);
    }
  };
  fetch(rules_);
  fetch(hashes_);
  fetch(constants_);
}

/// Describes claims to the ranker.
class Parameter::Describer {
public:
  Describer(const Parameter& parameter, const Surroundings& around)
      : parameter_(parameter), around_(around) {
    const SessionMemory& memory = around.memory;
    const std::vector<SeenStep>& steps = memory.steps();
    const std::string& name = parameter.text_;
    const json::Value* const same = steps.empty() ? nullptr : steps.back().call.input().find(name);
    if (same != nullptr) {
      // Its hash was made when the step was remembered, unless its document was too large.
      const std::uint32_t at =
          memory.latest_at(place_of_parameter(steps.back().task, parameter.step_));
      last_same_ =
          at != 0 && memory.value(at).json == same ? memory.value(at).hash : hash_value(*same);
    }
    const std::uint32_t used = parameter.last_used(around);
    last_use_ = used == 0 ? 0 : memory.value(used).hash;
  }
  Features<value_features> operator()(Key hash, const Claims& claims) const;

private:
  const Parameter& parameter_;
  const Surroundings& around_;
  Key last_same_ = 0;  ///< The value of this name in the last step's input.
  Key last_use_ = 0;   ///< The parameter's last value.
};

Features<value_features> Parameter::Describer::operator()(Key hash, const Claims& claims) const {
  const SessionMemory& memory = around_.memory;
  const std::vector<SeenStep>& steps = memory.steps();
  const SeenValue* const seen = claims.seen == 0 ? nullptr : &memory.value(claims.seen);
  const std::uint32_t in_text = memory.has_text() ? memory.in_text(hash) : 0;
  const bool is_in_last_output =
      seen != nullptr && seen->side == Side::output && seen->document == steps.size();
  const SessionMemory::Mention mention =
      memory.has_text() ? memory.mention(hash, *claims.value) : SessionMemory::Mention{};
  const std::uint32_t holder = seen == nullptr || !memory.has_text() ? 0 : seen->parent;
  const SessionMemory::Mention of_holder =
      holder == 0 ? SessionMemory::Mention{}
                  : memory.mention(memory.value(holder).hash, *memory.value(holder).json);
  const Meaning* const meaning = find_meaning(around_, parameter_.name_, hash);
  Features<value_features> features = {
      as_logarithm(odds(claims.best)),
      claims.others > 0 ? real::log1p(claims.others) : 0.0,
      claims.origin.kind == Origin::Kind::constant ? 1.0 : 0.0,
      claims.is_recognised ? 1.0 : 0.0,
      in_text != 0 && memory.is_fresh(in_text) ? 1.0 : 0.0,
      in_text != 0 ? 1.0 : 0.0,
      memory.was_used(SessionMemory::used_key(around_.task, parameter_.name_, hash)) ? 1.0 : 0.0,
      last_use_ == hash ? 1.0 : 0.0,
      last_same_ == hash ? 1.0 : 0.0,
      is_in_last_output ? 1.0 : 0.0,
      is_in_last_output && seen->head == claims.seen ? 1.0 : 0.0,
      logarithm_of(claims.count),
      claims.familiar < 1 ? as_logarithm(claims.familiar) * 0.25 : 0.0,
      claims.constant > 0 ? real::log(claims.constant) * 0.25 : -1.5,
      seen != nullptr && seen->side != Side::text ? logarithm_of(1 + steps.size() - seen->document)
                                                  : 0.0,
      seen != nullptr && seen->side == Side::text ? 1.0 : 0.0,
      seen != nullptr && in_text == 0 && memory.has_text() && memory.is_mentioned(*seen) ? 1.0
                                                                                         : 0.0,
      mention.anywhere,
      mention.ahead,
      mention.anywhere >= 1 ? 1.0 : 0.0,
      claims.is_composed ? 1.0 : 0.0,
      claims.is_projected ? 1.0 : 0.0,
      claims.corrected == 1 ? 1.0 : 0.0,
      claims.corrected > 1 ? 1.0 : 0.0,
      meaning != nullptr ? meaning->share : 0.0,
      meaning != nullptr ? meaning->lift : 0.0,
      of_holder.anywhere,
      of_holder.ahead,
      seen != nullptr && seen->is_part ? 1.0 : 0.0,
      claims.is_converted ? 1.0 : 0.0};
  for (std::size_t n = 0; around_.mask != nullptr && n < value_features; ++n) {
    features[n] *= (*around_.mask)[n];
  }
  return features;
}

/// What the leading rule gives, where it has been right for long; nothing where it does not apply.
std::optional<Candidate> Parameter::settled(const Surroundings& around, const KindRecord& kinds,
                                            std::size_t place, MadeValues& made) const {
  if (led_ < led_min || leader_ == no_rule ||
      (!around.open_tasks.empty() && is_open(around, rules_[leader_], task_sides_[leader_]))) {
    return std::nullopt;
  }
  const Binding& rule = rules_[leader_];
  const std::uint32_t at = rule.mold != 0 ? 0 : Resolver(around, name_)(rule);
  if (at == 0) {
    return std::nullopt;
  }
  const SeenValue& value = around.memory.value(at);
  Key hash = value.hash;
  Claims claims;
  claims.value = value.json;
  claims.familiar = familiar(value.look);
  if (rule.as != As::it_is) {
    hash = given(value, rule);
    if (hash == 0) {
      return std::nullopt;
    }
    claims.value = &made.emplace_front(make(value, rule));
    claims.familiar = familiar(look_of(*claims.value));
    claims.is_converted = true;
  }
  claims.best = rule_share(leader_, place, kinds);
  claims.origin = {Origin::Kind::rule, rule.from, at, rule.as};
  claims.seen = at;
  claims.count = 1;
  return Candidate{hash,
                   claims.best * claims.familiar,
                   claims.value,
                   claims.origin,
                   at,
                   true,
                   allowed_by(rule, around.memory, at, waits_for_text(around.memory)),
                   Describer(*this, around)(hash, claims)};
}

std::vector<Candidate> Parameter::candidates(const Surroundings& around, const KindRecord& kinds,
                                             const ValueRanker& ranker,
                                             std::span<const Composed> composed, MadeValues& made,
                                             Wanted wanted) const {
  const std::size_t place = followed_.find(around.previous);
  if (const auto settled = this->settled(around, kinds, place, made)) {
    return {*settled};
  }
  composed = composed.first(std::min(composed.size(), composed_max));
  Claimed claimed(rules_.size() + constants_.size() + SessionMemory::corrections + composed.size());
  const double blocked = claim_by_rules(around, kinds, place, claimed, made);
  claim_corrected(around, place, claimed);
  for (const Composed& each : composed) {
    claimed.offer(each.hash, each.share, each.value, {Origin::Kind::composed}, 0).is_composed =
        true;
  }
  claim_known(around, place, claimed);

  const Describer describe(*this, around);
  // Rival claims weigh as their scores, against the others and against none of them.
  std::array<Features<value_features>, Claimed::size_max> features;
  std::array<double, Claimed::size_max> shares;
  std::array<std::uint32_t, Claimed::size_max> times;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    features[i] = describe(claimed.hash(i), claimed[i]);
    shares[i] = ranker.score(features[i]);
    times[i] = claimed[i].times;
  }
  ValueRanker::normalise(std::span(shares).first(claimed.size()), real::log1p(odds(blocked)),
                         std::span(times).first(claimed.size()));

  struct Ranked {
    double share = 0;
    Key hash = 0;
    const json::Value* value = nullptr;
    std::size_t claim = 0;
  };
  std::array<Ranked, Claimed::size_max> ranked;
  std::size_t count = 0;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    if (!claimed.is_plain(i)) {
      ranked[count++] = {shares[i], claimed.hash(i), claimed[i].value, i};
    }
  }
  for (const Claimed::Plain& each : claimed.plain()) {
    ranked[count++] = {shares[each.claim], hashes_[each.constant],
                       &values_[constants_[each.constant].value], each.claim};
  }
  const std::size_t in_order = std::min(count, candidates_in_order);
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(in_order), end,
                    [](const Ranked& a, const Ranked& b) {
                      return a.share != b.share ? a.share > b.share : a.hash < b.hash;
                    });
  std::vector<Candidate> candidates;
  candidates.reserve(wanted == Wanted::all ? count : in_order);
  for (std::size_t i = 0; i < candidates.capacity() && i < count; ++i) {
    const Ranked& each = ranked[i];
    const Claims& claims = claimed[each.claim];
    const bool is_by_rules = claims.by_rules >= 0 && !claims.is_recognised && !claims.is_composed &&
                             claims.corrected == 0;
    const double allowed = std::min(is_by_rules ? std::max(claims.by_rules, claims.constant) : 1.0,
                                    claims.best + 1 - blocked);
    candidates.push_back({each.hash, each.share, each.value, claims.origin, claims.seen, false,
                          allowed, features[each.claim]});
  }
  return candidates;
}

std::size_t Parameter::recognised(const Surroundings& around,
                                  std::array<std::size_t, recognised_max>& order) const {
  const SessionMemory& memory = around.memory;
  if (!memory.has_text()) {
    return 0;
  }
  std::array<std::pair<std::uint32_t, std::size_t>, constants_max> found;
  std::size_t count = 0;
  for (std::size_t i = 0; i < hashes_.size(); ++i) {
    const Key hash = hashes_[i];
    const std::uint32_t at = memory.in_text(hash);
    if (at != 0 && !memory.was_used(SessionMemory::used_key(around.task, name_, hash))) {
      found[count++] = {at, i};
    }
  }
  std::sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
            [&](const auto& a, const auto& b) {
              const std::uint32_t document_a = memory.value(a.first).document;
              const std::uint32_t document_b = memory.value(b.first).document;
              return document_a != document_b ? document_a > document_b : a.first < b.first;
            });
  count = std::min(count, recognised_max);
  for (std::size_t i = 0; i < count; ++i) {
    order[i] = found[i].second;
  }
  return count;
}

}  // namespace forerun::prediction
