#include <algorithm>

#include "coordinator/argument_rules.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t molds_max = 8;
constexpr std::size_t elements_max = 16;  ///< Of an array that is made of another.

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

const Mold* Parameter::find_mold(Key key) const {
  for (const Mold& each : molds_) {
    if (each.key == key) {
      return &each;
    }
  }
  return nullptr;
}

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
