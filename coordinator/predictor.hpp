#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "speculation/call.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// A step that is running or imagined, beyond what a session has confirmed. Without an output only calls that do not need
/// it can follow.
struct ImaginedStep {
  Call call;
  std::optional<Output> output;
};

/// A call that may come, exactly as it would be confirmed.
struct Prediction {
  Call call;
  double probability = 0;           ///< That this exact call is confirmed, given the steps it follows (and its premise).
  std::optional<Output> premise;    ///< It holds only if the last imagined step, whose output is open, returns this.
  double premise_probability = 1;   ///< That the premise comes true. The joint probability is the product.
  std::vector<std::string> reasons; ///< Contexts and bindings used, for people.
};

/// Learns from confirmed sessions and says what comes next. Pure and deterministic: equal calls in equal order give equal
/// answers on every machine. One tenant's history never reaches another's predictions. Not thread-safe.
class Predictor {
public:
  virtual ~Predictor() = default;

  /// Text that reached the session (its context first). Opens the session when it is new.
  virtual void text(const RunId& session, std::string_view tenant, std::string_view text) = 0;
  /// The session's next committed step. Called once a step, in step order. A failed step has no output.
  virtual void observe(const RunId& session, std::string_view tenant, const Call& call,
                       const std::optional<Output>& output) = 0;
  /// The session ended; its working memory is released, what it taught stays.
  virtual void end(const RunId& session) = 0;

  /// What may come after the session's observed steps followed by `beyond` (oldest first), most probable first, at most
  /// `limit`. Only the last of `beyond` may lack an output; then predictions may carry a premise.
  virtual std::vector<Prediction> predict(const RunId& session, std::span<const ImaginedStep> beyond,
                                          std::size_t limit) const = 0;
};

} // namespace forerun
