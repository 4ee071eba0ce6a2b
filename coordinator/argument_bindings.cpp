#include "coordinator/argument_bindings.hpp"

#include <algorithm>
#include <cstring>

#include "base/real.hpp"

namespace forerun::prediction {

namespace {

constexpr double recognised_prior[recognised_max] = {0.5, 0.3, 0.2};
constexpr std::size_t composed_max = 8;
constexpr std::size_t molds_max = 8;
constexpr std::size_t elements_max = 16;  ///< Of an array that is made of another.
constexpr double corrected_prior[SessionMemory::corrections] = {0.2, 0.2, 0.05};
constexpr std::size_t walk_max = 64;
constexpr std::size_t about_max = 32;
constexpr std::size_t nth_max = 4;
constexpr std::size_t back_max = 4;
constexpr std::size_t back_values_max = 3;
constexpr std::size_t sources_max = 10;
constexpr std::size_t sources_explained_max = 4;  ///< Where a rule gave the value.
constexpr std::size_t part_sources_max = 6;       ///< Two occurrences, told in some ways each.
constexpr std::size_t converted_sources_max = 4;
constexpr std::uint8_t source_part = 4;
constexpr std::uint8_t source_converted = 6;
constexpr std::size_t constant_bytes_max = 1'024;
constexpr std::size_t looks_max = 24;
constexpr float tries_max = 64;
constexpr double prior_weight = 1.5;
/// A parameter's steps are routine after so many like ones; then one in so many is looked at.
constexpr std::uint8_t led_min = 24;
/// Other rules are looked for until one has been right so often in a row; then one time in so many.
constexpr std::uint8_t led_few = 8;
constexpr std::uint8_t looked_for_more = 4;
constexpr std::uint8_t missed_min = 32;
constexpr std::uint8_t looked_every = 16;

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

/// The value as a rule gives it; null: it cannot be had so.
json::Value formed(const json::Value& value, As as) {
  if (const double* number = value.number(); number != nullptr && as == As::text) {
    auto text = text_of_number(*number);
    return text ? json::Value(std::move(*text)) : json::Value();
  }
  if (const std::string* text = value.string(); text != nullptr && as == As::number) {
    const auto number = number_of_text(*text);
    return number ? json::Value(*number) : json::Value();
  }
  return as == As::it_is ? value : json::Value();
}

/// Its hash; 0: it cannot be had so.
Key formed_hash(const SeenValue& value, As as) {
  if (as == As::it_is) {
    return value.hash;
  }
  const json::Value made = formed(*value.json, as);
  return made.is_null() ? 0 : hash_value(made);
}

std::uint32_t first_unused(const Surroundings& around, Key name, std::uint32_t last, As as,
                           bool must_be_mentioned) {
  const SessionMemory& memory = around.memory;
  std::uint32_t at = last == 0 ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < walk_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    const Key hash = formed_hash(value, as);
    if (hash != 0 && !memory.was_used(SessionMemory::used_key(around.task, name, hash)) &&
        (!must_be_mentioned || memory.is_mentioned(value))) {
      return at;
    }
    at = value.next;
  }
  return 0;
}

std::uint32_t most_said_of(const Surroundings& around, Key name, std::uint32_t last, As as) {
  const SessionMemory& memory = around.memory;
  std::uint32_t best = 0;
  double most = 0;
  std::uint32_t at = last == 0 || !memory.has_text() ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < about_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    if (value.parent != 0 &&
        !memory.was_used(SessionMemory::used_key(around.task, name, formed_hash(value, as)))) {
      const SeenValue& holder = memory.value(value.parent);
      const SessionMemory::Mention mention = memory.mention(holder.hash, *holder.json);
      const double said = mention.anywhere + mention.ahead;
      if (said > most) {
        most = said;
        best = at;
      }
    }
    at = value.next;
  }
  return best;
}

bool needs_latest(const Binding& rule) {
  return rule.from != From::named && rule.from != From::back && rule.from != From::earliest;
}

/// The value that a rule gives now; 0: it does not apply. `last` is the latest value at its place,
/// where it needs that.
std::uint32_t resolve(const Surroundings& around, Key name, const Binding& rule,
                      std::uint32_t last) {
  const SessionMemory& memory = around.memory;
  switch (rule.from) {
    case From::nth:
      return nth_of(memory, last, rule.n);
    case From::last:
      return last;
    case From::unused:
      return first_unused(around, name, last, rule.as, false);
    case From::mentioned:
      return first_unused(around, name, last, rule.as, true);
    case From::about:
      return around.has_about ? most_said_of(around, name, last, rule.as) : 0;
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

/// Resolves rules one after another; those of one place stand together.
class Resolver {
public:
  Resolver(const Surroundings& around, Key name) : around_(around), name_(name) {}
  std::uint32_t operator()(const Binding& rule) {
    if (needs_latest(rule) && (!has_latest_ || rule.place != place_)) {
      has_latest_ = true;
      place_ = rule.place;
      latest_ = around_.memory.latest_at(place_);
    }
    return resolve(around_, name_, rule, latest_);
  }

private:
  const Surroundings& around_;
  Key name_;
  bool has_latest_ = false;
  Key place_ = 0;
  std::uint32_t latest_ = 0;
};

/// What the rule gives will be something else once the open output is there.
bool is_open(const Surroundings& around, const Binding& rule, Key side) {
  for (const Key open : around.open_tasks) {
    const bool is_its = rule.from == From::back ? rule.n <= around.open_tasks.size()
                        : rule.from == From::named
                            ? around.output_names != nullptr &&
                                  around.output_names->find(mix(open, rule.place)) != nullptr
                            : side == task_side(open, Side::output);
    if (is_its) {
      return true;
    }
  }
  return false;
}

/// Where an output holds a value, as `: reservations[*]`. Of a document in one of its texts it is
/// where that text stands, and then where the value stands in the document.
std::string path_in_output(const SessionMemory& memory, const SeenValue& value,
                           const Output& output) {
  const SeenValue* root = &value;
  while (root->parent != 0 && memory.value(root->parent).json->string() == nullptr) {
    root = &memory.value(root->parent);
  }
  std::string outer;
  if (root->parent != 0) {
    outer = path_in_output(memory, memory.value(root->parent), output);
  }
  const std::string path = path_of(root->parent != 0 ? *root->json : output.value(), value.json);
  return outer + (path.empty() ? "" : ": ") + path;
}

std::string origin_of(const SessionMemory& memory, const SeenValue& value, From from) {
  static const char* const words[from_kinds] = {"",           "last ",         "next unused ",
                                                "mentioned ", "first ever ",   "older ",
                                                "recent ",    "latest named ", "spoken of "};
  std::string origin = words[static_cast<std::size_t>(from)];
  if (value.side == Side::text) {
    return origin + "text";
  }
  const SeenStep& step = memory.steps()[value.document - 1];
  if (value.side == Side::output) {
    const SeenValue& whole = value.is_part ? memory.value(value.parent) : value;
    const std::string path = step.output ? path_in_output(memory, whole, *step.output) : "";
    return origin + (value.is_part ? "in the text of " : "") + "output of " + step.call.task() +
           path + (value.is_part ? " " + memory.way_to(value) : "");
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

std::uint16_t signature_of(const Binding& rule) {
  const Key kind =
      (static_cast<Key>(rule.as) * from_kinds + static_cast<Key>(rule.from)) * nth_max * 2 + rule.n;
  return static_cast<std::uint16_t>(mix(rule.place ^ rule.mold, kind) | 1U);
}

}  // namespace

std::string text_of(const Origin& origin, const SessionMemory& memory) {
  switch (origin.kind) {
    case Origin::Kind::constant:
      return "constant";
    case Origin::Kind::rule:
      return origin_of(memory, memory.value(origin.at), origin.from) +
             (origin.as == As::text     ? ", as a text"
              : origin.as == As::number ? ", as a number"
                                        : "");
    case Origin::Kind::recognised:
      return "text, known from before";
    case Origin::Kind::corrected:
      return "its last one, corrected";
    case Origin::Kind::composed:
      return "put together";
  }
  return "";
}

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

/// Returns the largest share of a rule whose value is still to come.
double Parameter::claim_by_rules(const Surroundings& around, const KindRecord& kinds,
                                 std::size_t place, Claimed& claimed, MadeValues& made) const {
  double blocked = 0;
  Resolver resolve(around, name_);
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Binding& rule = rules_[i];
    if (!around.open_tasks.empty() && is_open(around, rule, task_sides_[i])) {
      blocked = std::max(blocked, rule_share(i, place, kinds));
      continue;
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
      if (is_made && claims.count == 1) {
        claims.is_projected = rule.mold != 0;
        claims.is_converted = rule.as != As::it_is;
      }
    }
  }
  return blocked;
}

const Mold* Parameter::find_mold(Key key) const {
  for (const Mold& each : molds_) {
    if (each.key == key) {
      return &each;
    }
  }
  return nullptr;
}

namespace {

/// The hash of an object's members of these names; 0: it lacks one.
Key hash_of_members(const json::Value& value, const std::vector<std::string>& names) {
  const json::Object* object = value.object();
  Key hash = object == nullptr ? 0 : hash_object_start();
  for (std::size_t i = 0; i < names.size() && hash != 0; ++i) {
    const json::Value* member = object->find(names[i]);
    hash = member == nullptr ? 0 : mix(hash, hash_text(names[i]), hash_value(*member));
  }
  return hash;
}

json::Value members_of(const json::Value& value, const std::vector<std::string>& names) {
  json::Object object;
  for (const std::string& name : names) {
    object.set(name, *value.find(name));
  }
  return object;
}

}  // namespace

/// The hash of what the rule makes of the value; 0: nothing.
Key Parameter::given(const SeenValue& value, const Binding& rule) const {
  if (rule.mold == 0) {
    return formed_hash(value, rule.as);
  }
  const Mold* mold = find_mold(rule.mold);
  if (mold == nullptr) {
    return 0;
  }
  if (!mold->is_each) {
    return hash_of_members(*value.json, mold->names);
  }
  const json::Array* array = value.json->array();
  if (array == nullptr || array->empty() || array->size() > elements_max) {
    return 0;
  }
  Key hash = hash_array_start();
  for (const json::Value& element : *array) {
    const Key inner = hash_of_members(element, mold->names);
    if (inner == 0) {
      return 0;
    }
    hash = mix(hash, inner);
  }
  return hash;
}

/// @pre given(value, rule) != 0
json::Value Parameter::make(const SeenValue& value, const Binding& rule) const {
  if (rule.mold == 0) {
    return formed(*value.json, rule.as);
  }
  const Mold& mold = *find_mold(rule.mold);
  if (!mold.is_each) {
    return members_of(*value.json, mold.names);
  }
  json::Array array;
  for (const json::Value& element : *value.json->array()) {
    array.push_back(members_of(element, mold.names));
  }
  return array;
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

std::vector<std::pair<const Mold*, double>> Parameter::molds(Key previous) const {
  const std::size_t place = followed_.find(previous);
  std::vector<std::pair<const Mold*, double>> found;
  for (const Mold& mold : molds_) {
    if (mold.is_each) {
      continue;
    }
    double share = mold.count / (total_ + 1);
    if (place != Followed::nowhere) {
      share = (mold.after[place] + share) / (after_[place].total + 1);
    }
    found.emplace_back(&mold, share);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return found;
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
  return Candidate{hash, claims.best * claims.familiar,         claims.value, claims.origin, at,
                   true, Describer(*this, around)(hash, claims)};
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
    candidates.push_back({each.hash, each.share, each.value, claims.origin, claims.seen, false,
                          features[each.claim]});
  }
  return candidates;
}

Count Parameter::record_of(const Surroundings& around, const Candidate& candidate) const {
  Count record;
  switch (candidate.origin.kind) {
    case Origin::Kind::constant:
      if (const auto at = std::find(hashes_.begin(), hashes_.end(), candidate.hash);
          at != hashes_.end()) {
        record.tries = static_cast<float>(total_);
        record.hits =
            static_cast<float>(constants_[static_cast<std::size_t>(at - hashes_.begin())].count);
      }
      break;
    case Origin::Kind::rule: {
      Resolver resolve(around, name_);
      for (const Binding& rule : rules_) {
        if (rule.from == candidate.origin.from && rule.as == candidate.origin.as &&
            resolve(rule) == candidate.origin.at &&
            (record.tries == 0 || rule.all.share(1) > record.share(1))) {
          record = rule.all;
        }
      }
      break;
    }
    case Origin::Kind::recognised: {
      std::array<std::size_t, recognised_max> known{};
      const std::size_t count = recognised(around, known);
      for (std::size_t i = 0; i < count; ++i) {
        if (hashes_[known[i]] == candidate.hash) {
          record = recognised_[i].all;
        }
      }
      break;
    }
    case Origin::Kind::corrected:
      if (const std::uint32_t used = last_used(around); used != 0) {
        for (const SessionMemory::Corrected& each : around.memory.corrected(used)) {
          if (each.hash == candidate.hash) {
            record = corrected_[static_cast<std::size_t>(each.by)].all;
          }
        }
      }
      break;
    case Origin::Kind::composed:
      break;
  }
  return record;
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

/// Where what holds after this task is kept; what another task left there is cleared.
std::size_t Parameter::place_after(Key previous) {
  const Followed::Taken taken = followed_.take(previous);
  if (taken.is_new) {
    after_[taken.place] = {};
    after_rules_.resize(std::max(after_rules_.size(), (taken.place + 1) * rules_max));
    std::fill_n(after_rules_.begin() + static_cast<std::ptrdiff_t>(taken.place * rules_max),
                rules_max, Count{});
    for (Constant& constant : constants_) {
      constant.after[taken.place] = 0;
    }
    for (Record& record : recognised_) {
      record.after[taken.place] = {};
    }
    for (Record& record : corrected_) {
      record.after[taken.place] = {};
    }
    for (Mold& mold : molds_) {
      mold.after[taken.place] = 0;
    }
  }
  return taken.place;
}

void Parameter::learn_constant(std::size_t place, Key hash, const json::Value& value) {
  total_ += 1;
  After& after = after_[place];
  after.total += 1;
  auto at =
      static_cast<std::size_t>(std::find(hashes_.begin(), hashes_.end(), hash) - hashes_.begin());
  if (at == hashes_.size()) {
    constants_seen_ += 1;
    if (size_of(value) > constant_bytes_max) {
      after.seen += 1;
      return;
    }
    auto place_of_value = static_cast<std::uint8_t>(values_.size());
    if (constants_.size() < constants_max) {
      values_.push_back(value);
    } else {
      const auto least =
          std::min_element(constants_.begin(), constants_.end(),
                           [](const Constant& a, const Constant& b) { return a.count < b.count; });
      place_of_value = least->value;
      values_[place_of_value] = value;
      hashes_.erase(hashes_.begin() + (least - constants_.begin()));
      constants_.erase(least);
    }
    at = constants_.size();
    hashes_.push_back(hash);
    constants_.push_back({0, {}, place_of_value});
  }
  Constant& constant = constants_[at];
  constant.count += 1;
  after.seen += constant.after[place] > 0 ? 0 : 1;
  constant.after[place] += 1;
}

void Parameter::forget_rule(std::size_t rule) {
  const auto at = static_cast<std::ptrdiff_t>(rule);
  rules_.erase(rules_.begin() + at);
  task_sides_.erase(task_sides_.begin() + at);
  std::copy(signatures_.begin() + at + 1, signatures_.end(), signatures_.begin() + at);
  signatures_.back() = 0;
  for (auto place = after_rules_.begin(); place != after_rules_.end(); place += rules_max) {
    std::copy(place + at + 1, place + rules_max, place + at);
    place[rules_max - 1] = {};
  }
  if (leader_ == rule) {
    leader_ = no_rule;
    led_ = 0;
  } else if (leader_ != no_rule && leader_ > rule) {
    --leader_;
  }
}

void Parameter::add_rule(const Surroundings& around, Key name, Key hash, const Binding& rule,
                         Key side) {
  const std::uint16_t signature = signature_of(rule);
  for (std::size_t i = 0; i < rules_.size(); i += 4) {
    // Four at once: a quarter that is equal becomes 0, and the lowest 0 borrows.
    constexpr std::uint64_t ones = 0x0001'0001'0001'0001;
    std::uint64_t four = 0;
    std::memcpy(&four, &signatures_[i], sizeof four);
    four ^= signature * ones;
    if (((four - ones) & ~four & (ones << 15U)) == 0) {
      continue;
    }
    for (std::size_t n = i; n < std::min(i + 4, rules_.size()); ++n) {
      const Binding& each = rules_[n];
      if (each.from == rule.from && each.place == rule.place && each.n == rule.n &&
          each.mold == rule.mold && each.as == rule.as) {
        return;
      }
    }
  }
  const std::uint32_t at = Resolver(around, name)(rule);
  if (at == 0 || given(around.memory.value(at), rule) != hash) {
    return;
  }
  if (rules_.size() >= rules_max) {
    // The worst goes: the fewest hits for its tries, the oldest of these.
    const auto worth = [](const Binding& each) {
      return (each.all.hits + 1) / (each.all.tries + 2);
    };
    forget_rule(static_cast<std::size_t>(
        std::min_element(rules_.begin(), rules_.end(),
                         [&](const Binding& a, const Binding& b) { return worth(a) < worth(b); }) -
        rules_.begin()));
  }
  signatures_[rules_.size()] = signature;
  rules_.push_back(rule);
  task_sides_.push_back(side);
}

namespace {

/// What the value is where a rule makes it of a text or a number; null: nothing.
json::Value other_kind(const json::Value& value) {
  return formed(value, value.string() != nullptr ? As::number : As::text);
}

/// The session's memory knows the value, or what a rule would make it of.
bool is_seen(const Surroundings& around, Key hash, const json::Value& value) {
  const auto knows = [&](Key key) {
    return around.memory.latest_equal(key) != 0 || around.memory.latest_part(key) != 0;
  };
  if (knows(hash) || !around.converts) {
    return knows(hash);
  }
  const json::Value other = other_kind(value);
  return !other.is_null() && knows(hash_value(other));
}

}  // namespace

void Parameter::learn_rules(const Surroundings& around, Key name, Key hash,
                            const json::Value& value, bool is_explained) {
  const SessionMemory& memory = around.memory;
  const std::uint32_t whole = memory.latest_equal(hash);
  learn_sources(around, name, hash, whole, leader_ == no_rule ? sources_max : sources_explained_max,
                As::it_is);
  if (whole != 0 && is_explained) {
    return;
  }
  const std::uint32_t part = memory.latest_part(hash);
  learn_sources(around, name, hash, part, part_sources_max, As::it_is);
  if (part != 0 || whole != 0 || !around.converts) {
    return;
  }
  if (const json::Value other = other_kind(value); !other.is_null()) {
    const As as = value.string() != nullptr ? As::text : As::number;
    const Key key = hash_value(other);
    learn_sources(around, name, hash, memory.latest_equal(key), converted_sources_max, as);
    learn_sources(around, name, hash, memory.latest_part(key), part_sources_max, as);
  }
}

/// Rules that would have given this value, from where it, or what it is made of, was seen last.
void Parameter::learn_sources(const Surroundings& around, Key name, Key hash, std::uint32_t latest,
                              std::size_t count, As as) {
  const SessionMemory& memory = around.memory;
  std::uint32_t at = latest;
  for (std::size_t i = 0; i < count && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    const Key owner = value.side == Side::text
                          ? task_side(0, Side::text)
                          : task_side(memory.steps()[value.document - 1].task, value.side);
    const auto rule = [&](From from, std::size_t n, Key place) {
      Binding binding;
      binding.from = from;
      binding.n = static_cast<std::uint8_t>(n);
      binding.place = place;
      binding.as = as;
      binding.source = as != As::it_is ? source_converted
                       : value.is_part
                           ? static_cast<std::uint8_t>(source_part + (value.is_by_look ? 0 : 1))
                           : static_cast<std::uint8_t>(static_cast<int>(value.side) +
                                                       (value.is_after_word ? 1 : 0));
      add_rule(around, name, hash, binding, from == From::named ? 0 : owner);
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
      if (value.parent != 0 && !value.is_part) {
        rule(From::about, 0, value.place);
      }
    }
    if (value.side == Side::output && !value.is_part) {
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

bool Parameter::was_corrected() const {
  return std::any_of(corrected_.begin(), corrected_.end(),
                     [](const Record& each) { return each.all.hits > 0; });
}

/// Whether the step only says again what is known, and need not be looked at.
bool Parameter::is_routine(const Surroundings& around, Key hash, const json::Value& value) {
  if (passed_ + 1 >= looked_every || followed_.find(around.previous) == Followed::nowhere) {
    return false;
  }
  bool is_known = false;
  if (led_ >= led_min) {
    if (leader_ == no_rule) {
      is_known = hash == leader_hash_;
    } else {
      const std::uint32_t at = Resolver(around, name_)(rules_[leader_]);
      is_known = at != 0 && given(around.memory.value(at), rules_[leader_]) == hash;
    }
  } else if (missed_ >= missed_min) {
    is_known = (value.string() != nullptr || value.number() != nullptr) &&
               !is_seen(around, hash, value) && !was_corrected() &&
               std::find(hashes_.begin(), hashes_.end(), hash) == hashes_.end();
  }
  if (is_known) {
    ++passed_;
  }
  return is_known;
}

/// `right`: a rule that was right, the best of them; no_rule: none was.
void Parameter::learn_leader(std::uint8_t right, bool leader_was_right, bool is_known, Key hash) {
  constexpr std::uint8_t count_max = 0xff;
  if (leader_was_right) {
    led_ = led_ < count_max ? static_cast<std::uint8_t>(led_ + 1) : led_;
  } else {
    leader_ = right;
    led_ = 1;
  }
  leader_hash_ = hash;
  const bool is_missed = right == no_rule && !is_known;
  missed_ = !is_missed ? 0 : missed_ < count_max ? static_cast<std::uint8_t>(missed_ + 1) : missed_;
  passed_ = 0;
}

bool Parameter::learn(const Surroundings& around, KindRecord& kinds, std::string_view text,
                      const json::Value& value) {
  if (text_ != text || name_ == 0) {
    text_ = text;
    name_ = hash_text(text);
    step_ = step_of_name(text, name_);
  }
  const Key name = name_;
  const Key hash = hash_value(value);
  if (is_routine(around, hash, value)) {
    return false;
  }
  const std::size_t place = place_after(around.previous);
  Resolver resolve(around, name);
  std::uint8_t right = no_rule;
  bool leader_was_right = leader_ == no_rule && led_ > 0 && leader_hash_ == hash;
  for (std::uint8_t i = 0; i < rules_.size(); ++i) {
    Binding& rule = rules_[i];
    const std::uint32_t at = resolve(rule);
    if (at == 0) {
      continue;
    }
    const Key made = given(around.memory.value(at), rule);
    if (made == 0) {
      continue;
    }
    const bool hit = made == hash;
    if (rule.all.tries == 0) {
      kinds.learn(rule, hit);
    }
    rule.all.add(hit);
    after_rules_[place * rules_max + i].add(hit);
    if (hit) {
      leader_was_right = leader_was_right || i == leader_;
      if (right == no_rule || rules_[right].all.share(0) < rule.all.share(0)) {
        right = i;
      }
    }
  }
  const bool is_known =
      std::find(hashes_.begin(), hashes_.end(), hash) != hashes_.end() || was_corrected();
  learn_leader(right, leader_was_right, is_known, hash);
  std::array<std::size_t, recognised_max> known{};
  const std::size_t count = recognised(around, known);
  for (std::size_t i = 0; i < count; ++i) {
    recognised_[i].add(place, hashes_[known[i]] == hash);
  }
  if (const std::uint32_t used = last_used(around); used != 0) {
    for (const SessionMemory::Corrected& each : around.memory.corrected(used)) {
      corrected_[static_cast<std::size_t>(each.by)].add(place, each.hash == hash);
    }
  }
  learn_look(value);
  learn_constant(place, hash, value);
  learn_mold(place, value);
  if (led_ < led_few || led_ % looked_for_more == 0) {
    learn_rules(around, name, hash, value, right != no_rule);
    learn_projections(around, name, hash, value);
  }
  return true;
}

std::optional<Mold> mold_of(const json::Value& value) {
  Mold mold;
  if (const json::Array* array = value.array()) {
    mold.is_array = true;
    for (std::size_t i = 0; i < std::min(array->size(), mold_parts_max + 1); ++i) {
      mold.parts.push_back(mix(0xe1, i));
    }
    mold.key = mix(0xe2, array->size());
  } else if (const json::Object* object = value.object()) {
    mold.key = 0xe3;
    for (const json::Member& member : *object) {
      mold.names.push_back(member.name);
      mold.parts.push_back(mix(0xe4, hash_text(member.name)));
      mold.key = mix(mold.key, mold.parts.back());
      if (mold.parts.size() > mold_parts_max) {
        break;
      }
    }
  }
  if (mold.parts.empty() || mold.parts.size() > mold_parts_max) {
    return std::nullopt;
  }
  return mold;
}

namespace {

/// The members that each element of an array has, where they are all alike.
std::optional<Mold> mold_of_each(const json::Value& value) {
  const json::Array* array = value.array();
  if (array == nullptr || array->empty() || array->size() > elements_max ||
      array->front().object() == nullptr) {
    return std::nullopt;
  }
  std::optional<Mold> mold = mold_of(array->front());
  for (const json::Value& element : *array) {
    const json::Object* object = element.object();
    if (!mold || object == nullptr || object->size() != mold->names.size() ||
        hash_of_members(element, mold->names) == 0) {
      return std::nullopt;
    }
  }
  mold->is_each = true;
  mold->key = mix(0xe5, mold->key);
  mold->parts.clear();
  return mold;
}

}  // namespace

void Parameter::learn_mold(std::size_t place, const json::Value& value) {
  for (std::optional<Mold> mold : {mold_of(value), mold_of_each(value)}) {
    if (!mold) {
      continue;
    }
    auto known = std::find_if(molds_.begin(), molds_.end(),
                              [&](const Mold& each) { return each.key == mold->key; });
    if (known == molds_.end()) {
      if (molds_.size() >= molds_max) {
        molds_.erase(
            std::min_element(molds_.begin(), molds_.end(),
                             [](const Mold& a, const Mold& b) { return a.count < b.count; }));
      }
      known = molds_.insert(molds_.end(), std::move(*mold));
    }
    known->count += 1;
    known->after[place] += 1;
  }
}

/// Objects of the session that have all of these members, and more; arrays of such objects.
void Parameter::learn_projections(const Surroundings& around, Key name, Key hash,
                                  const json::Value& value) {
  const SessionMemory& memory = around.memory;
  const std::optional<Mold> each = mold_of_each(value);
  const std::optional<Mold> mold = each ? each : mold_of(value);
  const json::Value& first = each ? value.array()->front() : value;
  if (!mold || first.object() == nullptr) {
    return;
  }
  std::uint32_t at = 0;
  for (const json::Member& member : *first.object()) {
    if (member.value.string() != nullptr || member.value.number() != nullptr) {
      at = memory.latest_equal(hash_value(member.value));
      break;
    }
  }
  for (std::size_t i = 0; i < sources_max && at != 0; at = memory.value(at).same_value, ++i) {
    std::uint32_t holder = memory.value(at).parent;
    holder = each && holder != 0 ? memory.value(holder).parent : holder;
    if (holder == 0) {
      continue;
    }
    const SeenValue& whole = memory.value(holder);
    const auto rule = [&](From from, std::size_t n) {
      Binding binding;
      binding.from = from;
      binding.n = static_cast<std::uint8_t>(n);
      binding.place = whole.place;
      binding.mold = mold->key;
      binding.source = static_cast<std::uint8_t>(whole.side);
      if (whole.hash != hash && given(whole, binding) == hash) {
        add_rule(around, name, hash, binding,
                 task_side(memory.steps()[whole.document - 1].task, whole.side));
      }
    };
    std::size_t n = 0;
    for (std::uint32_t next = whole.head; next != holder && next != 0 && n < nth_max;
         next = memory.value(next).next) {
      ++n;
    }
    if (n < nth_max) {
      rule(From::nth, n);
    }
    rule(From::last, 0);
    rule(From::earliest, 0);
  }
}

}  // namespace forerun::prediction
