#include "coordinator/argument_bindings.hpp"

#include <algorithm>
#include <cmath>

namespace forerun::prediction {

namespace {

constexpr std::size_t rules_max = 48;
constexpr std::size_t constants_max = 48;
constexpr double recognised_prior[recognised_max] = {0.5, 0.3, 0.2};
constexpr std::size_t after_max = 8;
constexpr std::size_t walk_max = 64;
constexpr std::size_t nth_max = 4;
constexpr std::size_t back_max = 4;
constexpr std::size_t back_values_max = 3;
constexpr std::size_t sources_max = 10;
constexpr std::size_t constant_bytes_max = 1'024;
constexpr std::size_t looks_max = 24;
constexpr double tries_max = 64;
constexpr double prior_weight = 1.5;

const std::string recognised_origin = "text, known from before";

double odds(double share) {
  return share / (1 - std::min(share, 0.999));
}

std::uint32_t nth_of(const SessionMemory& memory, std::uint32_t last, std::size_t n) {
  std::uint32_t at = last == 0 ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < n && at != 0; ++i) {
    at = memory.value(at).next;
  }
  return at;
}

std::uint32_t first_unused(const Surroundings& around, Key name, std::uint32_t last,
                           bool must_be_mentioned) {
  const SessionMemory& memory = around.memory;
  std::uint32_t at = last == 0 ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < walk_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    if (!memory.was_used(SessionMemory::used_key(around.task, name, value.hash)) &&
        (!must_be_mentioned || memory.is_mentioned(value))) {
      return at;
    }
    at = value.next;
  }
  return 0;
}

/// The value that a rule gives now; 0: it does not apply.
std::uint32_t resolve(const Surroundings& around, Key name, const Binding& rule) {
  const SessionMemory& memory = around.memory;
  const std::uint32_t last =
      rule.from == From::named || rule.from == From::back ? 0 : memory.latest_at(rule.place);
  switch (rule.from) {
    case From::nth:
      return nth_of(memory, last, rule.n);
    case From::last:
      return last;
    case From::unused:
      return first_unused(around, name, last, false);
    case From::mentioned:
      return first_unused(around, name, last, true);
    case From::earliest:
      return memory.earliest_at(rule.place);
    case From::older:
      return last == 0 ? 0 : memory.value(last).older;
    case From::back:
      return memory.output_value(rule.n, static_cast<std::size_t>(rule.place));
    case From::named:
      return memory.latest_named(rule.place);
  }
  return 0;
}

/// What the rule gives will be something else once the open output is there.
bool is_open(const Surroundings& around, const Binding& rule) {
  for (const Key open : around.open_tasks) {
    const bool is_its = rule.from == From::back ? rule.n <= around.open_tasks.size()
                        : rule.from == From::named
                            ? around.output_names != nullptr &&
                                  around.output_names->find(mix(open, rule.place)) != nullptr
                            : rule.task_side == task_side(open, Side::output);
    if (is_its) {
      return true;
    }
  }
  return false;
}

std::string origin_of(const SessionMemory& memory, const SeenValue& value, From from) {
  static const char* const words[from_kinds] = {"",           "last ",        "next unused ",
                                                "mentioned ", "first ever ",  "older ",
                                                "recent ",    "latest named "};
  std::string origin = words[static_cast<std::size_t>(from)];
  if (value.side == Side::text) {
    return origin + "text";
  }
  const SeenStep& step = memory.steps()[value.document - 1];
  if (value.side == Side::output) {
    const std::string path = step.output ? path_of(step.output->value(), value.json) : "";
    return origin + "output of " + step.call.task() + (path.empty() ? "" : ": " + path);
  }
  origin += "input of " + step.call.task();
  for (const json::Member& member : step.call.input()) {
    if (&member.value == value.json) {
      return origin + ": " + member.name;
    }
    const std::string path = path_of(member.value, value.json);
    if (!path.empty()) {
      return origin + ": " + member.name + "." + path;
    }
  }
  return origin;
}

std::size_t size_of(const json::Value& value) {
  if (const std::string* text = value.string()) {
    return text->size() + 2;
  }
  std::size_t size = 8;
  if (const json::Array* array = value.array()) {
    for (const json::Value& element : *array) {
      size += size_of(element);
    }
  } else if (const json::Object* object = value.object()) {
    for (const json::Member& member : *object) {
      size += member.name.size() + size_of(member.value);
    }
  }
  return size;
}

}  // namespace

Key task_side(Key task, Side side) {
  return mix(task, static_cast<Key>(side));
}

void Record::add(Key previous, bool hit) {
  const double gain = hit ? 1 : 0;
  tries += 1;
  hits += gain;
  if (tries > tries_max) {
    tries *= 0.5;
    hits *= 0.5;
  }
  auto found = std::find_if(after.begin(), after.end(),
                            [&](const After& each) { return each.task == previous; });
  if (found == after.end()) {
    if (after.size() >= after_max) {
      after.erase(after.begin());
    }
    found = after.insert(after.end(), After{previous, 0, 0});
  }
  found->tries += 1;
  found->hits += gain;
  if (found->tries > tries_max) {
    found->tries *= 0.5;
    found->hits *= 0.5;
  }
}

double Record::share(Key previous, double prior) const {
  const double general = (hits + prior_weight * prior) / (tries + prior_weight);
  for (const After& each : after) {
    if (each.task == previous) {
      return (each.hits + prior_weight * general) / (each.tries + prior_weight);
    }
  }
  return general;
}

namespace {

std::size_t kind_of(const Binding& rule) {
  return static_cast<std::size_t>(rule.from) * source_kinds + rule.source;
}

}  // namespace

double KindRecord::prior(const Binding& rule) const {
  const std::size_t at = kind_of(rule);
  return (hits[at] + 1) / (tries[at] + 3);
}

void KindRecord::learn(const Binding& rule, bool hit) {
  const std::size_t at = kind_of(rule);
  tries[at] += 1;
  hits[at] += hit ? 1 : 0;
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

void Parameter::learn_look(const json::Value& value) {
  const Key shape = look_of(value);
  looked_ += 1;
  for (Look& each : looks_) {
    if (each.shape == shape) {
      each.count += 1;
      return;
    }
  }
  if (looks_.size() >= looks_max) {
    looks_.erase(std::min_element(looks_.begin(), looks_.end(),
                                  [](const Look& a, const Look& b) { return a.count < b.count; }));
  }
  looks_.push_back({shape, 1});
}

ValueRanker first_value_ranker() {
  const Features<value_features> weights = {0.75, 0.15, -0.8, 0.6, 0.4, 0, -0.35, -0.15, 0.2,
                                            0.5,  0.2,  0.6,  0,   0.3, 0, 0,     0.2};
  return ValueRanker(weights);
}

namespace {

/// A candidate while its claims are gathered.
struct Claims {
  Candidate candidate;
  double best = 0;    ///< The largest share that a rule, a constant or the text gives it.
  double others = 0;  ///< Odds of all other claims.
  double count = 0;
  double constant = 0;
  Key look = 0;  ///< 0: of a value that the parameter had before.
  bool is_recognised = false;
};

double as_logarithm(double value) {
  return std::log(std::max(value, 1e-4));
}

Features<value_features> describe(const Surroundings& around, Key name, const Claims& claims,
                                  Key last_same, Key last_use, double familiar) {
  const SessionMemory& memory = around.memory;
  const Key hash = claims.candidate.hash;
  const std::uint32_t seen = claims.candidate.seen;
  const std::uint32_t in_text = memory.in_text(hash);
  const bool is_in_last_output = seen != 0 && memory.value(seen).side == Side::output &&
                                 memory.value(seen).document == memory.steps().size();
  return {
      as_logarithm(odds(claims.best)),
      std::log1p(claims.others),
      claims.candidate.origin == nullptr ? 1.0 : 0.0,
      claims.is_recognised ? 1.0 : 0.0,
      in_text != 0 && memory.is_fresh(in_text) ? 1.0 : 0.0,
      in_text != 0 ? 1.0 : 0.0,
      memory.was_used(SessionMemory::used_key(around.task, name, hash)) ? 1.0 : 0.0,
      last_use == hash ? 1.0 : 0.0,
      last_same == hash ? 1.0 : 0.0,
      is_in_last_output ? 1.0 : 0.0,
      is_in_last_output && memory.value(seen).head == seen ? 1.0 : 0.0,
      std::log(claims.count),
      as_logarithm(familiar) * 0.25,
      claims.constant > 0 ? std::log(claims.constant) * 0.25 : -1.5,
      seen != 0 && memory.value(seen).side != Side::text
          ? std::log(1.0 + static_cast<double>(memory.steps().size() - memory.value(seen).document))
          : 0.0,
      seen != 0 && memory.value(seen).side == Side::text ? 1.0 : 0.0,
      seen != 0 && in_text == 0 && memory.has_text() && memory.is_mentioned(memory.value(seen))
          ? 1.0
          : 0.0};
}

}  // namespace

std::vector<Candidate> Parameter::candidates(const Surroundings& around, const KindRecord& kinds,
                                             const ValueRanker& ranker) const {
  std::vector<Claims> found;
  found.reserve(rules_.size() + constants_.size());
  double blocked = 0;
  const auto offer = [&](Key hash, double share, const json::Value* value,
                         const std::string* origin, std::uint32_t seen) -> Claims& {
    auto at = std::find_if(found.begin(), found.end(),
                           [&](const Claims& each) { return each.candidate.hash == hash; });
    if (at == found.end()) {
      at = found.insert(found.end(), Claims{});
      at->candidate = {hash, 0, seen, {}, value, origin};
      at->best = share;
      at->count = 1;
      return *at;
    }
    at->count += 1;
    if (at->candidate.seen == 0) {
      at->candidate.seen = seen;
    }
    if (share > at->best) {
      at->others += odds(at->best);
      at->best = share;
      at->candidate.origin = origin;
    } else {
      at->others += odds(share);
    }
    return *at;
  };
  for (const Binding& rule : rules_) {
    const double share = rule.record.share(around.previous, kinds.prior(rule));
    if (is_open(around, rule)) {
      blocked = std::max(blocked, share);
      continue;
    }
    if (const std::uint32_t at = resolve(around, name_, rule); at != 0) {
      const SeenValue& value = around.memory.value(at);
      offer(value.hash, share * familiar(value.look), value.json, &rule.origin, at).look =
          value.look;
    }
  }
  const auto after = std::find_if(after_.begin(), after_.end(),
                                  [&](const After& each) { return each.task == around.previous; });
  for (const Constant& constant : constants_) {
    double share = constant.count / (total_ + constants_seen_);
    if (after != after_.end()) {
      double count = 0;
      for (const Constant::After& each : constant.after) {
        count = each.task == around.previous ? each.count : count;
      }
      share = (count + after->seen * share) / (after->total + after->seen);
    }
    Claims& claims = offer(constant.hash, share, &constant.value, nullptr, 0);
    claims.constant = share;
    if (claims.candidate.seen == 0) {
      claims.candidate.seen = around.memory.latest_equal(constant.hash);
    }
  }
  const std::vector<std::size_t> known = recognised(around);
  for (std::size_t i = 0; i < known.size(); ++i) {
    const Constant& constant = constants_[known[i]];
    offer(constant.hash, recognised_[i].share(around.previous, recognised_prior[i]),
          &constant.value, &recognised_origin, around.memory.in_text(constant.hash))
        .is_recognised = true;
  }
  // Rival claims weigh as their scores, against the others and against none of them.
  const std::vector<SeenStep>& steps = around.memory.steps();
  const json::Value* const same = steps.empty() ? nullptr : steps.back().call.input().find(text_);
  const Key last_same = same == nullptr ? 0 : hash_value(*same);
  const std::uint32_t used = around.memory.latest_at(place_of_parameter(around.task, text_));
  const Key last_use = used == 0 ? 0 : around.memory.value(used).hash;
  std::vector<double> scores;
  for (Claims& claims : found) {
    claims.candidate.features = describe(around, name_, claims, last_same, last_use,
                                         claims.look == 0 ? 1.0 : familiar(claims.look));
    scores.push_back(ranker.score(claims.candidate.features));
  }
  ValueRanker::normalise(scores, std::log1p(odds(blocked)));
  std::vector<Candidate> candidates;
  candidates.reserve(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i].candidate.share = scores[i];
    candidates.push_back(found[i].candidate);
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.share != b.share ? a.share > b.share : a.hash < b.hash;
  });
  return candidates;
}

std::vector<std::size_t> Parameter::recognised(const Surroundings& around) const {
  const SessionMemory& memory = around.memory;
  std::vector<std::pair<std::uint32_t, std::size_t>> found;
  if (!memory.has_text()) {
    return {};
  }
  for (std::size_t i = 0; i < constants_.size(); ++i) {
    const Key hash = constants_[i].hash;
    const std::uint32_t at = memory.in_text(hash);
    if (at != 0 && !memory.was_used(SessionMemory::used_key(around.task, name_, hash))) {
      found.emplace_back(at, i);
    }
  }
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
    const std::uint32_t document_a = memory.value(a.first).document;
    const std::uint32_t document_b = memory.value(b.first).document;
    return document_a != document_b ? document_a > document_b : a.first < b.first;
  });
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < std::min(found.size(), recognised_max); ++i) {
    order.push_back(found[i].second);
  }
  return order;
}

void Parameter::learn_constant(Key previous, Key hash, const json::Value& value) {
  total_ += 1;
  auto after = std::find_if(after_.begin(), after_.end(),
                            [&](const After& each) { return each.task == previous; });
  if (after == after_.end()) {
    if (after_.size() >= after_max) {
      after_.erase(after_.begin());
    }
    after = after_.insert(after_.end(), After{previous, 0, 0});
  }
  after->total += 1;
  auto constant = std::find_if(constants_.begin(), constants_.end(),
                               [&](const Constant& each) { return each.hash == hash; });
  if (constant == constants_.end()) {
    constants_seen_ += 1;
    if (size_of(value) > constant_bytes_max) {
      after->seen += 1;
      return;
    }
    if (constants_.size() >= constants_max) {
      constants_.erase(
          std::min_element(constants_.begin(), constants_.end(),
                           [](const Constant& a, const Constant& b) { return a.count < b.count; }));
    }
    constant = constants_.insert(constants_.end(), Constant{value, hash, 0, {}});
  }
  constant->count += 1;
  auto then = std::find_if(constant->after.begin(), constant->after.end(),
                           [&](const Constant::After& each) { return each.task == previous; });
  if (then == constant->after.end()) {
    after->seen += 1;
    if (constant->after.size() >= after_max) {
      constant->after.erase(constant->after.begin());
    }
    then = constant->after.insert(constant->after.end(), Constant::After{previous, 0});
  }
  then->count += 1;
}

void Parameter::add_rule(const Surroundings& around, Key name, Key hash, Binding rule,
                         std::uint32_t source) {
  for (const Binding& each : rules_) {
    if (each.from == rule.from && each.place == rule.place && each.n == rule.n) {
      return;
    }
  }
  const std::uint32_t at = resolve(around, name, rule);
  if (at == 0 || around.memory.value(at).hash != hash) {
    return;
  }
  if (rules_.size() >= rules_max) {
    // The worst goes: the fewest hits for its tries, the oldest of these.
    const auto worth = [](const Binding& each) {
      return (each.record.hits + 1) / (each.record.tries + 2);
    };
    rules_.erase(
        std::min_element(rules_.begin(), rules_.end(),
                         [&](const Binding& a, const Binding& b) { return worth(a) < worth(b); }));
  }
  rule.origin = origin_of(around.memory, around.memory.value(source), rule.from);
  rules_.push_back(std::move(rule));
}

void Parameter::learn_rules(const Surroundings& around, Key name, Key hash) {
  const SessionMemory& memory = around.memory;
  std::uint32_t at = memory.latest_equal(hash);
  for (std::size_t i = 0; i < sources_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    const Key owner = value.side == Side::text
                          ? task_side(0, Side::text)
                          : task_side(memory.steps()[value.document - 1].task, value.side);
    const auto rule = [&](From from, std::size_t n, Key place) {
      Binding binding;
      binding.from = from;
      binding.n = static_cast<std::uint8_t>(n);
      binding.place = place;
      binding.source =
          static_cast<std::uint8_t>(static_cast<int>(value.side) + (value.is_after_word ? 1 : 0));
      binding.task_side = from == From::named ? 0 : owner;
      add_rule(around, name, hash, std::move(binding), at);
    };
    std::size_t n = 0;
    for (std::uint32_t each = value.head; each != at && each != 0 && n < nth_max;
         each = memory.value(each).next) {
      ++n;
    }
    if (n < nth_max) {
      rule(From::nth, n, value.place);
    }
    rule(From::last, 0, value.place);
    rule(From::unused, 0, value.place);
    rule(From::earliest, 0, value.place);
    rule(From::older, 0, value.place);
    if (value.side != Side::text && memory.has_text()) {
      rule(From::mentioned, 0, value.place);
    }
    if (value.side == Side::output) {
      const std::size_t back = memory.steps().size() + 1 - value.document;
      for (std::size_t place = 0; back <= back_max && place < back_values_max; ++place) {
        if (memory.output_value(back, place) == at) {
          rule(From::back, back, place);
        }
      }
    }
    if (value.name != 0) {
      rule(From::named, 0, value.name);
    }
    at = value.same_value;
  }
}

void Parameter::learn(const Surroundings& around, KindRecord& kinds, std::string_view text,
                      const json::Value& value) {
  const Key name = hash_text(text);
  name_ = name;
  text_ = text;
  const Key hash = hash_value(value);
  for (Binding& rule : rules_) {
    const std::uint32_t at = resolve(around, name, rule);
    if (at == 0) {
      continue;
    }
    const bool hit = around.memory.value(at).hash == hash;
    if (rule.record.tries == 0) {
      kinds.learn(rule, hit);
    }
    rule.record.add(around.previous, hit);
  }
  const std::vector<std::size_t> known = recognised(around);
  for (std::size_t i = 0; i < known.size(); ++i) {
    recognised_[i].add(around.previous, constants_[known[i]].hash == hash);
  }
  learn_look(value);
  learn_constant(around.previous, hash, value);
  learn_rules(around, name, hash);
}

}  // namespace forerun::prediction
