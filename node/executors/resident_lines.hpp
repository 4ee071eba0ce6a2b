#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"
#include "node/executors/executor.hpp"

/// The lines between a node and a resident command (docs/catalog.md, "Resident commands").
namespace forerun {

/// `{"id":…,"task":…,"input":…}`, with `envelope` also `"state"`, and its end of line.
std::string resident_call(std::uint64_t id, const Run& run);
/// `{"cancel":…}` and its end of line.
std::string resident_cancel(std::uint64_t id);

struct ResidentReady {};
/// What a resident said of a call. `text` is its output (with writes or effects beside it, an
/// envelope), or why it failed.
struct ResidentAnswer {
  enum class Kind { output, error, cancelled };
  std::uint64_t id = 0;
  Kind kind = Kind::output;
  bool is_envelope = false;
  bool is_last = false;  ///< It ends now: no other call may go to it.
  std::string text;
};
using ResidentLine = std::variant<ResidentReady, ResidentAnswer>;

/// Room for a line beside the output in it.
inline constexpr std::size_t resident_line_extra = 256;

/// Errors: invalid, with what is wrong with the line.
Result<ResidentLine> read_resident_line(std::string_view line);

}  // namespace forerun
