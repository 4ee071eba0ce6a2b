#include "coordinator/telling_fields.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/real.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t depth_max = 6;
constexpr std::size_t items_max = 3;      ///< Of a list, the first ones.
constexpr std::size_t scalars_max = 48;   ///< Of one output.
constexpr std::size_t members_max = 256;  ///< Of one object are looked at.
constexpr std::size_t text_bytes_max = 512;
constexpr std::size_t part_bytes_max = 40;
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

constexpr double doubt = 0.6;  ///< As LearnedContexts blends.
constexpr double share_min = 1e-3;

constexpr Key root = 0x91;
constexpr Key item = 0x92;
constexpr Key size_of_list = 0x93;
constexpr Key first_word = 0x94;
constexpr Key last_word = 0x95;
constexpr Key before_digits = 0x96;
constexpr Key absent = 0x97;
constexpr Key chosen_labels = 0x98;

Key whole_text(std::string_view text) {
  return mix(root, hash_text(text.substr(0, text_bytes_max)));
}

Key scalar(const json::Value& value) {
  const std::string* text = value.string();
  return text != nullptr ? whole_text(*text) : hash_value(value);
}

/// The part of a text that may be a label where the whole is none; empty: it has none.
std::string_view part_of(std::string_view text, Key part) {
  const auto last = text.find_last_not_of(" .!?\n\t");
  text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
  std::string_view found;
  if (part == first_word) {
    found = text.substr(0, text.find(' '));
  } else if (part == last_word) {
    const auto space = text.rfind(' ');
    found = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
  } else {
    const auto digit = text.find_first_of("0123456789");
    found = digit == std::string_view::npos ? std::string_view{} : text.substr(0, digit);
  }
  return found.size() > part_bytes_max ? std::string_view{} : found;
}

/// Calls take(path, scalar) for each scalar, and take_size(path, hash) for each list.
template <class Take, class TakeSize>
void each_scalar(const json::Value& value, Key path, std::size_t depth, std::size_t& left,
                 const Take& take, const TakeSize& take_size) {
  if (left == 0 || depth > depth_max) {
    return;
  }
  if (const json::Array* array = value.array()) {
    --left;
    take_size(mix(path, size_of_list), mix(size_of_list, std::min(array->size(), items_max)));
    for (std::size_t i = 0; i < std::min(array->size(), items_max); ++i) {
      each_scalar((*array)[i], mix(path, item, i), depth + 1, left, take, take_size);
    }
  } else if (const json::Object* object = value.object()) {
    for (std::size_t i = 0; i < std::min(object->size(), members_max) && left > 0; ++i) {
      const json::Member& member = object->begin()[i];
      each_scalar(member.value, mix(path, hash_text(member.name)), depth + 1, left, take,
                  take_size);
    }
  } else {
    --left;
    take(path, value);
  }
}

double share(const Context* context, Key symbol, double otherwise) {
  if (context == nullptr || !(context->total() > 0)) {
    return otherwise;
  }
  const double unseen = doubt * context->distinct();
  return (context->count(symbol) + unseen * otherwise) / (context->total() + unseen);
}

}  // namespace

std::array<Key, 2> task_contexts(const AnsweredStep& step) {
  return {mix(step.tenant, 0x71, step.task), mix(step.tenant, 0x73, step.task, step.inputs)};
}

std::array<Key, 2> answer_contexts(const AnsweredStep& step, Key labels) {
  const Key answered = mix(step.task, labels);
  return {mix(step.tenant, 0x76, answered), mix(step.tenant, 0x79, answered, step.inputs)};
}

void TellingFields::Field::learn(Key value, Key all, std::uint32_t now) {
  if (!is_label) {
    return;
  }
  ++tries;
  const auto short_value = static_cast<std::uint32_t>(value);
  const auto short_all = static_cast<std::uint32_t>(all);
  bool is_known = false;
  for (auto& [known, all_then] : values) {
    if (known == short_value) {
      is_known = true;
      differs_at = all_then != short_all ? now : differs_at;
      all_then = short_all;
    } else if (all_then == short_all) {
      differs_at = now;
    }
  }
  if (!is_known) {
    values.emplace_back(short_value, short_all);
  }
  if (values.size() > values_max || (tries >= label_tries_min && values.size() >= tries - 1)) {
    is_label = false;
    values = {};
  }
}

/// Outputs of a task hold the same paths in the same order, mostly: the next one is where the
/// cursor stands. Null where there is no room.
TellingFields::Field* TellingFields::field(Key path, std::size_t& cursor) {
  for (std::size_t n = 0; n < fields_.size(); ++n) {
    const std::size_t at = cursor + n < fields_.size() ? cursor + n : cursor + n - fields_.size();
    if (fields_[at].path == path) {
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
  made->path = path;
  if (outputs_ > 1) {
    made->values.emplace_back(static_cast<std::uint32_t>(absent), 0);
    made->tries = 1;
  }
  return made;
}

bool TellingFields::is_chosen(Key path) const {
  return std::find(chosen_.begin(), chosen_.end(), path) != chosen_.end();
}

bool TellingFields::is_candidate(const Field& field) const {
  return field.is_label && field.values.size() > 1 && field.tries >= tries_min &&
         outputs_ >= field.dull_until && !is_chosen(field.path) &&
         (!chosen_.empty() || (field.differs_at > 0 && outputs_ - field.differs_at < same_after));
}

void TellingFields::watch(Key path, Key value, std::size_t& cursor, Key all) {
  if (Field* const known = field(path, cursor)) {
    known->seen_at = outputs_;
    known->learn(value, all, outputs_);
  }
}

TellingFields::Saying TellingFields::read(const json::Value& output, Key all) {
  ++outputs_;
  Saying said;
  said.all = all;
  said.version = version_;
  std::array<std::pair<Key, Key>, 4 * scalars_max> found{};
  std::size_t count = 0;
  std::size_t cursor = 0;
  const auto watched = [&](Key path, Key value) {
    found[count++] = {path, value};
    watch(path, value, cursor, all);
  };
  std::size_t left = scalars_max;
  each_scalar(
      output, root, 0, left,
      [&](Key path, const json::Value& value) {
        watched(path, scalar(value));
        const std::string* text = value.string();
        if (text == nullptr) {
          return;
        }
        std::size_t at = cursor == 0 ? fields_.size() - 1 : cursor - 1;
        const Field* const whole = field(path, at);
        if (whole == nullptr || whole->is_label) {
          return;
        }
        for (const Key kind : {first_word, last_word, before_digits}) {
          if (const std::string_view part = part_of(*text, kind); !part.empty()) {
            watched(mix(path, kind), mix(kind, hash_text(part)));
          }
        }
      },
      watched);
  const auto value_at = [&](Key path) {
    const auto end = found.begin() + static_cast<std::ptrdiff_t>(count);
    const auto at =
        std::find_if(found.begin(), end, [path](const auto& each) { return each.first == path; });
    return at == end ? absent : at->second;
  };
  said.chosen = chosen_labels;
  for (const Key path : chosen_) {
    said.chosen = mix(said.chosen, path, value_at(path));
  }
  const bool compares = chosen_.size() < chosen_max &&
                        (outputs_ <= compared_full || outputs_ % candidates_every == 0);
  for (Field& each : fields_) {
    if (each.seen_at != outputs_) {
      each.learn(absent, all, outputs_);
    }
    if (compares && said.count < candidates_max && is_candidate(each)) {
      said.candidates[said.count++] = {each.path, value_at(each.path)};
    }
  }
  return said;
}

Key TellingFields::chosen_of(const json::Value& output) const {
  std::array<Key, chosen_max> values;
  values.fill(absent);
  const auto keep = [&](Key path, const auto& hash) {
    for (std::size_t i = 0; i < chosen_.size(); ++i) {
      if (chosen_[i] == path) {
        values[i] = hash();
      }
    }
  };
  std::size_t left = scalars_max;
  each_scalar(
      output, root, 0, left,
      [&](Key path, const json::Value& value) {
        keep(path, [&] { return scalar(value); });
        const std::string* text = value.string();
        if (text == nullptr) {
          return;
        }
        for (const Key kind : {first_word, last_word, before_digits}) {
          keep(mix(path, kind), [&] {
            const std::string_view part = part_of(*text, kind);
            return part.empty() ? absent : mix(kind, hash_text(part));
          });
        }
      },
      [&](Key path, Key size) { keep(path, [&] { return size; }); });
  Key chosen = chosen_labels;
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    chosen = mix(chosen, chosen_[i], values[i]);
  }
  return chosen;
}

std::vector<std::string> TellingFields::chosen_texts(const json::Value& output) const {
  std::vector<std::string> texts(chosen_.size(), "nothing");
  const auto keep = [&](Key path, const std::string& text) {
    if (const auto at = std::find(chosen_.begin(), chosen_.end(), path); at != chosen_.end()) {
      texts[static_cast<std::size_t>(at - chosen_.begin())] = text;
    }
  };
  std::size_t left = scalars_max;
  each_scalar(
      output, root, 0, left,
      [&](Key path, const json::Value& value) {
        keep(path, json::canonical(value));
        if (const std::string* text = value.string()) {
          for (const Key kind : {first_word, last_word, before_digits}) {
            keep(mix(path, kind), json::canonical(std::string(part_of(*text, kind))));
          }
        }
      },
      [&](Key path, Key) { keep(path, "a list"); });
  return texts;
}

void TellingFields::learn(const Saying& said, const AnsweredStep& step, Key taught, Key symbol,
                          LearnedContexts& contexts) {
  if (said.version != version_ || (said.count == 0 && chosen_.empty())) {
    return;
  }
  std::array<Key, 2 * (candidates_max + 3)> keys;
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
    if (gain > most) {
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
  if (best != nullptr) {
    choose(*best);
  } else if (against_all_ <= -against_max) {
    start_over();
  }
  uses_chosen_ =
      !chosen_.empty() && (uses_chosen_ ? against_all_ > -switch_at : against_all_ > switch_at);
}

void TellingFields::choose(const Field& field) {
  against_all_ = field.against_all;
  chosen_.push_back(field.path);
  ++version_;
  for (Field& each : fields_) {
    each.looked_at = 0;
    each.dull_until = 0;
    each.gain = {};
    each.against_all = against_all_;
  }
}

void TellingFields::start_over() {
  chosen_.clear();
  against_all_ = 0;
  ++version_;
  for (Field& each : fields_) {
    each.looked_at = 0;
    each.gain = {};
    each.against_all = 0;
  }
}

}  // namespace forerun::prediction
