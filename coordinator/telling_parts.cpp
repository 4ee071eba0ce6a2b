#include "coordinator/telling_parts.hpp"

#include <cmath>

namespace forerun::prediction {

namespace {

constexpr std::size_t text_bytes_max = 512;
constexpr std::size_t label_text_max = 40;

constexpr Key item = 0x92;
constexpr Key size_of_list = 0x93;
constexpr Key exact_size = 0x9d;
constexpr Key nth_word = 0x94;
constexpr Key last_word = 0x95;
constexpr Key before_digits = 0x96;
constexpr Key behind_word = 0x99;
constexpr Key number_range = 0x9a;
constexpr Key set_of_list = 0x9b;
constexpr Key named_item = 0x9c;

/// What a list of named values calls their names, the likeliest first.
constexpr std::array<std::string_view, 9> item_names = {
    "name", "key", "id", "field", "label", "title", "type", "property", "code"};

bool is_of_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z') || byte == '_' || byte == '-';
}

bool is_short(const json::Value& value) {
  const std::string* text = value.string();
  return text != nullptr ? text->size() <= label_text_max
                         : value.array() == nullptr && value.object() == nullptr;
}

const json::Value* listed(const json::Value& item_value, std::string_view member) {
  const json::Value* found = member.empty() ? &item_value : item_value.find(member);
  return found != nullptr && is_short(*found) ? found : nullptr;
}

/// The different scalars, ascending by their hashes.
std::vector<const json::Value*> set_of(const json::Array& array, std::string_view member) {
  std::vector<std::pair<Key, const json::Value*>> found;
  for (std::size_t i = 0; i < std::min(array.size(), telling::listed_max); ++i) {
    if (const json::Value* value = listed(array[i], member)) {
      found.emplace_back(telling::hash_scalar(*value), value);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  found.erase(std::unique(found.begin(), found.end(),
                          [](const auto& a, const auto& b) { return a.first == b.first; }),
              found.end());
  std::vector<const json::Value*> values;
  for (const auto& [hash, value] : found) {
    values.push_back(value);
  }
  return values;
}

void add_set(const json::Array& array, Key path, std::string_view member, std::size_t& left,
             std::vector<OutputPart>& parts) {
  const std::vector<const json::Value*> values = set_of(array, member);
  if (values.empty() || left == 0) {
    return;
  }
  --left;
  OutputPart part;
  part.kind = PartKind::set;
  part.path = mix(path, set_of_list, hash_text(member));
  part.base = path;
  part.is_of_list = true;
  part.value = set_of_list;
  for (const json::Value* value : values) {
    part.value = mix(part.value, telling::hash_scalar(*value));
  }
  part.list = &array;
  part.text = member;
  parts.push_back(part);
}

/// The member that names an item; none where it has no such member, or none beside it.
std::string_view name_of_items(const json::Object& first) {
  if (first.size() < 2) {
    return {};
  }
  for (const std::string_view name : item_names) {
    if (const json::Value* value = first.find(name); value != nullptr && value->string()) {
      return name;
    }
  }
  return {};
}

void add_items(const json::Array& array, Key path, std::size_t& left,
               std::vector<OutputPart>& parts) {
  const std::string_view name = name_of_items(*array.front().object());
  if (name.empty()) {
    return;
  }
  const Key first_key = telling::path_of_member(telling::path_of_item(path, 0), name);
  for (std::size_t i = 0; i < std::min(array.size(), telling::listed_max); ++i) {
    const json::Object* object = array[i].object();
    const json::Value* key = object == nullptr ? nullptr : object->find(name);
    if (key == nullptr || key->string() == nullptr || !is_short(*key)) {
      continue;
    }
    const Key of_item = mix(path, named_item, hash_text(*key->string()));
    for (std::size_t k = 0; k < std::min(object->size(), telling::listed_names_max); ++k) {
      const json::Member& member = object->begin()[k];
      if (left == 0 || member.name == name || !is_short(member.value)) {
        continue;
      }
      --left;
      OutputPart part;
      part.kind = PartKind::item;
      part.path = telling::path_of_member(of_item, member.name);
      part.base = path;
      part.is_of_list = true;
      part.value = telling::hash_scalar(member.value);
      part.scalar = &member.value;
      part.behind = first_key;
      parts.push_back(part);
    }
  }
}

}  // namespace

std::string text_of(const OutputPart& part) {
  if (part.kind == PartKind::length || part.kind == PartKind::count) {
    return "a list of " + std::to_string(part.list->size());
  }
  if (part.kind == PartKind::set) {
    std::string text;
    for (const json::Value* value : set_of(*part.list, part.text)) {
      text += (text.empty() ? "" : " and ") + json::canonical(*value);
    }
    return text;
  }
  return part.scalar != nullptr ? json::canonical(*part.scalar)
                                : json::canonical(std::string(part.text));
}

const json::Value* holder_of(const json::Value& output, const OutputPart& part) {
  const std::string* const text = output.string();
  const bool is_in_text = text != nullptr && part.scalar == nullptr && part.list == nullptr &&
                          part.text.data() >= text->data() &&
                          part.text.data() + part.text.size() <= text->data() + text->size();
  if (&output == part.scalar || is_in_text ||
      (output.array() != nullptr && output.array() == part.list)) {
    return &output;
  }
  const json::Value* found = nullptr;
  if (const json::Array* array = output.array()) {
    for (auto each = array->begin(); found == nullptr && each != array->end(); ++each) {
      found = holder_of(*each, part);
    }
  } else if (const json::Object* object = output.object()) {
    for (auto each = object->begin(); found == nullptr && each != object->end(); ++each) {
      found = holder_of(each->value, part);
    }
  }
  return found;
}

LabelWords label_words(std::string_view text, const OutputPart& whole) {
  LabelWords found;
  text = text.substr(0, text_bytes_max);
  const auto add = [&](PartKind kind, Key key, std::string_view part, Key behind = 0) {
    if (part.empty() || part.size() > label_text_max) {
      return;
    }
    OutputPart& made = found.parts[found.count++];
    made.kind = kind;
    made.is_of_list = whole.is_of_list;
    made.path = mix(whole.path, key);
    made.base = whole.path;
    made.value = hash_text(part);
    made.text = part;
    made.behind = behind;
  };
  std::array<Key, text_words_max> words{};
  std::size_t count = 0;
  std::string_view word;
  for (std::size_t at = 0; at < text.size() && count < text_words_max;) {
    if (!is_of_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    while (end < text.size() && is_of_word(text[end])) {
      ++end;
    }
    word = text.substr(at, end - at);
    at = end;
    if (count < words_by_number) {
      add(PartKind::word, mix(nth_word, count), word);
    }
    if (count > 0) {
      const Key before = words[count - 1];
      const auto known = words.begin() + static_cast<std::ptrdiff_t>(count - 1);
      if (std::find(words.begin(), known, before) == known) {
        add(PartKind::after_word, mix(behind_word, before), word, before);
      }
    }
    words[count++] = hash_text(word);
  }
  if (count > 1) {
    add(PartKind::last_word, last_word, word);
  }
  if (const auto digit = text.find_first_of("0123456789"); digit != std::string_view::npos) {
    add(PartKind::before_digits, before_digits, text.substr(0, digit));
  }
  return found;
}

void FrameWords::learn(const LabelWords& text) {
  for (std::size_t i = 0; i < text.count; ++i) {
    if (text.parts[i].kind != PartKind::after_word) {
      continue;
    }
    const auto word = static_cast<std::uint32_t>(text.parts[i].behind);
    const auto known = std::find_if(words_.begin(), words_.end(),
                                    [word](const Word& each) { return each.word == word; });
    if (known != words_.end()) {
      ++known->count;
    } else if (words_.size() < words_max) {
      words_.push_back({word, 1, false});
    }
  }
  if (++texts_ < window) {
    return;
  }
  texts_ = 0;
  std::erase_if(words_, [](const Word& each) { return each.count < window / 2; });
  for (Word& each : words_) {
    each.is_frame = true;
    each.count = 0;
  }
}

bool FrameWords::has(Key word) const {
  return std::any_of(words_.begin(), words_.end(), [word](const Word& each) {
    return each.is_frame && each.word == static_cast<std::uint32_t>(word);
  });
}

double roundest_between(double low, double high) {
  constexpr int exponent_max = 18;
  constexpr int exponent_min = -9;
  double power = 1;
  for (int i = 0; i < exponent_max; ++i) {
    power *= 10;
  }
  if (!(high < power) || !(low > -power)) {
    return high;
  }
  // Powers of ten up to 10^22 are exact; below one, their inverses are.
  double inverse = 1;
  for (int exponent = exponent_max; exponent >= exponent_min; --exponent) {
    for (const double part : {1.0, 0.5, 0.25}) {
      const double number = exponent >= 0 ? std::floor(high / (part * power)) * (part * power)
                                          : std::floor(high * inverse / part) * part / inverse;
      if (number > low && number <= high) {
        return number;
      }
    }
    if (exponent > 0) {
      power /= 10;
    } else {
      inverse *= 10;
    }
  }
  return high;
}

Key path_of_range(Key path, NumberRanges::Fineness fineness) {
  return mix(path, number_range, static_cast<Key>(fineness));
}

void NumberRanges::learn(double number, Fineness fineness) {
  if (is_cut_) {
    return;
  }
  numbers_.push_back(number);
  if (numbers_.size() < sample) {
    return;
  }
  std::sort(numbers_.begin(), numbers_.end());
  std::vector<double> cuts;
  const std::size_t step = sample / (static_cast<std::size_t>(fineness) - 1);
  for (std::size_t low = 0; low + 1 < sample;) {
    const std::size_t high = std::min(low == 0 ? step / 2 : low + step, sample - 1);
    if (numbers_[low] < numbers_[high]) {
      cuts.push_back(roundest_between(numbers_[low], numbers_[high]));
    }
    low = high;
  }
  numbers_ = std::move(cuts);
  is_cut_ = true;
}

std::size_t NumberRanges::range_of(double number) const {
  return static_cast<std::size_t>(std::upper_bound(numbers_.begin(), numbers_.end(), number) -
                                  numbers_.begin());
}

std::string NumberRanges::text_of(double number) const {
  const std::size_t range = range_of(number);
  std::string text;
  if (range > 0) {
    text += "from ";
    json::append_number(text, numbers_[range - 1]);
  }
  if (range < numbers_.size()) {
    text += text.empty() ? "below " : " to below ";
    json::append_number(text, numbers_[range]);
  }
  return text;
}

namespace telling {

Key hash_scalar(const json::Value& value) {
  const std::string* text = value.string();
  return text != nullptr ? mix(root, hash_text(std::string_view(*text).substr(0, text_bytes_max)))
                         : hash_value(value);
}

Key path_of_member(Key path, std::string_view name) {
  return mix(path, hash_text(name));
}

Key path_of_item(Key path, std::size_t number) {
  return mix(path, item, number);
}

OutputPart length_of(const json::Array& array, Key path) {
  OutputPart part;
  part.kind = PartKind::length;
  part.path = part.base = mix(path, size_of_list);
  part.value = mix(size_of_list, std::min(array.size(), items_max));
  part.list = &array;
  return part;
}

void add_list_parts(const json::Array& array, Key path, std::size_t& left,
                    std::vector<OutputPart>& parts) {
  if (left == 0) {
    return;
  }
  --left;
  OutputPart part;
  part.kind = PartKind::count;
  part.is_of_list = true;
  part.path = mix(path, exact_size);
  part.base = path;
  part.value = mix(exact_size, array.size());
  part.list = &array;
  parts.push_back(part);
  const json::Object* first = array.front().object();
  if (first == nullptr) {
    add_set(array, path, {}, left, parts);
    return;
  }
  if (array.size() > 1) {
    add_items(array, path, left, parts);
  }
  for (std::size_t i = 0; i < std::min(first->size(), listed_names_max); ++i) {
    add_set(array, path, first->begin()[i].name, left, parts);
  }
}

}  // namespace telling

}  // namespace forerun::prediction
