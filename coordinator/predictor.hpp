#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/declared_tasks.hpp"
#include "speculation/call.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// A step that is running or imagined, beyond what a session has confirmed. Without an output only
/// calls that do not need it can follow.
struct ImaginedStep {
  Call call;
  std::optional<Output> output;
};

/// A call that may come, exactly as it would be confirmed.
struct Prediction {
  Call call;
  double probability =
      0;  ///< That this exact call is confirmed, given the steps it follows (and its premise).
  std::optional<Output>
      premise;  ///< It holds only if the last imagined step, whose output is open, returns this.
  double premise_probability =
      1;  ///< That the premise comes true. The joint probability is the product.
  std::vector<std::string> reasons;  ///< What it comes from, for people: see Question::explains.
};

/// A task that may come, whatever its arguments.
struct ExpectedTask {
  std::string task;
  double probability = 0;  ///< That the next call is of this task. Not calibrated, unlike calls'.
  /// Where it is asked with Question::explains: the parameters whose value nothing tells, since no
  /// rule that was learned applies, or none is often right.
  std::vector<std::string> unfilled{};
};

/// What is asked of a predictor: what may come after a session's observed steps followed by
/// `beyond`.
struct Question {
  std::span<const ImaginedStep> beyond{};  ///< Oldest first. Where only the last lacks an output, a
                                           ///< prediction may carry a premise.
  std::size_t limit = 8;                   ///< At most so many answers.
  double probability_min =
      0;  ///< Of call and premise together; what is less probable is left out, unbuilt. What is far
          ///< less probable may not be weighed at all, and the rest be stated a little higher.
  /// Each answer tells the whole way to its probability: contexts, bindings, ranker, calibration
  /// and rivals. Else its reasons are one line of the steps and one of each argument.
  bool explains = false;
  /// Tasks worth naming; empty: all. Others are still expected, only not answered with.
  std::function<bool(const std::string& task)> wants{};
};

/// Calls and tasks that may come, each list most probable first.
struct Expectation {
  std::vector<Prediction> calls;
  /// At most Question::limit, also those of which no call can be named. Predictors that know of
  /// calls alone tell none.
  std::vector<ExpectedTask> tasks{};
};

/// Learns from confirmed sessions and says what comes next. Pure and deterministic: equal calls in
/// equal order give equal answers on every machine. One tenant's history never reaches another's
/// predictions. Not thread-safe.
class Predictor {
public:
  virtual ~Predictor() = default;

  /// Text that reached the session (its context first). Opens the session when it is new.
  virtual void text(const RunId& session, std::string_view tenant, std::string_view text) = 0;
  /// The session's next committed step. Called once a step, in step order. A failed step has no
  /// output.
  virtual void observe(const RunId& session, std::string_view tenant, const Call& call,
                       const std::optional<Output>& output) = 0;
  /// The session ended; its working memory is released, what it taught stays.
  virtual void end(const RunId& session) = 0;

  /// Drops all that was learned from this tenant's sessions, and its open sessions' working memory:
  /// they go on from what comes next. Predictors that learn nothing have nothing to forget.
  virtual void forget(std::string_view tenant) { static_cast<void>(tenant); }

  /// What the catalog says of its tasks. Told before the first session; tenants share it, since it
  /// is nobody's history. Predictors that need none ignore it.
  virtual void declare(const DeclaredTasks& tasks) { static_cast<void>(tasks); }

  /// Off: sessions are followed as before, but teach nothing. On at first.
  virtual void set_learning(bool learns) = 0;

  /// What may come next, most probable first.
  virtual std::vector<Prediction> predict(const RunId& session, const Question& question) const = 0;

  /// The same, and the tasks: for people, and to measure by. Nothing is run ahead for a task alone.
  virtual Expectation expect(const RunId& session, const Question& question) const {
    return {predict(session, question)};
  }

  /// How likely the session ends there instead of calling anything. 0 where nothing is known, and
  /// beyond a step whose output is open. Predictors that know of no end say 0.
  virtual double end_probability(const RunId& session, const Question& question) const {
    static_cast<void>(session);
    static_cast<void>(question);
    return 0;
  }
};

}  // namespace forerun
