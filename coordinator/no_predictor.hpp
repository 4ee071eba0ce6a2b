#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "coordinator/predictor.hpp"

namespace forerun {

/// Expects nothing: of a coordinator that does not learn.
class NoPredictor final : public Predictor {
public:
  void text(const RunId&, std::string_view, std::string_view) override {}
  void observe(const RunId&, std::string_view, const Call&, const std::optional<Output>&) override {
  }
  void end(const RunId&) override {}
  void set_learning(bool) override {}
  std::vector<Prediction> predict(const RunId&, const Question&) const override { return {}; }
};

}  // namespace forerun
