#pragma once

#include <array>
#include <forward_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/ranker.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

/// How a binding finds its value in a session's memory.
enum class From : std::uint8_t {
  nth,        ///< The n-th value at a place in the latest document that has it (n up to 3).
  last,       ///< The last one there.
  unused,     ///< The first one there that this parameter has not had yet: walking a list.
  mentioned,  ///< The first one there, not used yet, that the session's text mentions.
  earliest,   ///< The first value ever at the place.
  older,      ///< The last one there in the document before the latest.
  back,  ///< A value of the output so many steps ago, whatever the task: n is the step, `place` the
         ///< value.
  named,  ///< The latest value under a name, whatever brought it.
  about,  ///< The one there, not used yet, of whose object the session's text says most.
};
inline constexpr std::size_t from_kinds = 9;
/// What a rule takes its value from: an input, an output, text by shape, text by the word before,
/// a part of an output's text by its look, by what stands near it, any of them as another kind.
inline constexpr std::size_t source_kinds = 7;

/// What becomes of a value that was found.
enum class As : std::uint8_t {
  it_is,
  text,    ///< Of a number: text_of_number().
  number,  ///< Of a text: number_of_text().
};

/// The tasks that a parameter's call has followed, the latest few: each has a place at which
/// records keep what holds after it.
class Followed {
public:
  static constexpr std::size_t places = 8;
  static constexpr std::size_t nowhere = places;

  /// Its place, or nowhere.
  std::size_t find(Key task) const;
  struct Taken {
    std::size_t place = 0;
    bool is_new = false;  ///< What records keep there belongs to another task, or to none.
  };
  Taken take(Key task);

private:
  std::array<Key, places> tasks_{};
  std::size_t count_ = 0;
  std::size_t oldest_ = 0;
};

/// How often something was right when it applied. Halved when it grows large.
struct Count {
  float tries = 0, hits = 0;
  void add(bool hit);
  /// The expected share of hits: `prior` counts like a few tries.
  double share(double prior) const;
};

/// The same in general, which is the prior of what holds right after some task.
struct Record {
  Count all;
  std::array<Count, Followed::places> after{};

  void add(std::size_t place, bool hit);
  double share(std::size_t place, double prior) const;
};

struct Binding {
  Key place = 0;  ///< Or the name, for `named`.
  Key mold = 0;   ///< Of the object found only the members of this mold; 0: the value as it is.
  Count all;
  Count stale;  ///< Where it gave a value of a text behind which another, or a step, had come.
  From from = From::nth;
  std::uint8_t n = 0;
  std::uint8_t source = 0;
  As as = As::it_is;
};

struct Constant {
  double count = 0;
  std::array<float, Followed::places> after{};
  std::uint8_t value = 0;  ///< Its place among the parameter's values.
};

/// How often a new rule of each kind is right the next time, in one tenant.
struct KindRecord {
  static constexpr std::size_t kinds = from_kinds * source_kinds;
  double tries[kinds] = {}, hits[kinds] = {};
  std::array<double, kinds> priors = [] {
    std::array<double, kinds> made{};
    made.fill(1.0 / 3);
    return made;
  }();
  double prior(const Binding& rule) const;
  void learn(const Binding& rule, bool hit);
};

/// What tells how well a value suits a parameter: see value_features().
inline constexpr std::size_t value_features = 30;
using ValueRanker = Ranker<value_features>;
/// At first a value weighs as the odds of the best rule that gives it.
ValueRanker first_value_ranker();

/// What speaks most for a value.
struct Origin {
  enum class Kind : std::uint8_t { constant, rule, recognised, corrected, composed };
  Kind kind = Kind::constant;
  From from = From::nth;  ///< Of a rule.
  std::uint32_t at = 0;   ///< What the rule found in the session's memory.
  As as = As::it_is;
};

/// One value that a parameter may get.
struct Candidate {
  Key hash = 0;
  double share = 0;
  const json::Value* value = nullptr;  ///< Lives as long as memory and parameter are unchanged.
  Origin origin;
  std::uint32_t seen = 0;   ///< In the session's memory; 0: a constant that it has not seen.
  bool is_settled = false;  ///< Its rule was right for so long that no other value is considered.
  /// No call with this value is likelier than so. The ranker learns when calls come: it knows
  /// nothing of an output that is still open and holds the value by a better rule, nor of a text
  /// that is still to come where the rule was only ever right with a new one.
  double allowed = 1;
  Features<value_features> features{};
};

/// Where a candidate's value comes from, for people.
std::string text_of(const Origin& origin, const SessionMemory& memory);

/// Values that no memory holds, made to be candidates. They stay where they are.
using MadeValues = std::forward_list<json::Value>;

/// A value put together from parts that were bound one by one.
struct Composed {
  Key hash = 0;
  double share = 0;
  const json::Value* value = nullptr;
};

/// How objects and arrays of a parameter are built: an object's members, an array's length. Each
/// part is bound like a parameter of its own.
struct Mold {
  Key key = 0;
  bool is_array = false;
  bool is_each = false;            ///< Not of the value but of each element of an array.
  std::vector<std::string> names;  ///< Of an object.
  std::vector<Key> parts;          ///< What sets them apart from other parts of the parameter.
  double count = 0;
  std::array<float, Followed::places> after{};
};
inline constexpr std::size_t mold_parts_max = 8;

/// None where the value has no parts, or too many.
std::optional<Mold> mold_of(const json::Value& value);

/// What the words of a session's texts were told to mean: a value of a parameter of this name.
struct Meaning {
  Key value = 0;     ///< meaning_of().
  double share = 0;  ///< How often it was it, where one of the words was.
  double lift = 0;   ///< Logarithm: against how often it is it anyway.
};
/// Its first bits name the parameter alone: name_of_meaning; without a hash it means any value.
Key meaning_of(Key name, Key hash);
inline constexpr Key name_of_meaning = 0xffff000000000000;

struct Surroundings {
  const SessionMemory& memory;
  Key task = 0;                       ///< Of the call whose parameters are bound.
  Key previous = 0;                   ///< Of the call before.
  std::span<const Key> open_tasks{};  ///< Their outputs are still open: nothing may be taken from
                                      ///< where they will bring values.
  const BoundedTable<bool>* output_names =
      nullptr;                          ///< mix(task, name): names that a task's outputs have had.
  std::span<const Meaning> meanings{};  ///< By value, ascending.
  bool corrects = true;                 ///< Texts are corrected: candidates of their own.
  bool has_about = true;                ///< Rules of what the text speaks of apply.
  bool converts = true;                 ///< Numbers may be made texts, and texts numbers.
  const Features<value_features>* mask = nullptr;  ///< Features count so many times; none: once.
};

inline constexpr std::size_t recognised_max = 3;
/// So many candidates are in order, best first; those after them are worse, in no order that
/// matters.
inline constexpr std::size_t candidates_in_order = 8;
/// Which candidates are wanted: all of them to learn from.
enum class Wanted : std::uint8_t { best, all };

/// What one parameter of one task was bound to, and how well each rule did.
class Parameter {
public:
  /// The values that it may get, the best ones in order (candidates_in_order). Their shares, with
  /// those of values that are not wanted, sum to at most 1.
  /// `composed` are values made of its molds; values that are made are kept in `made`.
  std::vector<Candidate> candidates(const Surroundings& around, const KindRecord& kinds,
                                    const ValueRanker& ranker, std::span<const Composed> composed,
                                    MadeValues& made, Wanted wanted) const;
  /// How often what speaks most for a candidate was right when it applied; no tries where that has
  /// no record of its own. For people: what is predicted does not ask for it.
  Count record_of(const Surroundings& around, const Candidate& candidate) const;
  /// The ways in which its values are built, each with how likely it is next after this task, the
  /// likeliest first.
  std::vector<std::pair<const Mold*, double>> molds(Key previous) const;
  /// Where one rule has been right for long, or nothing has been for long and nothing can be this
  /// time, only one step in some is looked at closely. Returns whether this one was.
  bool learn(const Surroundings& around, KindRecord& kinds, std::string_view name,
             const json::Value& value);
  /// What candidates() will read first: on its way from the machine's memory meanwhile.
  void prefetch() const;

private:
  static constexpr std::size_t rules_max = 48;
  static constexpr std::size_t constants_max = 48;
  static constexpr std::uint8_t no_rule = 0xff;

  struct Claims;
  class Claimed;
  class Describer;
  /// Constants that the session's text holds and this parameter has not had in the session, the
  /// latest text's first ones first, at most recognised_max; as indexes into constants_. Returns
  /// how many.
  std::size_t recognised(const Surroundings& around,
                         std::array<std::size_t, recognised_max>& order) const;
  std::size_t place_after(Key previous);
  double constant_share(const Constant& constant, std::size_t place) const;
  std::optional<Candidate> settled(const Surroundings& around, const KindRecord& kinds,
                                   std::size_t place, MadeValues& made) const;
  double rule_share(std::size_t rule, std::size_t place, const KindRecord& kinds) const;
  bool is_routine(const Surroundings& around, Key hash, const json::Value& value);
  bool was_corrected() const;
  void forget_rule(std::size_t rule);
  void learn_leader(std::uint8_t right, bool leader_was_right, bool is_known, Key hash);
  double claim_by_rules(const Surroundings& around, const KindRecord& kinds, std::size_t place,
                        Claimed& claimed, MadeValues& made) const;
  void claim_known(const Surroundings& around, std::size_t place, Claimed& claimed) const;
  void claim_corrected(const Surroundings& around, std::size_t place, Claimed& claimed) const;
  /// The latest value of this parameter in the session; 0: none.
  std::uint32_t last_used(const Surroundings& around) const;
  const Mold* find_mold(Key key) const;
  Key given(const SeenValue& value, const Binding& rule) const;
  void learn_mold(std::size_t place, const json::Value& value);
  json::Value make(const SeenValue& value, const Binding& rule) const;
  void learn_projections(const Surroundings& around, Key name, Key hash, const json::Value& value);
  void learn_constant(std::size_t place, Key hash, const json::Value& value);
  void learn_rules(const Surroundings& around, Key name, Key hash, const json::Value& value,
                   bool is_explained);
  void learn_sources(const Surroundings& around, Key name, Key hash, std::uint32_t latest,
                     std::size_t count, As as);
  /// `side`: whose documents have the rule's place: a task's outputs or inputs, or the text; 0:
  /// anybody's.
  void add_rule(const Surroundings& around, Key name, Key hash, const Binding& rule, Key side);

  Key name_ = 0;
  Key step_ = 0;      ///< step_of_name() it.
  std::string text_;  ///< The name itself.
  double total_ = 0;
  double constants_seen_ = 0;     ///< Different ones, less those forgotten.
  std::array<float, 3> texts_{};  ///< Its calls behind none, one, or more texts in a row.
  struct After {
    double total = 0, seen = 0;
  };
  /// How values look: an argument seldom looks like none before.
  struct Look {
    Key shape = 0;
    double count = 0;
  };
  double familiar(Key look) const;
  void learn_texts(std::size_t fresh);
  bool waits_for_text(const SessionMemory& memory) const;
  void learn_look(const json::Value& value);

  std::vector<Look> looks_;
  double looked_ = 0;
  Followed followed_;
  std::array<After, Followed::places> after_{};
  std::vector<Binding> rules_;
  std::vector<Key> task_sides_;     ///< Of each rule: see add_rule().
  std::vector<Count> after_rules_;  ///< By place and rule, rules_max of each place.
  std::array<std::uint16_t, rules_max> signatures_{};  ///< Of the rules; 0: none.
  std::vector<Key> hashes_;                            ///< Of the constants.
  std::vector<Constant> constants_;
  std::vector<json::Value> values_;
  std::array<Record, recognised_max> recognised_{};  ///< By their place in that order.
  std::array<Record, SessionMemory::corrections> corrected_{};
  std::vector<Mold> molds_;
  std::uint8_t leader_ = no_rule;  ///< The rule that was right the last times, or always the
  Key leader_hash_ = 0;            ///< same value,
  std::uint8_t led_ = 0;           ///< so often in a row.
  std::uint8_t missed_ = 0;        ///< So often in a row nothing gave the value.
  std::uint8_t passed_ = 0;        ///< Steps since one was looked at closely.
};

Key task_side(Key task, Side side);

}  // namespace forerun::prediction
