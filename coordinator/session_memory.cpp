#include "coordinator/session_memory.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "coordinator/ascii.hpp"
#include "coordinator/task_names.hpp"
#include "coordinator/written_dates.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t slots_min = 128;
constexpr Key any_element = 0x21;
constexpr Key any_name = 0x22;
constexpr Key key_of_map = 0x23;
constexpr Key nth_element = 0x24;
constexpr Key after_word = 0x31;
constexpr Key number_shape = 0x32;
constexpr Key word_shape = 0x33;
constexpr Key phrase_shape = 0x34;
constexpr Key lower_word = 0x35;
constexpr Key text_token = 10;
constexpr Key one_more = 0x25;
constexpr std::size_t walk_depth_max = 12;
constexpr Key document_in_text = 0x26;
constexpr std::size_t documents_in_texts_max = 8;  ///< Of one output.
constexpr std::size_t columns_max = 16;
/// What stays when steps are let go of: as many of the first as past sessions compare.
constexpr std::size_t first_steps_max = 64;
constexpr std::size_t latest_steps_min = 8;  ///< Contexts need them.
constexpr std::size_t asked_per_step = 4;    ///< Calls and arguments that are known to have been.
constexpr std::size_t words_per_text_max = 1'000;
constexpr std::size_t last_words_max = 96;
/// Of what may be held, what the first steps and the latest keep when others are let go of.
constexpr std::size_t kept_ahead_part = 8;
constexpr std::size_t kept_behind_part = 2;
constexpr std::size_t bytes_per_step = 450;  ///< Of the smallest call and its output, on the heap.
constexpr std::size_t bytes_per_text_byte = 16;  ///< The words with their places.
constexpr std::size_t word_bytes_max = 120;
constexpr std::size_t whole_text_bytes_max = 4'096;
constexpr std::size_t lower_text_bytes_max = 32U << 10U;
constexpr std::size_t tokens_of_value_max = 16;
constexpr std::size_t tokens_ahead = 24;
constexpr std::size_t words_of_slots = 256;
constexpr std::size_t name_bytes_min = 2;
constexpr std::size_t name_bytes_max = 40;
constexpr std::size_t names_compared_max = 96;       ///< The latest.
constexpr std::size_t corrected_words_max = 24;      ///< Of one text.
constexpr std::size_t corrected_word_bytes_min = 3;  ///< Shorter ones stay.
constexpr std::size_t corrected_bytes_max = 1'024;
constexpr std::size_t sentence_bytes_max = 512;
constexpr std::size_t sentences_max = 4;
constexpr double alike_min = 0.6;
constexpr double alike_blamed_min = 0.2;
constexpr Key name_of_output = 11;

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}

std::string_view without_edge(std::string_view text, std::string_view edge) {
  while (!text.empty() && edge.find(text.front()) != std::string_view::npos) {
    text.remove_prefix(1);
  }
  while (!text.empty() && edge.find(text.back()) != std::string_view::npos) {
    text.remove_suffix(1);
  }
  return text;
}

std::string_view trimmed(std::string_view word) {
  word = without_edge(word, ".,;:!?()[]{}\"'`*<>");
  if (word.size() > 2 && word.substr(word.size() - 2) == "'s") {
    word.remove_suffix(2);
  }
  return word;
}

/// Runs of capitals, small letters and digits become one sign each; a plain small word has the
/// shape "a".
std::string shape_of(std::string_view word) {
  std::string shape;
  for (const char c : word) {
    const char sign = is_upper(c) ? 'A' : is_lower(c) ? 'a' : is_digit(c) ? '9' : c;
    if (shape.empty() || shape.back() != sign) {
      shape.push_back(sign);
    }
  }
  return shape;
}

/// Calls `take` with the stem of each word of a text: runs of letters, cut where a capital follows
/// a small letter, and runs of digits.
template <class Take>
void each_token(std::string_view text, Take take) {
  std::size_t at = 0;
  while (at < text.size()) {
    const bool is_word = is_upper(text[at]) || is_lower(text[at]);
    if (!is_word && !is_digit(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    while (end < text.size() &&
           (is_word ? is_lower(text[end]) || (is_upper(text[end]) && !is_lower(text[end - 1]))
                    : is_digit(text[end]))) {
      ++end;
    }
    if (end - at > 1 || !is_word) {
      const std::string_view token = text.substr(at, end - at);
      if (!take(is_word ? stem_of(token) : mix(0x5f, hash_text(token)), at)) {
        return;
      }
    }
    at = end;
  }
}

/// What follows in a count: the same text with its last number one higher, as wide as it was.
std::optional<std::string> next_text(const std::string& text) {
  std::size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) {
    --end;
  }
  if (end == 0 || text.size() - end > 4) {
    return std::nullopt;
  }
  std::string next = text;
  for (std::size_t at = end; at > 0 && is_digit(next[at - 1]); --at) {
    if (next[at - 1] != '9') {
      ++next[at - 1];
      return next;
    }
    next[at - 1] = '0';
  }
  return std::nullopt;  // All nines: the next one is wider.
}

bool find_path(const json::Value& at, const json::Value* value, std::string& path) {
  if (&at == value) {
    return true;
  }
  const std::size_t size = path.size();
  if (const json::Array* array = at.array()) {
    path += "[*]";
    for (const json::Value& element : *array) {
      if (find_path(element, value, path)) {
        return true;
      }
    }
  } else if (const json::Object* object = at.object()) {
    for (const json::Member& member : *object) {
      if (!path.empty()) {
        path += '.';
      }
      path += member.name;
      if (find_path(member.value, value, path)) {
        return true;
      }
      path.resize(size);
    }
  }
  path.resize(size);
  return false;
}

}  // namespace

std::string path_of(const json::Value& document, const json::Value* value) {
  std::string path;
  find_path(document, value, path);
  return path;
}

Key step_of_name(std::string_view name, Key hash) {
  return has_digit(name) ? any_name : hash;
}

Key place_of_parameter(Key task, Key step_of_name) {
  return mix(task, static_cast<Key>(Side::input), step_of_name);
}

std::uint32_t SessionMemory::Index::get(Key key) const {
  if (slots_.empty()) {
    return 0;
  }
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = key & mask;; at = (at + 1) & mask) {
    if (slots_[at].first == key) {
      return slots_[at].second;
    }
    if (slots_[at].first == 0) {
      return 0;
    }
  }
}

std::uint32_t SessionMemory::Index::set(Key key, std::uint32_t number) {
  if ((used_ + 1) * 2 > slots_.size()) {
    grow();
  }
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = key & mask;; at = (at + 1) & mask) {
    if (slots_[at].first == key) {
      return std::exchange(slots_[at].second, number);
    }
    if (slots_[at].first == 0) {
      slots_[at] = {key, number};
      ++used_;
      return 0;
    }
  }
}

void SessionMemory::Index::grow() {
  std::vector<std::pair<Key, std::uint32_t>> old(std::max(slots_min, slots_.size() * 2));
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const auto& slot : old) {
    if (slot.first == 0) {
      continue;
    }
    std::size_t at = slot.first & mask;
    while (slots_[at].first != 0) {
      at = (at + 1) & mask;
    }
    slots_[at] = slot;
  }
}

void SessionMemory::set(Key key, std::uint32_t number) {
  const std::uint32_t before = index_.set(key == 0 ? 1 : key, number);
  if (marks_ > 0) {
    changes_.emplace_back(key, before);
  }
}

SessionMemory::Mark SessionMemory::mark() {
  ++marks_;
  return {steps_.size(), values_.size(), text_values_.size(), changes_.size(),
          bytes_,        names_.size(),  has_fresh_words_,    read_to_};
}

void SessionMemory::count_step(Key task) {
  const auto known = std::find_if(calls_.begin(), calls_.end(),
                                  [task](const auto& each) { return each.first == task; });
  if (known != calls_.end()) {
    ++known->second;
    return;
  }
  calls_.emplace_back(task, 1);
  task_set_ += task;
}

/// @pre count_step(task) was called more often.
void SessionMemory::forget_step(Key task) {
  const auto known = std::find_if(calls_.begin(), calls_.end(),
                                  [task](const auto& each) { return each.first == task; });
  FORERUN_ASSERT(known != calls_.end());
  if (--known->second == 0) {
    task_set_ -= task;
    *known = calls_.back();
    calls_.pop_back();
  }
}

bool SessionMemory::was_called(Key task) const {
  return std::any_of(calls_.begin(), calls_.end(),
                     [task](const auto& each) { return each.first == task; });
}

void SessionMemory::rollback(Mark mark) {
  FORERUN_ASSERT(marks_ > 0);
  while (changes_.size() > mark.changes) {
    index_.set(changes_.back().first, changes_.back().second);
    changes_.pop_back();
  }
  for (; steps_.size() > mark.steps; steps_.pop_back()) {
    forget_step(steps_.back().task);
  }
  values_.resize(mark.values);
  text_values_.resize(mark.owned);
  names_.resize(mark.names);
  corrected_.clear();
  bytes_ = mark.bytes;
  has_fresh_words_ = mark.has_fresh_words;
  read_to_ = mark.read_to;
  --marks_;
}

void SessionMemory::remember(Key hash, Key place, Key name, const json::Value* json, Side side,
                             bool is_after_word) {
  SeenValue value;
  value.hash = hash;
  value.place = place;
  value.name = name;
  value.json = json;
  value.side = side;
  value.is_after_word = is_after_word;
  value.text_at = side == Side::text ? text_at_ : 0;
  value.document =
      side == Side::text ? text_bit | texts_ : static_cast<std::uint32_t>(steps_.size());
  link(value);
}

/// Takes a value in, as the latest one at its place and of its equals.
void SessionMemory::link(SeenValue value) {
  const auto self = static_cast<std::uint32_t>(values_.size());
  const Key place = value.place;
  const Key hash = value.hash;
  const Key equals = mix(hash, value.is_part ? equal_part : 4);
  value.head = self;
  if (const std::uint32_t before = latest_at(place); before != 0) {
    if (values_[before].document == value.document) {
      // Only values of the document being read are changed: taking it back removes them too.
      values_[before].next = self;
      value.head = values_[before].head;
      value.older = values_[before].older;
    } else {
      value.older = before;
    }
  } else {
    set(mix(place, 2), self);
  }
  value.same_value = index_.get(equals);
  if (value.look == 0) {
    value.look = value.same_value != 0 ? values_[value.same_value].look : look_of(*value.json);
  }
  values_.push_back(value);
  set(mix(place, 1), self);
  set(equals, self);
  if (value.name != 0) {
    set(mix(value.name, 3), self);
  }
  if (value.side == Side::text) {
    const std::uint32_t before = in_text(hash);
    if (before == 0 || values_[before].document != value.document) {
      set(mix(hash, 8), self);
    }
  }
}

Key SessionMemory::walk_array(const json::Array& array, Key place, Key name, bool in_array,
                              std::size_t depth, Side side, std::size_t& left) {
  Key hash = hash_array_start();
  std::size_t column = 0;
  for (const json::Value& element : array) {
    // An array in an array is a row: its columns are places of their own.
    const Key step = in_array && column < columns_max ? mix(nth_element, column) : any_element;
    hash = mix(hash, walk(element, mix(place, step), name, true, depth + 1, side, left));
    ++column;
  }
  return hash;
}

Key SessionMemory::walk_object(const json::Object& object, Key place, std::size_t depth, Side side,
                               std::size_t& left) {
  Key hash = hash_object_start();
  for (const json::Member& member : object) {
    const Key name = hash_text(member.name);
    const Key inner = mix(place, step_of_name(member.name, name));
    hash = mix(hash, name, walk(member.value, inner, name, false, depth + 1, side, left));
    if (side == Side::output && has_digit(member.name) && left > 0) {
      --left;
      text_values_.emplace_back(member.name);
      remember(hash_string(member.name), mix(place, key_of_map), 0, &text_values_.back(), side);
    }
  }
  return hash;
}

Key SessionMemory::walk(const json::Value& value, Key place, Key name, bool in_array,
                        std::size_t depth, Side side, std::size_t& left) {
  const bool is_container = value.array() != nullptr || value.object() != nullptr;
  if (depth > walk_depth_max) {
    return hash_value(value);
  }
  const std::size_t first = values_.size();
  Key hash = 0;
  if (const json::Array* array = value.array()) {
    hash = walk_array(*array, place, name, in_array, depth, side, left);
  } else if (const json::Object* object = value.object()) {
    hash = walk_object(*object, place, depth, side, left);
  } else {
    hash = hash_value(value);
  }
  // Null, true and false say nothing about where they come from. The whole input is no value of an
  // argument.
  const bool is_telling = is_container || value.number() != nullptr || value.string() != nullptr;
  if (left > 0 && is_telling && !(side == Side::input && depth == 0)) {
    --left;
    const auto self = static_cast<std::uint32_t>(values_.size());
    remember(hash, place, name, &value, side);
    for (std::size_t inner = first; inner < self; ++inner) {
      values_[inner].parent = values_[inner].parent == 0 ? self : values_[inner].parent;
    }
    if (const std::string* text = value.string(); text != nullptr && side == Side::output) {
      learn_name(*text);
      if (limits_.parts && may_have_parts(*text)) {
        texts_to_read_.push_back(self);
      }
    }
  }
  return hash;
}

void SessionMemory::learn_name(std::string_view text) {
  if (text.size() < name_bytes_min || text.size() > name_bytes_max ||
      names_.size() >= limits_.names) {
    return;
  }
  bool is_name = false;
  each_name(text,
            [&](std::string_view word, std::size_t) { is_name = word.size() == text.size(); });
  const Key key = mix(hash_text(text), name_of_output);
  if (is_name && index_.get(key) == 0) {
    names_.push_back({text, pairs_of(text)});
    set(key, static_cast<std::uint32_t>(names_.size()));
  }
}

const std::vector<SessionMemory::Corrected>& SessionMemory::corrected(std::uint32_t index) const {
  const auto [at, is_new] = corrected_.try_emplace(index);
  if (is_new) {
    at->second = make_corrected(values_[index]);
  }
  return at->second;
}

std::vector<SessionMemory::Corrected> SessionMemory::make_corrected(const SeenValue& value) const {
  std::vector<Corrected> made;
  const std::string* text = value.json->string();
  if (text == nullptr || text->size() > corrected_bytes_max || names_.empty() ||
      value.side == Side::text) {
    return made;
  }
  std::vector<std::string_view> sentences;
  for (std::size_t i = steps_.size(); i >= value.document && sentences.size() < sentences_max;
       --i) {
    const std::optional<Output>& output = steps_[i - 1].output;
    const std::string* sentence = output ? output->value().string() : nullptr;
    if (sentence != nullptr && sentence->find(' ') != std::string::npos) {
      sentences.push_back(std::string_view(*sentence).substr(0, sentence_bytes_max));
    }
  }
  struct Word {
    std::string_view text;
    std::size_t at = 0;
    bool is_known = false, is_blamed = false;
    std::array<std::size_t, 2> best{SIZE_MAX, SIZE_MAX};
    std::array<double, 2> likeness{};
  };
  std::vector<Word> words;
  each_name(*text, [&](std::string_view text_of_word, std::size_t at) {
    const bool is_fixed = text_of_word.size() < corrected_word_bytes_min ||
                          std::none_of(text_of_word.begin(), text_of_word.end(), is_lower);
    if (is_fixed || words.size() >= corrected_words_max) {
      return;
    }
    Word word;
    word.text = text_of_word;
    word.at = at;
    word.is_known = index_.get(mix(hash_text(text_of_word), name_of_output)) != 0;
    for (const std::string_view sentence : sentences) {
      each_name(sentence, [&](std::string_view named, std::size_t) {
        word.is_blamed = word.is_blamed || named == text_of_word;
      });
    }
    if (!word.is_known || word.is_blamed) {
      const WordPairs pairs = pairs_of(text_of_word);
      const std::size_t first = names_.size() - std::min(names_.size(), names_compared_max);
      for (std::size_t i = names_.size(); i > first; --i) {
        if (names_[i - 1].word == text_of_word) {
          continue;
        }
        const double alike = likeness(pairs, names_[i - 1].pairs);
        if (alike > word.likeness[0]) {
          word.best = {i - 1, word.best[0]};
          word.likeness = {alike, word.likeness[0]};
        } else if (alike > word.likeness[1]) {
          word.best[1] = i - 1;
          word.likeness[1] = alike;
        }
      }
    }
    words.push_back(word);
  });
  for (const Correction by : {Correction::all, Correction::blamed, Correction::second}) {
    const std::size_t rank = by == Correction::second ? 1 : 0;
    std::string corrected;
    std::size_t copied = 0;
    for (const Word& word : words) {
      const bool changes = by == Correction::all
                               ? !word.is_known && word.likeness[0] >= alike_min
                               : word.is_blamed && word.likeness[rank] >= alike_blamed_min;
      if (changes) {
        corrected.append(*text, copied, word.at - copied);
        corrected.append(names_[word.best[rank]].word);
        copied = word.at + word.text.size();
      }
    }
    if (copied == 0) {
      continue;
    }
    corrected.append(*text, copied);
    const Key hash = hash_string(corrected);
    if (std::none_of(made.begin(), made.end(),
                     [&](const Corrected& each) { return each.hash == hash; })) {
      Corrected& each = made.emplace_back();
      each.hash = hash;
      each.by = by;
      each.text = std::move(corrected);
    }
  }
  return made;
}

std::size_t SessionMemory::bytes() const {
  return bytes_ + text_bytes_held_ + steps_.size() * (sizeof(SeenStep) + bytes_per_step) +
         values_.size() * sizeof(SeenValue) +
         (index_.slots() + text_index_.slots()) * sizeof(std::pair<Key, std::uint32_t>) +
         asked_.size() * sizeof(Key) + tokens_.size() * sizeof(Token) +
         (all_words_.size() + all_stems_.size() + last_words_.size() + last_stems_.size()) *
             sizeof(Key) +
         text_values_.size() * sizeof(json::Value) + names_.size() * sizeof(Name);
}

/// A call, or an argument, was there. It is known longer than the step that had it.
void SessionMemory::note_asked(Key key) {
  set(key, 1);
  if (marks_ > 0) {
    return;
  }
  const std::size_t asked_max = std::max<std::size_t>(2, asked_per_step * limits_.steps);
  if (asked_.size() >= asked_max) {
    asked_.erase(asked_.begin(), asked_.begin() + static_cast<std::ptrdiff_t>(asked_max / 2));
  }
  asked_.push_back(key);
}

/// What is to be let go of, so that there is room for as much again.
SessionMemory::Dropped SessionMemory::middle() const {
  if (steps_.size() <= latest_steps_min) {
    return {};
  }
  std::vector<std::size_t> values(steps_.size());
  for (const SeenValue& value : values_) {
    if (value.document > 0 && value.side != Side::text) {
      ++values[value.document - 1];
    }
  }
  struct Room {
    std::size_t steps, bytes, values;
    bool take(std::size_t taken_bytes, std::size_t taken_values) {
      const bool fits = steps > 0 && bytes >= taken_bytes && values >= taken_values;
      steps -= fits ? 1 : 0;
      bytes -= fits ? taken_bytes : 0;
      values -= fits ? taken_values : 0;
      return fits;
    }
  };
  Room ahead{std::min(first_steps_max, limits_.steps / kept_ahead_part),
             limits_.bytes / kept_ahead_part, limits_.values / kept_ahead_part};
  std::size_t first = 0;
  while (first < steps_.size() && ahead.take(steps_[first].bytes, values[first])) {
    ++first;
  }
  Room behind{std::max(limits_.steps / kept_behind_part, latest_steps_min),
              limits_.bytes / kept_behind_part, limits_.values / kept_behind_part};
  std::size_t last = steps_.size();
  while (last > first && (behind.take(steps_[last - 1].bytes, values[last - 1]) ||
                          steps_.size() - last < latest_steps_min)) {
    --last;
  }
  return {first, last - first};
}

/// Makes all that finds values anew, for those of the steps that stay and of the texts.
void SessionMemory::forget(Dropped dropped) {
  const auto [first, count] = dropped;
  if (count == 0) {
    return;
  }
  const std::vector<SeenValue> old = std::exchange(values_, std::vector<SeenValue>(1));
  const std::deque<json::Value> owned = std::exchange(text_values_, {});
  std::vector<const json::Value*> own;
  for (const json::Value& each : owned) {
    own.push_back(&each);
  }
  std::sort(own.begin(), own.end());
  index_ = {};
  names_.clear();
  for (const Key key : asked_) {
    set(key, 1);
  }
  std::vector<std::uint32_t> moved(old.size());
  std::uint32_t document = 0;
  for (std::size_t i = 1; i < old.size(); ++i) {
    SeenValue value = old[i];
    if (value.side != Side::text && value.document > first) {
      if (value.document <= first + count) {
        continue;
      }
      value.document -= static_cast<std::uint32_t>(count);
    }
    const bool is_own = std::binary_search(own.begin(), own.end(), value.json);
    if (is_own) {
      text_values_.push_back(*value.json);
      value.json = &text_values_.back();
    }
    value.next = 0;
    value.older = 0;
    value.parent = 0;
    moved[i] = static_cast<std::uint32_t>(values_.size());
    if (value.side == Side::output && value.document != document) {
      document = value.document;
      set(mix(document, 9), moved[i]);
    }
    link(value);
    if (const std::string* text = value.json->string();
        text != nullptr && value.side == Side::output && !is_own && !value.is_part) {
      learn_name(*text);
    }
  }
  for (std::size_t i = 1; i < old.size(); ++i) {
    if (moved[i] != 0) {
      values_[moved[i]].parent = moved[old[i].parent];
    }
  }
  const auto from = steps_.begin() + static_cast<std::ptrdiff_t>(first);
  const auto to = from + static_cast<std::ptrdiff_t>(count);
  for (auto step = from; step != to; ++step) {
    bytes_ -= step->bytes;
    forget_step(step->task);
  }
  steps_.erase(from, to);
}

SessionMemory::Dropped SessionMemory::add_call(SeenStep step) {
  corrected_.clear();
  const bool is_full =
      steps_.size() >= limits_.steps || bytes_ > limits_.bytes || values_.size() > limits_.values;
  const Dropped dropped = marks_ == 0 && is_full ? middle() : Dropped{};
  forget(dropped);
  has_fresh_words_ = false;
  const Call call = step.call;
  const bool is_large = call.canonical().size() > limits_.document_bytes;
  if (is_large) {
    step.call = Call::make(call.task(), {});
  }
  step.bytes = step.call.canonical().size() + json::heap_bytes(step.call.input());
  bytes_ += step.bytes;
  count_step(step.task);
  steps_.push_back(std::move(step));
  const SeenStep& added = steps_.back();
  std::size_t left = is_large ? 0 : limits_.values_per_document;
  note_asked(mix(added.task, added.input_hash, 6));
  const Key place = mix(added.task, static_cast<Key>(Side::input));
  std::size_t arguments = 0;
  for (const json::Member& member : call.input()) {
    if (++arguments > limits_.values_per_document) {
      break;
    }
    const Key name = hash_text(member.name);
    const Key at = mix(place, step_of_name(member.name, name));
    const Key hash = walk(member.value, at, name, false, 1, Side::input, left);
    note_asked(mix(used_key(added.task, name, hash), 5));
    read_on(hash);
    if (limits_.counts) {
      remember_next(member.value, mix(at, one_more));
    }
  }
  return dropped;
}

/// A call took this value: what is read next stands behind it.
void SessionMemory::read_on(Key hash) {
  if (const std::uint32_t at = has_text() ? in_text(hash) : 0; at != 0) {
    read_to_ = std::max(read_to_, values_[at].text_at);
  }
}

/// What an argument is next where it counts.
void SessionMemory::remember_next(const json::Value& value, Key place) {
  if (const double* number = value.number()) {
    text_values_.emplace_back(*number + 1);
    remember(hash_number(*number + 1), place, 0, &text_values_.back(), Side::input);
  } else if (const std::string* text = value.string(); text && text->size() <= word_bytes_max) {
    if (auto next = next_text(*text)) {
      const Key hash = hash_string(*next);
      text_values_.emplace_back(std::move(*next));
      remember(hash, place, 0, &text_values_.back(), Side::input);
    }
  }
}

void SessionMemory::read_tokens(std::string_view text) {
  each_token(text, [&](Key stem, std::size_t at) {
    if (tokens_.size() >= limits_.tokens) {
      return false;
    }
    tokens_.push_back({text_bytes_ + static_cast<std::uint32_t>(at), stem});
    text_index_.set(mix(stem, text_token), 1);
    return true;
  });
}

std::uint32_t SessionMemory::place_in_text(std::string_view part) const {
  return text_bytes_ + static_cast<std::uint32_t>(part.data() - text_begin_) + 1;
}

const std::vector<Key>& SessionMemory::stems_ahead() const {
  if (!has_ahead_ || ahead_of_ != read_to_) {
    has_ahead_ = true;
    ahead_of_ = read_to_;
    ahead_.clear();
    auto next =
        std::lower_bound(tokens_.begin(), tokens_.end(), read_to_,
                         [](const Token& token, std::uint32_t at) { return token.at < at; });
    for (std::size_t i = 0; i < tokens_ahead && next != tokens_.end(); ++i, ++next) {
      ahead_.push_back(next->stem);
    }
    std::sort(ahead_.begin(), ahead_.end());
    ahead_.erase(std::unique(ahead_.begin(), ahead_.end()), ahead_.end());
  }
  return ahead_;
}

namespace {

void tokens_of(const json::Value& value, std::size_t limit, std::vector<Key>& stems) {
  if (const std::string* text = value.string()) {
    each_token(*text, [&](Key stem, std::size_t) {
      stems.push_back(stem);
      return stems.size() < limit;
    });
  } else if (const double* number = value.number()) {
    if (*number >= 0 && *number < 1e9 &&
        *number == static_cast<double>(static_cast<long>(*number))) {
      stems.push_back(mix(0x5f, hash_text(std::to_string(static_cast<long>(*number)))));
    }
  } else if (const json::Array* array = value.array()) {
    for (const json::Value& element : *array) {
      if (stems.size() >= limit) {
        return;
      }
      tokens_of(element, limit, stems);
    }
  } else if (const json::Object* object = value.object()) {
    for (const json::Member& member : *object) {
      if (stems.size() >= limit) {
        return;
      }
      tokens_of(member.value, limit, stems);
    }
  }
}

}  // namespace

SessionMemory::Mention SessionMemory::mention(Key hash, const json::Value& value) const {
  if (tokens_.empty()) {
    return {};
  }
  if (words_of_.empty()) {
    words_of_.resize(words_of_slots);
  }
  Words& words = words_of_[hash % words_of_slots];
  if (words.hash != hash) {
    if (word_stems_.size() > words_of_slots * 16) {
      word_stems_.clear();
      words_of_.assign(words_of_slots, Words{});
    }
    const std::size_t from = word_stems_.size();
    tokens_of(value, from + tokens_of_value_max, word_stems_);
    words = {};
    words.hash = hash;
    words.from = static_cast<std::uint32_t>(from);
    words.count = static_cast<std::uint8_t>(word_stems_.size() - from);
  }
  if (words.count == 0) {
    return {};
  }
  if (!words.is_counted || words.read_to != read_to_) {
    const std::vector<Key>& ahead = stems_ahead();
    words.is_counted = true;
    words.read_to = read_to_;
    words.anywhere = 0;
    words.ahead = 0;
    for (std::uint32_t i = 0; i < words.count; ++i) {
      const Key stem = word_stems_[words.from + i];
      if (text_index_.get(mix(stem, text_token)) != 0) {
        ++words.anywhere;
        if (std::binary_search(ahead.begin(), ahead.end(), stem)) {
          ++words.ahead;
        }
      }
    }
  }
  const auto count = static_cast<double>(words.count);
  return {words.anywhere / count, words.ahead / count};
}

void SessionMemory::add_output(const std::optional<Output>& output, Key output_labels) {
  corrected_.clear();
  FORERUN_ASSERT(!steps_.empty());
  SeenStep& step = steps_.back();
  step.output_labels = output_labels;
  if (!output || output->canonical().size() > limits_.document_bytes) {
    return;
  }
  step.output = output;
  step.parts.clear();
  const std::size_t bytes = output->canonical().size() + json::heap_bytes(output->value());
  step.bytes += bytes;
  bytes_ += bytes;
  std::size_t left = limits_.values_per_document;
  set(mix(steps_.size(), 9), static_cast<std::uint32_t>(values_.size()));
  walk(step.output->value(), mix(step.task, static_cast<Key>(Side::output)), 0, false, 0,
       Side::output, left);
  read_texts(left);
}

/// What the texts of the latest output hold: documents, which may bring more texts, and parts.
void SessionMemory::read_texts(std::size_t left) {
  std::size_t bytes_left = limits_.part_bytes;
  std::size_t parts_left = limits_.parts_per_document;
  std::size_t documents_left = documents_in_texts_max;
  for (std::size_t i = 0; i < texts_to_read_.size() && bytes_left > 0 && left > 0; ++i) {
    const std::uint32_t at = texts_to_read_[i];
    const std::string& text = *values_[at].json->string();
    if (documents_left > 0 && read_document(at, bytes_left, left)) {
      --documents_left;
      bytes_left -= std::min(bytes_left, text.size());
    }
    if (left > 0 && parts_left > 0) {
      const std::size_t may = std::min(left, parts_left);
      const std::size_t count = read_parts(at, may);
      parts_left -= count;
      left -= count;
      bytes_left -= std::min(bytes_left, std::min(text.size(), part_text_bytes_max));
    }
  }
  texts_to_read_.clear();
}

/// A value that no output holds, but its text says.
void SessionMemory::own(json::Value value) {
  SeenStep& step = steps_.back();
  step.parts.push_front(std::move(value));
  const std::size_t bytes =
      sizeof(void*) + sizeof(json::Value) + json::heap_bytes(step.parts.front());
  step.bytes += bytes;
  bytes_ += bytes;
}

/// A document in a text is walked like what holds the text. Returns whether there was one.
bool SessionMemory::read_document(std::uint32_t text, std::size_t bytes_max, std::size_t& left) {
  auto document = document_in(*values_[text].json->string(), bytes_max);
  if (!document) {
    return false;
  }
  own(std::move(*document));
  const Key place = mix(values_[text].place, document_in_text);
  walk(steps_.back().parts.front(), place, 0, false, 1, Side::output, left);
  values_.back().parent = values_.back().parent == 0 ? text : values_.back().parent;
  return true;
}

/// Returns how many values it brought. @pre count_max > 0
std::size_t SessionMemory::read_parts(std::uint32_t text, std::size_t count_max) {
  const std::string_view whole = *values_[text].json->string();
  const Key place = values_[text].place;
  std::size_t count = 0;
  TextPart last;  // What was told of last, and is kept.
  Key hash = 0;
  each_part(whole, [&](const TextPart& part) {
    const bool is_same = part.text.data() == last.text.data() &&
                         part.text.size() == last.text.size() && part.is_number == last.is_number;
    if (!is_same) {
      const double number = part.is_number ? number_in_text(part.text).value_or(0) : 0;
      hash = part.is_number ? hash_number(number) : hash_string(part.text);
      // What the output shows as a value of its own is taken from there.
      const std::uint32_t known = latest_equal(hash);
      if (known != 0 && values_[known].side == Side::output &&
          values_[known].document == steps_.size()) {
        return true;
      }
      own(part.is_number ? json::Value(number) : json::Value(part.text));
      last = part;
    }
    SeenValue value;
    value.hash = hash;
    value.place = mix(place, key_of(part));
    value.json = &steps_.back().parts.front();
    value.side = Side::output;
    value.document = static_cast<std::uint32_t>(steps_.size());
    value.is_part = true;
    value.is_by_look = part.by == PartBy::look || part.by == PartBy::quoted;
    value.parent = text;
    link(value);
    ++parts_;
    return ++count < count_max;
  });
  return count;
}

std::string SessionMemory::way_to(const SeenValue& part) const {
  const SeenValue& text = values_[part.parent];
  std::string way;
  each_part(*text.json->string(), [&](const TextPart& each) {
    if (mix(text.place, key_of(each)) == part.place) {
      way = text_of(each);
    }
    return way.empty();
  });
  return way;
}

void SessionMemory::remember_text(std::string_view text, Key place, bool is_after_word) {
  if (text_values_.size() >= limits_.values_of_text || text.size() > word_bytes_max) {
    return;
  }
  text_values_.emplace_back(text);
  text_at_ = place_in_text(text);
  remember(hash_string(text), place, 0, &text_values_.back(), Side::text, is_after_word);
}

void SessionMemory::remember_word(std::string_view word, std::string_view before) {
  if (text_values_.size() >= limits_.values_of_text) {
    return;
  }
  const std::string shape = shape_of(word);
  if (shape != "a") {
    remember_text(word, mix(word_shape, hash_text(shape)));
  }
  if (!before.empty()) {
    remember_text(word, mix(after_word, hash_text(lowered(before))), true);
  }
  if (const auto number = number_in_text(word)) {
    text_at_ = place_in_text(word);
    text_values_.emplace_back(*number);
    remember(hash_number(*number), number_shape, 0, &text_values_.back(), Side::text);
    if (!before.empty()) {
      remember(hash_number(*number), mix(after_word, number_shape, hash_text(lowered(before))), 0,
               &text_values_.back(), Side::text, true);
    }
  }
}

/// A question often is an argument as it was asked.
void SessionMemory::remember_whole(std::string_view text) {
  text = without_edge(text, " \n\t\r");
  if (text.size() > whole_text_bytes_max || std::none_of(text.begin(), text.end(), is_space) ||
      text_values_.size() >= limits_.values_of_text) {
    return;
  }
  text_values_.emplace_back(text);
  text_at_ = place_in_text(text);
  remember(hash_string(text), mix(phrase_shape, 4), 0, &text_values_.back(), Side::text);
}

void SessionMemory::remember_phrases(std::string_view text) {
  // Quoted phrases, and runs of words that begin with a capital.
  for (const char quote : {'\'', '"', '`'}) {
    std::size_t from = 0;
    while ((from = text.find(quote, from)) != std::string_view::npos) {
      const bool opens = from == 0 || is_space(text[from - 1]) || text[from - 1] == '(';
      const std::size_t end = opens ? text.find(quote, from + 1) : std::string_view::npos;
      if (end == std::string_view::npos) {
        ++from;
        continue;
      }
      const std::string_view phrase = text.substr(from + 1, end - from - 1);
      if (phrase.find(' ') != std::string_view::npos) {
        remember_text(phrase, mix(phrase_shape, 1));
      } else if (!phrase.empty()) {
        remember_text(phrase, mix(phrase_shape, 2));
      }
      from = end + 1;
    }
  }
}

void SessionMemory::insert_sorted(std::vector<Key>& keys, Key key) const {
  const auto at = std::lower_bound(keys.begin(), keys.end(), key);
  if (keys.size() < limits_.words_in_all && (at == keys.end() || *at != key)) {
    keys.insert(at, key);
  }
}

std::string_view SessionMemory::spelling_of(Key word) const {
  for (const json::Value& value : text_values_) {
    const std::string* text = value.string();
    if (text != nullptr && mix(lower_word, hash_text(lowered(*text))) == word) {
      return *text;
    }
  }
  return {};
}

/// What a text writes of days and times, as calls have it: the day, and with a time near it both.
void SessionMemory::remember_moments(std::string_view text, int usual_year) {
  const WrittenMoments moments = moments_in(text);
  for (const WrittenDay& day : moments.days) {
    const int year = day.year != 0 ? day.year : usual_year;
    if (year == 0) {
      continue;
    }
    const std::string spelled = iso_day(year, day);
    if (!day.is_iso) {
      remember_moment(spelled, day.at, day.before);
    }
    if (day.time) {
      const std::string time = iso_time(*day.time) + ":00";
      remember_moment(spelled + " " + time, day.at, day.before);
      remember_moment(spelled + "T" + time, day.at, day.before);
      remember_moment(spelled + "T" + time + "Z", day.at, day.before);
    }
  }
  for (const WrittenTime& time : moments.times) {
    remember_moment(iso_time(time), time.at, {});
  }
}

void SessionMemory::remember_moment(std::string spelled, std::size_t at, std::string_view before) {
  if (text_values_.size() >= limits_.values_of_text) {
    return;
  }
  text_index_.set(mix(lower_word, hash_text(lowered(spelled)), 7), 1);
  const Key hash = hash_string(spelled);
  const Key shape = hash_text(shape_of(spelled));
  text_values_.emplace_back(std::move(spelled));
  text_at_ = text_bytes_ + static_cast<std::uint32_t>(at) + 1;
  remember(hash, mix(word_shape, shape), 0, &text_values_.back(), Side::text);
  values_.back().is_moment = true;
  if (!before.empty()) {
    remember(hash, mix(after_word, hash_text(lowered(before))), 0, &text_values_.back(), Side::text,
             true);
    values_.back().is_moment = true;
  }
}

void SessionMemory::add_text(std::string_view text, int usual_year) {
  FORERUN_ASSERT(marks_ == 0);
  corrected_.clear();
  text = text.substr(0, limits_.document_bytes);
  ++texts_;
  text_begin_ = text.data();
  has_ahead_ = false;
  words_of_.clear();
  word_stems_.clear();
  read_tokens(text);
  remember_whole(text);
  remember_phrases(text);
  if (!has_fresh_words_) {
    read_to_ = text_bytes_;
    fresh_from_ = text_bit | texts_;
    last_words_.clear();
    last_stems_.clear();
    has_fresh_words_ = true;
  }
  std::string_view before;
  std::size_t run_from = 0;
  std::size_t run_words = 0;
  std::size_t run_end = 0;
  std::size_t words = 0;
  const auto end_run = [&] {
    if (run_words > 1) {
      remember_text(trimmed(text.substr(run_from, run_end - run_from)), mix(phrase_shape, 3));
    }
    run_words = 0;
  };
  std::size_t at = 0;
  while (at < text.size() && words < words_per_text_max) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !is_space(text[end])) {
      ++end;
    }
    const std::string_view raw = text.substr(at, end - at);
    const std::string_view word = trimmed(raw);
    if (!word.empty() && word.size() <= word_bytes_max) {
      ++words;
      remember_word(word, before);
      const Key key = mix(lower_word, hash_text(lowered(word)));
      if (words_ < limits_.words) {
        ++words_;
        text_index_.set(mix(key, 7), 1);
      }
      insert_sorted(all_words_, key);
      const Key stem = stem_of(word);
      insert_sorted(all_stems_, stem);
      insert_sorted(last_stems_, stem);
      if (last_words_.size() < last_words_max &&
          std::find(last_words_.begin(), last_words_.end(), key) == last_words_.end()) {
        last_words_.push_back(key);
      }
      if (!is_upper(word.front()) || word.data() != raw.data()) {
        end_run();
      }
      if (is_upper(word.front())) {
        run_from = run_words == 0 ? at : run_from;
        ++run_words;
        run_end = end;
      }
      if (word.data() + word.size() != raw.data() + raw.size()) {
        end_run();
      }
      before = word;
    }
    at = end;
  }
  end_run();
  if (limits_.days) {
    remember_moments(text, usual_year);
  }
  text_bytes_ += static_cast<std::uint32_t>(text.size());
  if (lower_text_.size() + text.size() < lower_text_bytes_max) {
    text_bytes_held_ += bytes_per_text_byte * text.size();
    lower_text_ += lowered(text);
    lower_text_ += '\n';
  }
}

std::uint32_t SessionMemory::latest_like(const json::Value& value) const {
  if (const std::string* text = value.string()) {
    return latest_at(mix(word_shape, hash_text(shape_of(*text))));
  }
  return value.number() != nullptr ? latest_at(number_shape) : 0;
}

std::uint32_t SessionMemory::output_value(std::size_t back, std::size_t n) const {
  if (back == 0 || back > steps_.size()) {
    return 0;
  }
  const std::size_t document = steps_.size() + 1 - back;
  const std::uint32_t first = index_.get(mix(document, 9));
  const std::size_t at = first + n;
  if (first == 0 || at >= values_.size() || values_[at].side != Side::output ||
      values_[at].document != document || values_[at].is_part) {
    return 0;
  }
  return static_cast<std::uint32_t>(at);
}

bool SessionMemory::is_mentioned(const SeenValue& value) const {
  const std::string* text = value.json->string();
  if (text == nullptr || text->size() < 2 || text->size() > word_bytes_max) {
    return false;
  }
  const std::string lower = lowered(*text);
  if (text_index_.get(mix(lower_word, hash_text(lower), 7)) != 0) {
    return true;
  }
  return lower.find(' ') != std::string::npos && lower_text_.find(lower) != std::string::npos;
}

}  // namespace forerun::prediction
