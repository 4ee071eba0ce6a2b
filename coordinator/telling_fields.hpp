#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/prediction_hash.hpp"
#include "coordinator/telling_parts.hpp"

namespace forerun::prediction {

/// What the contexts of one step are made of.
struct AnsweredStep {
  Key tenant = 0;
  Key task = 0;
  Key inputs = 0;  ///< The labels of its input.
};
/// Contexts that know the step's task and inputs, and of its output nothing.
std::array<Key, 2> task_contexts(const AnsweredStep& step);
/// Contexts over the step's task and what its output says, without and with its inputs.
std::array<Key, 2> answer_contexts(const AnsweredStep& step, Key labels);

/// Which fields of a task's outputs tell what follows it. A field is a part of the output
/// (telling_parts.hpp). All labels at the top together are
/// one way to read an output; each small field beside the one that matters splits what is known of
/// it. The other way are one to three chosen fields: one is chosen when knowing it would have told
/// better what came (the sum of the logarithms of what contexts with and without it had stated
/// before), and the chosen ones are used where they tell better than all labels together.
class TellingFields {
public:
  static constexpr std::size_t fields_max = 128;  ///< Watched for few values.
  static constexpr std::size_t candidates_max = 8;
  static constexpr std::size_t chosen_max = 3;

  /// What one output says, until it is known what came after it.
  struct Saying {
    Key all = 0;                            ///< All labels at the top.
    Key chosen = 0;                         ///< The chosen fields.
    std::array<Key, chosen_max> without{};  ///< All chosen fields but one.
    std::uint32_t version = 0;
    std::uint32_t count = 0;
    std::array<std::pair<Key, Key>, candidates_max> candidates{};  ///< Path and value.
    std::array<std::uint8_t, fields_max> values{};  ///< Of each field, which one, from 1.
  };

  /// Watches the fields of an output. `all`: the labels at the top, as one.
  Saying read(const json::Value& output, Key all);
  /// After this step came `symbol`. `taught`: the labels whose answer_contexts() learn it anyway.
  void learn(const Saying& said, const AnsweredStep& step, Key taught, Key symbol,
             LearnedContexts& contexts);
  /// The chosen fields tell better than all labels together.
  bool uses_chosen() const { return uses_chosen_; }
  /// What an output says by the chosen fields; the same as read() says.
  Key chosen_of(const json::Value& output) const;
  /// What the chosen fields hold, for people; "nothing" where there is no such field.
  std::vector<std::string> chosen_texts(const json::Value& output) const;
  /// How many are chosen.
  std::size_t chosen() const { return chosen_.size(); }

private:
  struct Field {
    Key path = 0;
    Key base = 0;
    PartKind kind = PartKind::scalar;
    bool is_of_list = false;
    struct Value {
      std::uint32_t hash = 0;
      std::uint32_t all = 0;       ///< What all labels together were when it was last seen.
      std::uint32_t followed = 0;  ///< What followed it last.
    };
    std::vector<Value> values;
    std::uint8_t value = 0;  ///< The last output's, from 1; 0: none.
    float agreed = 0;        ///< How often the same followed as after the value's last time.
    std::uint32_t tries = 0;
    std::uint32_t seen_at = 0;     ///< The last output that has it, counted from 1.
    std::uint32_t differs_at = 0;  ///< When it last told something else than all labels together.
    std::uint32_t looked_at = 0;   ///< How often it was a candidate.
    std::uint32_t dull_until = 0;
    bool is_label = true;
    std::array<double, 2> gain{};  ///< Without and with the inputs.
    double against_all = 0;
    FrameWords frame;     ///< Of a text that is no label.
    NumberRanges ranges;  ///< Of `range`.

    void learn(Key value, Key all, std::uint32_t now);
  };

  struct Chosen {
    Key path = 0, base = 0;
    PartKind kind = PartKind::scalar;
    bool is_of_list = false;
    double spare = 0;  ///< How much better the others tell without it, as a logarithm.
  };
  using ChosenValues = std::array<Key, chosen_max>;
  class Reading;

  const Field* find(Key path) const;
  Field* field(const OutputPart& part, std::size_t& cursor);
  bool is_chosen(Key path) const;
  bool is_candidate(const Field& field) const;
  /// Calls take(n, part) for each part that is the n-th chosen field.
  template <class Take>
  void each_chosen(const json::Value& output, const Take& take) const;
  void learn_agreement(const Saying& said, Key symbol);
  ChosenValues chosen_values(const json::Value& output) const;
  static constexpr std::size_t none_left_out = chosen_max;
  Key as_one(const ChosenValues& values, std::size_t left_out) const;
  void choose(const Field& field);
  void drop(std::size_t chosen);
  void compare_anew();
  void start_over();

  std::vector<Field> fields_;
  std::vector<Chosen> chosen_;
  std::uint32_t outputs_ = 0;
  std::uint32_t version_ = 0;  ///< Grows when what is chosen changes.
  double against_all_ = 0;     ///< How much better the chosen ones told, as a logarithm.
  bool uses_chosen_ = false;
};

}  // namespace forerun::prediction
