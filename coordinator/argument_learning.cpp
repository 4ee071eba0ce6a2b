#include <algorithm>
#include <cstring>

#include "coordinator/argument_rules.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t back_max = 4;
constexpr std::size_t back_values_max = 3;
constexpr std::size_t sources_explained_max = 4;  ///< Where a rule gave the value.
constexpr std::size_t part_sources_max = 6;       ///< Two occurrences, told in some ways each.
constexpr std::size_t converted_sources_max = 4;
constexpr std::uint8_t source_part = 4;
constexpr std::uint8_t source_converted = 6;
constexpr std::size_t constant_bytes_max = 1'024;
constexpr std::size_t looks_max = 24;
/// Other rules are looked for until one has been right so often in a row; then one time in so many.
constexpr std::uint8_t led_few = 8;
constexpr std::uint8_t looked_for_more = 4;
constexpr std::uint8_t missed_min = 32;
/// Of routine steps one in so many is looked at.
constexpr std::uint8_t looked_every = 16;

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

/// A few bits of what sets rules apart; never 0.
std::uint16_t signature_of(const Binding& rule) {
  const Key kind =
      (static_cast<Key>(rule.as) * from_kinds + static_cast<Key>(rule.from)) * nth_max * 2 + rule.n;
  return static_cast<std::uint16_t>(mix(rule.place ^ rule.mold, kind) | 1U);
}

}  // namespace

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

/// Behind how many texts its calls come.
void Parameter::learn_texts(std::size_t fresh) {
  constexpr float counted_max = 64;
  texts_[std::min(fresh, texts_.size() - 1)] += 1;
  if (texts_[0] + texts_[1] + texts_[2] > counted_max) {
    for (float& each : texts_) {
      each *= 0.5F;
    }
  }
}

/// Nearly all of its calls came behind more texts than have come.
bool Parameter::waits_for_text(const SessionMemory& memory) const {
  constexpr float nearly_all = 0.9F;
  float here = 0;
  for (std::size_t i = 0; i < std::min(memory.fresh_texts() + 1, texts_.size()); ++i) {
    here += texts_[i];
  }
  const float all = texts_[0] + texts_[1] + texts_[2];
  return all - here > nearly_all * all;
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
  learn_texts(around.memory.fresh_texts());
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
    if (is_stale(around.memory, at)) {
      rule.stale.add(hit);
    }
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

}  // namespace forerun::prediction
