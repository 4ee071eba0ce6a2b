#pragma once

#include <map>
#include <string>
#include <vector>

#include "coordinator/predictor.hpp"

namespace forerun::simulation {

/// Knows what the simulated clients like to do, and is often wrong all the same: it makes a short
/// run meet many speculations, deep ones and false ones, without anything having to be learned.
class Guesser final : public Predictor {
public:
  /// `race` is the race that all sessions of this seed call.
  explicit Guesser(std::string race) : race_(std::move(race)) {}

  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override { sessions_.erase(session); }
  void set_learning(bool) override {}
  std::vector<Prediction> predict(const RunId& session, const Question& question) const override;

private:
  struct Place {
    std::string key;
    std::string task;              ///< The latest step's; empty before the first.
    std::optional<Output> output;  ///< Its output, when it is known.
    std::uint64_t steps = 0;
  };
  static void advance(Place& place, const Call& call, const std::optional<Output>& output);

  std::string race_;
  std::map<RunId, Place> sessions_;
};

}  // namespace forerun::simulation
