#include "coordinator/telling_fields.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "base/real.hpp"
#include "coordinator/context_trust.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t parts_max = 256;  ///< Of one output are watched.
constexpr std::size_t values_max = 24;  ///< A label has no more.
constexpr std::uint32_t tries_min = 4;
constexpr std::uint32_t label_tries_min = 12;
/// A path that did not come for so long makes room for another.
constexpr std::uint32_t gone_after = 64;
/// A field that told nothing else than all labels for so long is no candidate.
constexpr std::uint32_t same_after = 16;
/// From so many outputs on one in candidates_every has its fields compared.
constexpr std::uint32_t compared_full = 1'024;
constexpr std::uint32_t candidates_every = 8;

/// As logarithms: a field is chosen when it would have told e^5 times better what came. If it told
/// nothing this would happen once in e^5 fields (a likelihood ratio's bound, Ville 1939).
constexpr double choose_from = 5;
constexpr double gain_min = -3;
constexpr double switch_at = 2;
constexpr double against_max = 12;
/// A candidate that gained too little for so long is left out for dull_for outputs.
constexpr std::uint32_t hopeless_after = 32;
constexpr double hopeless_below = -2;
constexpr std::uint32_t dull_after = 160;
constexpr double dull_below = 1;
constexpr std::uint32_t dull_for = 1'024;

/// What agrees so much less than another candidate waits for that one to be compared.
constexpr float agrees_less = 0.1F;
constexpr std::uint32_t agreed_over = 64;  ///< So many of the last outputs count.
constexpr double share_min = 1e-3;

constexpr Key absent = 0x97;
constexpr Key chosen_labels = 0x98;

/// A number that may fall into a range.
std::optional<double> number_of(const OutputPart& part) {
  if (part.kind == PartKind::count) {
    return static_cast<double>(part.list->size());
  }
  const double* number = part.scalar == nullptr ? nullptr : part.scalar->number();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

double number_in_range(const OutputPart& range) {
  return range.list != nullptr ? static_cast<double>(range.list->size()) : *range.scalar->number();
}

const std::string* text_in(const OutputPart& part) {
  return part.scalar == nullptr ? nullptr : part.scalar->string();
}

bool is_of_text(PartKind kind) {
  return kind == PartKind::word || kind == PartKind::last_word || kind == PartKind::after_word ||
         kind == PartKind::before_digits;
}

constexpr std::array<PartKind, 2> kinds_of_ranges = {PartKind::coarse_range, PartKind::fine_range};

NumberRanges::Fineness fineness_of(PartKind kind) {
  return kind == PartKind::coarse_range ? NumberRanges::Fineness::coarse
                                        : NumberRanges::Fineness::fine;
}

bool is_range(PartKind kind) {
  return kind == PartKind::coarse_range || kind == PartKind::fine_range;
}

/// The range that the part's number falls into; its value is not known yet.
OutputPart range_in(const OutputPart& part, PartKind kind) {
  OutputPart range = part;
  range.kind = kind;
  range.path = path_of_range(part.path, fineness_of(kind));
  range.base = part.path;
  return range;
}

Key value_of_range(const NumberRanges& ranges, double number) {
  return mix(absent, ranges.range_of(number));
}

double share(const Context* context, Key symbol, double otherwise) {
  if (context == nullptr || !(context->total() > 0)) {
    return otherwise;
  }
  return context->share(symbol, otherwise, ContextTrust::first_doubt);
}

}  // namespace

std::array<Key, 2> task_contexts(const AnsweredStep& step) {
  return {mix(step.tenant, 0x71, step.task), mix(step.tenant, 0x73, step.task, step.inputs)};
}

std::array<Key, 2> answer_contexts(const AnsweredStep& step, Key labels) {
  const Key answered = mix(step.task, labels);
  return {mix(step.tenant, 0x76, answered), mix(step.tenant, 0x79, answered, step.inputs)};
}

void TellingFields::Field::learn(Key came, Key all, std::uint32_t now) {
  value = 0;
  if (!is_label) {
    return;
  }
  ++tries;
  const auto hash = static_cast<std::uint32_t>(came);
  const auto short_all = static_cast<std::uint32_t>(all);
  for (std::size_t i = 0; i < values.size(); ++i) {
    Value& known = values[i];
    if (known.hash == hash) {
      value = static_cast<std::uint8_t>(i + 1);
      differs_at = known.all != short_all ? now : differs_at;
      known.all = short_all;
    } else if (known.all == short_all) {
      differs_at = now;
    }
  }
  if (value == 0) {
    values.push_back({hash, short_all, 0});
    value = static_cast<std::uint8_t>(values.size());
  }
  if (values.size() > values_max || (tries >= label_tries_min && values.size() >= tries - 1)) {
    is_label = false;
    values = {};
    value = 0;
  }
}

const TellingFields::Field* TellingFields::find(Key path) const {
  const auto at = std::find_if(fields_.begin(), fields_.end(),
                               [path](const Field& each) { return each.path == path; });
  return at == fields_.end() ? nullptr : &*at;
}

/// Outputs of a task hold the same parts in the same order, mostly: the next one is where the
/// cursor stands. Null where there is no room.
TellingFields::Field* TellingFields::field(const OutputPart& part, std::size_t& cursor) {
  for (std::size_t n = 0; n < fields_.size(); ++n) {
    const std::size_t at = cursor + n < fields_.size() ? cursor + n : cursor + n - fields_.size();
    if (fields_[at].path == part.path) {
      cursor = at + 1 == fields_.size() ? 0 : at + 1;
      return &fields_[at];
    }
  }
  Field* made = nullptr;
  if (fields_.size() < fields_max) {
    made = &fields_.emplace_back();
  } else {
    made = &*std::min_element(fields_.begin(), fields_.end(),
                              [](const Field& a, const Field& b) { return a.seen_at < b.seen_at; });
    if (outputs_ - made->seen_at < gone_after || is_chosen(made->path)) {
      return nullptr;
    }
    *made = {};
  }
  made->path = part.path;
  made->base = part.base;
  made->kind = part.kind;
  made->is_of_list = part.is_of_list;
  if (outputs_ > 1) {
    made->values.push_back({static_cast<std::uint32_t>(absent), 0, 0});
    made->tries = 1;
  }
  return made;
}

bool TellingFields::is_chosen(Key path) const {
  return std::any_of(chosen_.begin(), chosen_.end(),
                     [path](const Chosen& each) { return each.path == path; });
}

bool TellingFields::is_candidate(const Field& field) const {
  return field.is_label && field.values.size() > 1 && field.tries >= tries_min &&
         outputs_ >= field.dull_until && !is_chosen(field.path) &&
         (!chosen_.empty() || (field.differs_at > 0 && outputs_ - field.differs_at < same_after));
}

/// Watches the parts of one output.
class TellingFields::Reading {
public:
  Reading(TellingFields& fields, Key all) : fields_(fields), all_(all) {}

  void take(const OutputPart& part) {
    if (part.kind == PartKind::item && !is_named(part.behind) && !fields_.is_chosen(part.path)) {
      return;
    }
    Field* const whole = watch(part, part.value);
    if (whole == nullptr || whole->is_label) {
      return;
    }
    if (const std::string* text = text_in(part)) {
      take_text(*whole, *text, part);
    } else if (const std::optional<double> number = number_of(part)) {
      for (const PartKind kind : kinds_of_ranges) {
        take_number(range_in(part, kind), *number);
      }
    }
  }
  Key value_at(Key path) const {
    const auto at = std::find_if(found_.begin(), found_.end(),
                                 [path](const auto& each) { return each.first == path; });
    return at == found_.end() ? absent : at->second;
  }

private:
  Field* watch(const OutputPart& part, Key value) {
    if (found_.size() == parts_max) {
      return nullptr;
    }
    found_.emplace_back(part.path, value);
    Field* const known = fields_.field(part, cursor_);
    if (known != nullptr) {
      known->seen_at = fields_.outputs_;
      known->learn(value, all_, fields_.outputs_);
    }
    return known;
  }
  /// What names the items takes few values, so it names the same ones again.
  bool is_named(Key names) {
    if (names != names_) {
      const Field* const known = fields_.find(names);
      names_ = names;
      is_named_ = known != nullptr && known->is_label && known->tries >= label_tries_min;
    }
    return is_named_;
  }
  void take_text(Field& whole, const std::string& text, const OutputPart& part_of) {
    const LabelWords parts = label_words(text, part_of);
    whole.frame.learn(parts);
    std::array<bool, label_words_max> is_wanted{};
    for (std::size_t i = 0; i < parts.count; ++i) {
      const OutputPart& part = parts.parts[i];
      is_wanted[i] = part.kind != PartKind::after_word || whole.frame.has(part.behind) ||
                     fields_.is_chosen(part.path);
    }
    for (std::size_t i = 0; i < parts.count; ++i) {  // What is watched may move the field.
      if (is_wanted[i]) {
        watch(parts.parts[i], parts.parts[i].value);
      }
    }
  }
  void take_number(const OutputPart& range, double number) {
    Field* const known = fields_.field(range, cursor_);
    if (known == nullptr) {
      return;
    }
    if (known->ranges.is_cut()) {
      watch(range, value_of_range(known->ranges, number));
    } else {
      known->seen_at = fields_.outputs_;
      known->ranges.learn(number, fineness_of(range.kind));
    }
  }

  TellingFields& fields_;
  Key all_;
  std::vector<std::pair<Key, Key>> found_;  ///< Path and value.
  std::size_t cursor_ = 0;
  Key names_ = 0;
  bool is_named_ = false;
};

TellingFields::Saying TellingFields::read(const json::Value& output, Key all) {
  ++outputs_;
  Saying said;
  said.all = all;
  said.version = version_;
  Reading reading(*this, all);
  each_output_part(output, true, [&](const OutputPart& part) { reading.take(part); });
  const ChosenValues values = chosen_values(output);
  said.chosen = as_one(values, none_left_out);
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    said.without[i] = as_one(values, i);
  }
  const bool compares = chosen_.size() < chosen_max &&
                        (outputs_ <= compared_full || outputs_ % candidates_every == 0);
  std::array<const Field*, fields_max> candidates;
  std::size_t count = 0;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    Field& each = fields_[i];
    if (each.seen_at != outputs_) {
      each.learn(absent, all, outputs_);
    }
    said.values[i] = each.value;
    if (compares && is_candidate(each)) {
      candidates[count++] = &each;
    }
  }
  said.count = static_cast<std::uint32_t>(std::min(count, candidates_max));
  std::partial_sort(candidates.begin(), candidates.begin() + said.count,
                    candidates.begin() + static_cast<std::ptrdiff_t>(count),
                    [](const Field* a, const Field* b) {
                      return a->agreed != b->agreed ? a->agreed > b->agreed : a < b;
                    });
  for (std::size_t i = 0; i < said.count; ++i) {
    said.candidates[i] = {candidates[i]->path, reading.value_at(candidates[i]->path)};
  }
  return said;
}

template <class Take>
void TellingFields::each_chosen(const json::Value& output, const Take& take) const {
  if (chosen_.empty()) {
    return;
  }
  const auto take_text = [&](const OutputPart& whole, const std::string& text) {
    const LabelWords parts = label_words(text, whole);
    for (std::size_t i = 0; i < parts.count; ++i) {
      for (std::size_t n = 0; n < chosen_.size(); ++n) {
        if (chosen_[n].path == parts.parts[i].path) {
          take(n, parts.parts[i]);
        }
      }
    }
  };
  const bool wants_lists = std::any_of(chosen_.begin(), chosen_.end(),
                                       [](const Chosen& each) { return each.is_of_list; });
  each_output_part(output, wants_lists, [&](const OutputPart& part) {
    bool has_text = false;
    for (std::size_t n = 0; n < chosen_.size(); ++n) {
      if (chosen_[n].path == part.path) {
        take(n, part);
      } else if (chosen_[n].base != part.path) {
        continue;
      } else if (const std::string* text = text_in(part);
                 text != nullptr && is_of_text(chosen_[n].kind) && !has_text) {
        has_text = true;
        take_text(part, *text);
      } else if (is_range(chosen_[n].kind)) {
        const Field* const known = find(chosen_[n].path);
        if (const auto number = number_of(part); number && known != nullptr) {
          OutputPart range = range_in(part, chosen_[n].kind);
          range.value = value_of_range(known->ranges, *number);
          take(n, range);
        }
      }
    }
  });
}

TellingFields::ChosenValues TellingFields::chosen_values(const json::Value& output) const {
  ChosenValues values;
  values.fill(absent);
  each_chosen(output, [&](std::size_t n, const OutputPart& part) { values[n] = part.value; });
  return values;
}

Key TellingFields::as_one(const ChosenValues& values, std::size_t left_out) const {
  Key chosen = chosen_labels;
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    chosen = i == left_out ? chosen : mix(chosen, chosen_[i].path, values[i]);
  }
  return chosen;
}

Key TellingFields::chosen_of(const json::Value& output) const {
  return as_one(chosen_values(output), none_left_out);
}

std::vector<std::string> TellingFields::chosen_texts(const json::Value& output) const {
  std::vector<std::string> texts(chosen_.size(), "nothing");
  each_chosen(output, [&](std::size_t n, const OutputPart& part) {
    const Field* const known = is_range(part.kind) ? find(part.path) : nullptr;
    const json::Value* const holder = holder_of(output, part);
    const std::string path = holder == nullptr ? std::string() : path_of(output, holder);
    texts[n] = (path.empty() ? "" : path + " ") +
               (known != nullptr ? known->ranges.text_of(number_in_range(part)) : text_of(part));
  });
  return texts;
}

/// How well each field tells by itself, at little cost: the best ones are compared closely.
void TellingFields::learn_agreement(const Saying& said, Key symbol) {
  const auto followed = static_cast<std::uint32_t>(symbol);
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    Field& each = fields_[i];
    if (said.values[i] == 0 || said.values[i] > each.values.size()) {
      continue;
    }
    Field::Value& value = each.values[said.values[i] - 1U];
    const float agrees = value.followed == followed ? 1 : 0;
    const auto times = static_cast<float>(std::clamp<std::uint32_t>(each.tries, 1, agreed_over));
    each.agreed += (agrees - each.agreed) / times;
    value.followed = followed;
  }
}

void TellingFields::learn(const Saying& said, const AnsweredStep& step, Key taught, Key symbol,
                          LearnedContexts& contexts) {
  learn_agreement(said, symbol);
  if (said.version != version_ || (said.count == 0 && chosen_.empty())) {
    return;
  }
  std::array<Key, 2 * (candidates_max + chosen_max + 3)> keys;
  std::array<const Context*, keys.size()> known{};
  std::size_t count = 0;
  const auto add = [&](const std::array<Key, 2>& pair) {
    keys[count++] = pair[0];
    keys[count++] = pair[1];
  };
  add(task_contexts(step));
  add(answer_contexts(step, said.all));
  add(chosen_.empty() ? task_contexts(step) : answer_contexts(step, said.chosen));
  for (std::size_t i = 0; i < said.count; ++i) {
    const auto& [path, value] = said.candidates[i];
    add(answer_contexts(step, mix(said.chosen, path, value)));
  }
  const std::size_t first_without = count;
  const std::size_t without = chosen_.size() > 1 ? chosen_.size() : 0;
  for (std::size_t i = 0; i < without; ++i) {
    add(answer_contexts(step, said.without[i]));
  }
  contexts.find(std::span(keys).first(count), std::span(known).first(count));
  const double of_task = std::max(share(known[0], symbol, share_min), share_min);
  const double of_all = share(known[3], symbol, share(known[2], symbol, of_task));
  const double bare = chosen_.empty() ? of_task : share(known[4], symbol, of_task);
  const double base = share(known[5], symbol, bare);
  if (!chosen_.empty()) {
    against_all_ = std::clamp(against_all_ + real::log(base / of_all), -against_max, against_max);
  }
  const Field* best = nullptr;
  double most = choose_from;
  float agreed_most = 0;
  for (const Field& each : fields_) {
    if (is_candidate(each) && each.tries >= agreed_over / 2) {
      agreed_most = std::max(agreed_most, each.agreed);
    }
  }
  for (std::size_t i = 0; i < said.count; ++i) {
    const Key path = said.candidates[i].first;
    const auto at = std::find_if(fields_.begin(), fields_.end(),
                                 [path](const Field& each) { return each.path == path; });
    if (at == fields_.end()) {
      continue;
    }
    Field& each = *at;
    const std::array<double, 2> told = {share(known[6 + 2 * i], symbol, bare),
                                        share(known[7 + 2 * i], symbol, base)};
    each.gain[0] = std::max(each.gain[0] + real::log(told[0] / bare), gain_min);
    each.gain[1] = std::max(each.gain[1] + real::log(told[1] / base), gain_min);
    each.against_all =
        std::clamp(each.against_all + real::log(told[1] / of_all), -against_max, against_max);
    ++each.looked_at;
    const double gain = std::max(each.gain[0], each.gain[1]);
    if (gain > most && each.agreed > agreed_most - agrees_less) {
      most = gain;
      best = &each;
    } else if ((each.looked_at >= hopeless_after && gain < hopeless_below) ||
               (each.looked_at >= dull_after && gain < dull_below)) {
      each.dull_until = outputs_ + dull_for;
      each.looked_at = 0;
      each.gain = {};
      each.against_all = 0;
    }
  }
  const auto teach = [&](std::size_t at) {
    contexts.teach(std::span(keys).subspan(at, 2), symbol);
  };
  if (!chosen_.empty()) {
    teach(taught == said.chosen ? 2 : 4);
  }
  contexts.teach(std::span(keys).first(count).subspan(6), symbol);
  std::size_t least_needed = 0;
  for (std::size_t i = 0; i < without; ++i) {
    const std::size_t at = first_without + 2 * i;
    const double told = share(known[at + 1], symbol, share(known[at], symbol, of_task));
    chosen_[i].spare = std::max(chosen_[i].spare + real::log(told / base), gain_min);
    least_needed = chosen_[i].spare > chosen_[least_needed].spare ? i : least_needed;
  }
  if (without > 0 && chosen_[least_needed].spare > choose_from) {
    drop(least_needed);
  } else if (best != nullptr) {
    choose(*best);
  } else if (against_all_ <= -against_max) {
    start_over();
  }
  uses_chosen_ =
      !chosen_.empty() && (uses_chosen_ ? against_all_ > -switch_at : against_all_ > switch_at);
}

void TellingFields::choose(const Field& field) {
  against_all_ = field.against_all;
  chosen_.push_back({field.path, field.base, field.kind, field.is_of_list, 0});
  compare_anew();
}

void TellingFields::drop(std::size_t chosen) {
  against_all_ += chosen_[chosen].spare;
  chosen_.erase(chosen_.begin() + static_cast<std::ptrdiff_t>(chosen));
  compare_anew();
}

void TellingFields::start_over() {
  chosen_.clear();
  against_all_ = 0;
  compare_anew();
}

/// What was compared, was compared with what was chosen before.
void TellingFields::compare_anew() {
  ++version_;
  for (Chosen& each : chosen_) {
    each.spare = 0;
  }
  for (Field& each : fields_) {
    each.looked_at = 0;
    each.dull_until = 0;
    each.gain = {};
    each.against_all = against_all_;
  }
}

}  // namespace forerun::prediction
