#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "coordinator/prediction_hash.hpp"
#include "coordinator/predictor.hpp"

namespace forerun {

/// A predictor that asks another one and remembers what it said about each place of a session's
/// future, so that a tree of what may happen is not asked for again at every event. An imagined
/// step that came true as imagined is the same place. An answer serves until its predictor has
/// learned a good part more (`may_grow`), or is pushed out. Pure and deterministic like what it
/// wraps; not thread-safe.
class RememberedPredictions final : public Predictor {
public:
  static constexpr std::size_t answers_max = 16'384;  ///< Of all sessions; the oldest go first.
  static constexpr std::size_t sessions_max = 32'768;
  /// An answer is asked for with at least this much of what is improbable now: when its premises
  /// have come true it is less so.
  static constexpr double probability_kept = 0.08;
  /// An answer made after N steps of learning serves for `steps_min` + N / `share` steps more.
  static constexpr std::uint64_t steps_min = 8, share = 16;

  explicit RememberedPredictions(std::unique_ptr<Predictor> predictor);

  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override;
  void forget(std::string_view tenant) override;
  void declare(const DeclaredTasks& tasks) override;
  void set_learning(bool learns) override;
  /// `wants` is not part of a place: an answer holds what was wanted when it was made. Where
  /// reasons are wanted it is made anew and not kept.
  std::vector<Prediction> predict(const RunId& session, const Question& question) const override;
  /// Made anew, not kept.
  Expectation expect(const RunId& session, const Question& question) const override {
    return predictor_->expect(session, question);
  }
  double end_probability(const RunId& session, const Question& question) const override {
    return predictor_->end_probability(session, question);
  }

private:
  struct Answer {
    RunId session;
    std::uint64_t steps = 0;  ///< What the predictor had learned when it was given.
    double probability_min = 0;
    std::size_t limit = 0;
    std::vector<Prediction> predictions;
  };
  bool serves(const Answer& answer, const RunId& session, const Question& question) const;

  std::unique_ptr<Predictor> predictor_;
  bool learns_ = true;
  std::uint64_t steps_ = 0;
  prediction::BoundedTable<prediction::Key> places_;  ///< Where each session is.
  mutable prediction::BoundedTable<Answer> answers_;
};

}  // namespace forerun
