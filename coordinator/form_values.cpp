#include "coordinator/form_values.hpp"

#include <algorithm>

namespace forerun::prediction {

namespace {

constexpr std::size_t mold_depth_max = 3;       ///< Of parts in parts.
constexpr std::size_t parts_per_form_max = 40;  ///< Of all arguments of a call.
constexpr std::size_t composed_others_max = 2;
/// Of a parameter's likeliest value; below, nothing tells it.
constexpr double filled_above = 0.25;

}  // namespace

Values FormValues::of(const Surroundings& around, const ArgumentRecords& records, const Form& form,
                      Wanted wanted) const {
  Values values;
  values.of.reserve(form.parameters.size());
  for (const Key key : form.parameters) {
    if (const Parameter* parameter = parameters_.find(key)) {
      parameter->prefetch();
    }
  }
  Making making{parts_per_form_max, values.made};
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    values.of.push_back(candidates(around, records, form, i, making, wanted));
    if (values.of.back().empty()) {
      values.of.clear();
      break;
    }
  }
  return values;
}

std::vector<std::string> FormValues::unfilled(const Surroundings& around,
                                              const ArgumentRecords& records,
                                              const Form& form) const {
  std::vector<std::string> names;
  MadeValues made;
  Making making{parts_per_form_max, made};
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    const std::vector<Candidate> values =
        candidates(around, records, form, i, making, Wanted::best);
    if (values.empty() || values.front().share < filled_above) {
      names.push_back(form.names[i]);
    }
  }
  return names;
}

/// Of one of the form's parameters.
std::vector<Candidate> FormValues::candidates(const Surroundings& around,
                                              const ArgumentRecords& records, const Form& form,
                                              std::size_t parameter, Making& making,
                                              Wanted wanted) const {
  return form.declared != nullptr
             ? bind_by_example(around, form.name_keys[parameter],
                               *form.declared->example.find(form.names[parameter]),
                               records.declared)
             : candidates(around, records, form.parameters[parameter], 0, making, wanted);
}

std::vector<Candidate> FormValues::candidates(const Surroundings& around,
                                              const ArgumentRecords& records, Key key,
                                              std::size_t depth, Making& making,
                                              Wanted wanted) const {
  const Parameter* parameter = parameters_.find(key);
  if (parameter == nullptr) {
    return {};
  }
  std::vector<Composed> composed;
  if (depth < mold_depth_max && composes_) {
    for (const auto& [mold, share] : parameter->molds(around.previous)) {
      compose(around, records, key, *mold, share, depth, making, composed);
    }
  }
  return parameter->candidates(around, records.kinds, records.ranker, composed, making.made,
                               wanted);
}

/// The likeliest value of this mold, and the likeliest with one other part.
void FormValues::compose(const Surroundings& around, const ArgumentRecords& records, Key key,
                         const Mold& mold, double share, std::size_t depth, Making& making,
                         std::vector<Composed>& composed) const {
  if (mold.parts.size() > making.parts_left) {
    return;
  }
  making.parts_left -= mold.parts.size();
  std::vector<std::vector<Candidate>> parts;
  std::vector<std::pair<double, std::size_t>> others;  ///< What the second is to the first.
  for (const Key part : mold.parts) {
    parts.push_back(candidates(around, records, mix(key, part), depth + 1, making, Wanted::best));
    const std::vector<Candidate>& best = parts.back();
    if (best.empty()) {
      return;
    }
    share *= best.front().share;
    if (best.size() > 1) {
      others.emplace_back(best[1].share / best.front().share, parts.size() - 1);
    }
  }
  std::stable_sort(others.begin(), others.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  others.resize(std::min(others.size(), composed_others_max));
  others.emplace(others.begin(), 1.0, SIZE_MAX);
  for (const auto& [odds, other] : others) {
    json::Array array;
    json::Object object;
    Key hash = mold.is_array ? hash_array_start() : hash_object_start();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Candidate& part = parts[i][i == other ? 1 : 0];
      if (mold.is_array) {
        array.push_back(*part.value);
        hash = mix(hash, part.hash);
      } else {
        object.set(mold.names[i], *part.value);
        hash = mix(hash, hash_text(mold.names[i]), part.hash);
      }
    }
    making.made.push_front(mold.is_array ? json::Value(std::move(array))
                                         : json::Value(std::move(object)));
    composed.push_back({hash, share * odds, &making.made.front()});
  }
}

void FormValues::learn(const Surroundings& around, ArgumentRecords& records, const Form& form,
                       const json::Object& input) {
  std::size_t parts_left = parts_per_form_max;
  prefetch_entries(form);
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    const json::Member& member = input.begin()[i];
    learn(around, records, form.parameters[i], member.name, member.value, 0, parts_left);
  }
}

void FormValues::learn(const Surroundings& around, ArgumentRecords& records, Key key,
                       std::string_view name, const json::Value& value, std::size_t depth,
                       std::size_t& parts_left) {
  const bool was_looked_at = parameters_.touch(key).learn(around, records.kinds, name, value);
  const bool may_have_parts =
      was_looked_at && depth < mold_depth_max && (value.array() || value.object());
  const std::optional<Mold> mold = may_have_parts ? mold_of(value) : std::nullopt;
  if (!mold || mold->parts.size() > parts_left) {
    return;
  }
  parts_left -= mold->parts.size();
  for (std::size_t i = 0; i < mold->parts.size(); ++i) {
    const json::Value& part =
        mold->is_array ? (*value.array())[i] : *value.object()->find(mold->names[i]);
    learn(around, records, mix(key, mold->parts[i]), "", part, depth + 1, parts_left);
  }
}

void FormValues::prefetch_slots(const Form& form) const {
  for (const Key parameter : form.parameters) {
    parameters_.prefetch_slot(parameter);
  }
}

void FormValues::prefetch_entries(const Form& form) const {
  for (const Key parameter : form.parameters) {
    parameters_.prefetch_entry(parameter);
  }
}

}  // namespace forerun::prediction
