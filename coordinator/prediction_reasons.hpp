#pragma once

#include <cstddef>
#include <string>
#include <vector>

/// What a prediction was made of, in the numbers that were used, and the lines that say it to
/// people. Whoever reads them can follow from what contexts and bindings say to what is stated.
namespace forerun::prediction {

/// What one context, or the catalog, says of what comes next.
struct ContextSaid {
  std::string what;     ///< "after scan returning label "a"".
  double times = 0;     ///< It was seen, lately.
  double followed = 0;  ///< By this, of these times.
  double weight = 0;    ///< In the blend: the sum of weight × followed / times is what all say.
};

struct ArgumentSaid {
  std::string name;
  std::string origin;  ///< Of the binding that filled it.
  double share = 0;
  double tries = 0, hits = 0;  ///< Of the binding, lately; 0 tries: it has no record of its own.
};

/// What speaks for or against a call before its rivals, as what it multiplies the odds by.
struct Force {
  std::string what;
  double factor = 1;
};

struct Rival {
  std::string what;
  double probability = 0;  ///< As ranked.
};

/// How one prediction came about, step by step.
struct Account {
  std::string task;
  std::string place;  ///< "after scan", "as first call".

  std::vector<ContextSaid> contexts;  ///< Those that were seen, from the most general on.
  double blended = 0;                 ///< What they say together; 0: none knows it.
  std::string proposed_by;            ///< What named it where none does.
  double expected = 0;                ///< The same, corrected by how far such came true.

  std::vector<ArgumentSaid> arguments;
  double arguments_share = 1;  ///< The product of their shares.

  double ranked = 0;          ///< By the ranker, whose odds are the product of `forces`:
  std::vector<Force> forces;  ///< those that have a name, in no order,
  double other_forces = 1;    ///< and all that has none.
  std::vector<Rival> rivals;  ///< With `ranked` they sum to 1.

  double calls = 0;       ///< Of this form, ever.
  double allowed = 0;     ///< `ranked`, no surer than its calls allow.
  double correction = 1;  ///< What such probabilities were multiplied by,
  double bin_from = 0, bin_to = 0;
  double bin_due = 0, bin_came = 0;  ///< since so many were due and so many came.
  double corrected = 0;
  double bounded = 0;                    ///< The lower bound of that, where it is nearly certain.
  double bounded_by_calls = 0;           ///< No surer than calls and limits allow.
  double sure_tries = 0, sure_came = 0;  ///< Of what was so nearly certain lately.
  double stated = 0;                     ///< Below that where too little of it came.
};

/// Named limits of what is told of one prediction.
inline constexpr std::size_t reasons_max = 8;
inline constexpr std::size_t contexts_told = 2;      ///< Each in a line; the others in one number.
inline constexpr double context_weight_told = 0.01;  ///< What weighs less is one of the others.
inline constexpr std::size_t arguments_told = 6;     ///< By name.
inline constexpr std::size_t forces_told = 3;
inline constexpr std::size_t rivals_told = 3;

/// The whole way in one line: what contexts, arguments and ranker said, and what is stated.
std::string summary_of(const std::string& task, const std::string& place, double expected,
                       double arguments_share, double ranked, double stated);

/// At most reasons_max lines.
std::vector<std::string> lines_of(const Account& account);

/// `12.3 %`, rounded half up; quick enough to be told of every answer. @pre 0 <= share, below 1e6
std::string share_text(double share);

/// `3 of 4 times`, for counts that were halved on the way too.
std::string how_often(double hits, double tries);

}  // namespace forerun::prediction
