#include "files/example_call.hpp"

#include <optional>
#include <tuple>
#include <utility>

#include "base/assert.hpp"

namespace forerun {
namespace {

constexpr const char* example_value = "A-1";

/// The fields in braces of patterns such as "order/{order_id}".
void add_fields(json::Object& input, const std::optional<std::vector<std::string>>& patterns) {
  for (const std::string& pattern : patterns.value_or(std::vector<std::string>())) {
    for (std::size_t open = pattern.find('{'); open != std::string::npos;
         open = pattern.find('{', open + 1)) {
      const std::size_t close = pattern.find('}', open);
      if (close != std::string::npos) {
        input.set(pattern.substr(open + 1, close - open - 1), example_value);
      }
    }
  }
}

struct Candidate {
  const Task* task = nullptr;
  json::Object input;
  int told = 0;  ///< 0 by an example, 1 by tags, 2 not.

  /// The smallest is the best.
  auto rank() const {
    return std::tuple(task->executor == ExecutorKind::world, told, task->effect == Effect::write);
  }
};

}  // namespace

ExampleCall example_call(const CatalogFile& file) {
  std::optional<Candidate> best;
  for (const auto& [name, task] : file.catalog.tasks()) {
    Candidate candidate;
    candidate.task = &task;
    if (task.example) {
      candidate.input = *task.example;
    } else {
      add_fields(candidate.input, task.reads);
      add_fields(candidate.input, task.writes);
      candidate.told = candidate.input.empty() ? 2 : 1;
    }
    if (!best || candidate.rank() < best->rank()) {
      best = std::move(candidate);
    }
  }
  FORERUN_ASSERT(best.has_value());
  return {Call::make(best->task->name, std::move(best->input)), best->told < 2};
}

}  // namespace forerun
