#include "coordinator/call_features.hpp"

#include <algorithm>

#include "base/real.hpp"

namespace forerun::prediction {

CallRanker first_call_ranker() {
  Features<call_features> weights = {
      0.65, 1.25, 0.75, 0.9,  0.15, -0.3, 0.05, 0.4,  -0.4, -0.15, -0.1, 0.2, 0.15,
      0,    0.1,  0.1,  -0.1, -0.5, 0.15, 0,    -0.1, -0.3, 0.1,   0.4,  0.8, 0.7,
      -0.4, 0.35, 0.2,  0.2,  0.2,  0.2,  0.2,  0.2,  0,    0,     0,    0.4, 0,
      0.65, -0.5, 0.2,  0.2,  0.4,  0,    0,    0,    0.3,  0.2,   0.2,  0.1, 0.3};
  return CallRanker(weights);
}

const std::vector<FeatureGroup>& feature_groups() {
  static const std::vector<FeatureGroup> groups = {
      {"what its contexts say", {0, 8}},
      {"how sure its arguments are", {1, 9, 11}},
      {"how often its arguments were right", {2}},
      {"whether the session made this call before", {3, 4, 51}},
      {"whether the session called its task before", {5, 6}},
      {"where its arguments come from",
       {10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 34, 35, 36, 40, 41, 42, 44, 46, 48, 49, 50}},
      {"how often it was called", {21}},
      {"how far the text names its task", {24, 25, 26, 43}},
      {"its rank in all that followed (PageRank)", {45}},
      {"that something comes that was expected", {37, 38, 39, 47}},
  };
  return groups;
}

Evidence evidence_for(const LongContexts& contexts, const Likely& form, bool is_open) {
  Evidence evidence{};
  const std::size_t count = is_open ? contexts.size() - long_contexts_of_outputs : contexts.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (const Context* context = contexts[i]; context != nullptr) {
      const double stated = std::max(form.probability, 1e-4);
      evidence[i] = real::log((context->count(form.symbol) + 0.5 * stated) /
                              (context->total() + 0.5) / stated);
    }
  }
  return evidence;
}

Features<call_features> describe(const SessionMemory& memory, bool has_near, const Option& option,
                                 const FormFeatures& of_form, std::size_t rank,
                                 const Together& together, double repeats) {
  const std::size_t parameters = option.values->size();
  const bool was_called = memory.was_called(option.form->task_key, option.filling.input_hash);
  const bool is_last_again = memory.is_last_call(option.form->task_key, option.filling.input_hash);
  std::array<std::uint32_t, 3> documents{};  ///< Up to three different ones.
  std::size_t sources = 0;
  double least = 1;
  double fresh = 0, text = 0, output = 0, same = 0, used = 0, constant = 0;
  double mentioned = 0, ahead = 0, alike = 0, composed = 0, corrected = 0;
  for (std::size_t i = 0; i < parameters; ++i) {
    const Candidate& value = option.value(i);
    least = std::min(least, value.share);
    constant += value.features[2];
    if (value.seen != 0) {
      const std::uint32_t document = memory.value(value.seen).document;
      if (sources < documents.size() &&
          std::find(documents.begin(), documents.begin() + static_cast<std::ptrdiff_t>(sources),
                    document) == documents.begin() + static_cast<std::ptrdiff_t>(sources)) {
        documents[sources++] = document;
      }
    }
    fresh += value.features[4];
    text += value.features[5];
    used += value.features[6];
    same += value.features[8];
    output += value.features[9];
    mentioned += value.features[17];
    ahead += value.features[18];
    composed += value.features[20] + value.features[21];
    corrected += value.features[22] + value.features[23];
    const bool tells = value.value->string() != nullptr || value.value->number() != nullptr;
    for (std::size_t other = 0; tells && other < i; ++other) {
      alike += option.value(other).hash == value.hash ? 1 : 0;
    }
  }
  const double count = std::max<double>(1, static_cast<double>(parameters));
  return {of_form.probability,
          as_logarithm(option.filling.share),
          of_form.record,
          was_called ? of_form.repeats : 0.0,
          was_called ? 1.0 : 0.0,
          of_form.is_known ? 1.0 : 0.0,
          of_form.is_last ? 1.0 : 0.0,
          of_form.sessions,
          has_near ? of_form.probability * 0.25 : 0.0,
          rank == 0 ? 1.0 : 0.0,
          parameters == 0 ? 1.0 : 0.0,
          as_logarithm(least) * 0.5,
          fresh / count,
          text / count,
          output / count,
          same / count,
          used / count,
          constant / count,
          memory.has_fresh_words() ? fresh / count : 0.0,
          same == count ? 1.0 : 0.0,
          used == count && !was_called ? 1.0 : 0.0,
          of_form.tries,
          parameters > 3 ? 1.0 : 0.0,
          of_form.turns,
          of_form.named_all,
          of_form.named_fresh,
          of_form.is_known ? of_form.named_all : 0.0,
          of_form.words,
          of_form.evidence[0],
          of_form.evidence[1],
          of_form.evidence[2],
          of_form.evidence[3],
          of_form.evidence[4],
          of_form.evidence[5],
          sources == 1 && parameters > 1 ? 1.0 : 0.0,
          sources > 2 ? 1.0 : 0.0,
          corrected,
          0.0,
          0.0,
          0.0,
          alike,
          mentioned / count,
          ahead / count,
          of_form.named_ahead,
          ahead >= count ? 1.0 : 0.0,
          of_form.importance,
          composed,
          0.0,
          static_cast<double>(together.count) / count,
          together.is_next ? 1.0 : 0.0,
          together.is_previous ? 1.0 : 0.0,
          is_last_again ? repeats : 0.0};
}

}  // namespace forerun::prediction
