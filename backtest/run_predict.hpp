#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "files/session_files.hpp"

namespace forerun {

/// What `forerun predict` asks of recorded sessions.
struct PredictSettings {
  std::vector<std::filesystem::path> traces;
  SessionFormat format = SessionFormat::traces;
  std::vector<std::filesystem::path> train;  ///< Learned from first.
  std::filesystem::path catalog;             ///< Empty: none.
  std::string session;                       ///< Its name.
  std::optional<std::size_t> at;             ///< The step to predict; none: the one after the last.
  std::size_t limit = 8;                     ///< At most so many predictions.
};

/// What is predicted at a place of a recorded session by a predictor that has learned from the
/// training files and from the sessions before it, and has seen of the session itself only what
/// had happened: {"session", "after_step", "learned": {"sessions", "steps"}, "predictions": […],
/// "tasks": […], "end_probability", "recorded": {"task", "input", "rank"} or null}. The recorded
/// call is looked at when all is predicted. Errors: those of reading; not_found for the session or
/// the step.
Result<json::Value> predict_recorded(const PredictSettings& settings);

}  // namespace forerun
