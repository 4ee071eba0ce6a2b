#include "backtest/recorded_values.hpp"

#include <algorithm>

#include "base/json.hpp"

namespace forerun {
namespace {

using prediction::hash_text;
using prediction::Key;
using prediction::mix;

constexpr std::size_t telling_bytes = 3;

bool is_letter(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= 'a' && byte <= 'z') || static_cast<unsigned char>(byte) >= 0x80;
}

/// Where the first word at or behind `from` begins, and where it ends; both the text's size if
/// there is none.
struct Word {
  std::size_t begin, end;
};
Word word_from(std::string_view text, std::size_t from) {
  while (from < text.size() && !is_letter(text[from])) {
    ++from;
  }
  std::size_t end = from;
  while (end < text.size() && is_letter(text[end])) {
    ++end;
  }
  return {from, end};
}

/// What is one less in the count that the text is or ends in; empty where there is none.
std::string one_before(std::string text) {
  const auto is_digit = [](char byte) { return byte >= '0' && byte <= '9'; };
  std::size_t first = text.size();
  while (first > 0 && is_digit(text[first - 1])) {
    --first;
  }
  std::size_t at = text.size();
  while (at > first && text[at - 1] == '0') {
    text[--at] = '9';
  }
  if (at == first) {
    return {};
  }
  --text[at - 1];
  if (at - 1 == first && text[first] == '0' && first + 1 < text.size()) {
    text.erase(first, 1);  // 999 comes before 1000.
  }
  return text;
}

/// The value's texts and numbers, and the names in it.
template <class Each>
void for_each_scalar(const json::Value& value, const Each& each) {
  if (const json::Array* array = value.array()) {
    for (const json::Value& element : *array) {
      for_each_scalar(element, each);
    }
  } else if (const json::Object* object = value.object()) {
    for (const json::Member& member : *object) {
      each(member.name);
      for_each_scalar(member.value, each);
    }
  } else if (const std::string* string = value.string()) {
    each(*string);
  } else if (value.number() != nullptr) {
    each(json::canonical(value));
  }
}

}  // namespace

std::vector<ArgumentValue> argument_values(const Call& call) {
  std::vector<ArgumentValue> values;
  for (const json::Member& member : call.input()) {
    const Key parameter = mix(hash_text(call.task()), hash_text(member.name));
    for_each_scalar(member.value, [&](const std::string& text) {
      if (text.size() >= telling_bytes) {
        values.push_back({mix(parameter, hash_text(text)), text});
      }
    });
  }
  return values;
}

RecordedValues::RecordedValues(const TraceSession& record) : wanted_(record.steps.size()) {
  for (std::size_t i = 0; i < record.steps.size(); ++i) {
    for (ArgumentValue& argument : argument_values(record.steps[i].call)) {
      const auto [at, is_new] = values_.try_emplace(std::move(argument.text));
      Value& value = at->second;
      if (is_new) {
        value.text = at->first;
        const Word word = word_from(value.text, 0);
        if (word.begin < word.end) {
          auto& alike = by_first_word_[std::string_view(value.text)
                                           .substr(word.begin, word.end - word.begin)];
          if (alike.size() < alike_max) {
            alike.push_back(&value);
          }
        }
      }
      wanted_[i].push_back({argument.place, &value});
    }
  }
  read(record);
}

/// Finds the values that stand in the text between the ends of words.
template <class Found>
void RecordedValues::search(std::string_view text, const Found& found) {
  for (Word word = word_from(text, 0); word.begin < word.end; word = word_from(text, word.end)) {
    const auto alike = by_first_word_.find(text.substr(word.begin, word.end - word.begin));
    if (alike == by_first_word_.end()) {
      continue;
    }
    for (Value* value : alike->second) {
      const std::size_t ahead = word_from(value->text, 0).begin;
      if (ahead > word.begin) {
        continue;
      }
      const std::size_t begin = word.begin - ahead;
      const std::size_t end = begin + value->text.size();
      if (text.substr(begin, value->text.size()) == value->text &&
          (end == text.size() || !is_letter(value->text.back()) || !is_letter(text[end]))) {
        found(*value, value->text.size() == text.size());
      }
    }
  }
}

template <class Found>
void RecordedValues::search_values(const json::Value& value, const Found& found) {
  for_each_scalar(value, [&](const std::string& text) { search(text, found); });
}

void RecordedValues::read(const TraceSession& record) {
  search(record.context, [](Value& value, bool) { value.known_before = 0; });
  for (std::size_t i = 0; i < record.steps.size(); ++i) {
    const TraceStep& step = record.steps[i];
    const auto add = [i](Value& value, std::size_t text, bool is_whole) {
      if (value.known_before <= i) {
        return;
      }
      if (!value.sources.empty() && value.sources.back().step == i &&
          value.sources.back().text == text) {
        value.sources.back().is_whole = value.sources.back().is_whole || is_whole;
      } else {
        value.sources.push_back({i, text, is_whole});
      }
    };
    for (std::size_t k = 0; k < step.texts.size(); ++k) {
      search(step.texts[k], [&](Value& value, bool) { add(value, k, false); });
    }
    search_values(step.output,
                  [&](Value& value, bool is_whole) { add(value, Source::output, is_whole); });
    for (const json::Member& member : step.call.input()) {
      search_values(member.value, [i](Value& value, bool) {
        value.known_before = std::min(value.known_before, i + 1);
      });
    }
  }
  // Who knows one can count on to the next.
  for (const std::vector<Wanted>& wanted : wanted_) {
    for (const Wanted& each : wanted) {
      const auto before = values_.find(one_before(each.value->text));
      if (before != values_.end()) {
        Value& value = values_.find(each.value->text)->second;
        value.known_before = std::min(value.known_before, before->second.known_before);
      }
    }
  }
}

}  // namespace forerun
