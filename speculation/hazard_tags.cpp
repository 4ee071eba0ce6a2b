#include "speculation/hazard_tags.hpp"

#include <algorithm>
#include <optional>

namespace forerun {
namespace {

/// The text that a field's value adds to a tag; nothing where the value does not name one thing.
std::optional<std::string> text_of(const json::Value* value) {
  if (value == nullptr || value->is_null() || value->array() != nullptr ||
      value->object() != nullptr) {
    return std::nullopt;
  }
  return value->string() != nullptr ? *value->string() : json::canonical(*value);
}

/// The tag that `pattern` makes of `input`. @pre is_tag_pattern(pattern).
std::optional<std::string> tag_of(std::string_view pattern, const json::Object& input) {
  std::string tag;
  while (!pattern.empty()) {
    const std::size_t open = std::min(pattern.find('{'), pattern.size());
    tag += pattern.substr(0, open);
    pattern.remove_prefix(open);
    if (pattern.empty()) {
      break;
    }
    const std::size_t close = pattern.find('}');
    const auto text = text_of(input.find(pattern.substr(1, close - 1)));
    if (!text || tag.size() + text->size() > tag_bytes_max) {
      return std::nullopt;
    }
    tag += *text;
    pattern.remove_prefix(close + 1);
  }
  return tag;
}

TagSet space_of(const Task& task, std::string_view tenant, std::string_view run_id) {
  TagSet set;
  set.space = task.scope == HazardScope::tenant ? "tenant:" : "session:";
  set.space += task.scope == HazardScope::tenant ? tenant : run_id;
  return set;
}

void fill(TagSet& set, const std::vector<std::string>& patterns, const json::Object& input) {
  for (const std::string& pattern : patterns) {
    auto tag = tag_of(pattern, input);
    if (!tag) {
      set.everything = true;
      set.tags.clear();
      return;
    }
    set.tags.push_back(std::move(*tag));
  }
  std::sort(set.tags.begin(), set.tags.end());
  set.tags.erase(std::unique(set.tags.begin(), set.tags.end()), set.tags.end());
}

}  // namespace

bool is_tag_pattern(std::string_view pattern) {
  if (pattern.empty() || pattern.size() > tag_bytes_max) {
    return false;
  }
  std::optional<std::size_t> open;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{') {
      if (open) {
        return false;
      }
      open = i;
    } else if (pattern[i] == '}') {
      if (!open || i == *open + 1) {
        return false;
      }
      open.reset();
    }
  }
  return !open;
}

TagSet read_tags(const Task& task, const json::Object& input, std::string_view tenant,
                 std::string_view run_id) {
  TagSet set = space_of(task, tenant, run_id);
  if (task.effect != Effect::pure && task.reads) {
    fill(set, *task.reads, input);
  } else {
    set.everything = task.effect == Effect::read;
  }
  return set;
}

TagSet write_tags(const Task& task, const json::Object& input, std::string_view tenant,
                  std::string_view run_id) {
  TagSet set = space_of(task, tenant, run_id);
  if (task.effect == Effect::write && task.writes) {
    fill(set, *task.writes, input);
  } else {
    set.everything = task.effect == Effect::write;
  }
  return set;
}

bool conflict(const TagSet& a, const TagSet& b) {
  const auto touches_nothing = [](const TagSet& set) {
    return !set.everything && set.tags.empty();
  };
  if (a.space != b.space || touches_nothing(a) || touches_nothing(b)) {
    return false;
  }
  if (a.everything || b.everything) {
    return true;
  }
  // Both are sorted.
  auto x = a.tags.begin();
  auto y = b.tags.begin();
  while (x != a.tags.end() && y != b.tags.end()) {
    if (*x == *y) {
      return true;
    }
    ++(*x < *y ? x : y);
  }
  return false;
}

}  // namespace forerun
