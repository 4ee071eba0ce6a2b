#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace forerun {

/// A piece of a text that is filled in when it is used.
struct TemplatePart {
  enum class Source {
    literal,  ///< `text` as it stands.
    input,    ///< `${input:/a/b}`: of the call's input, by JSON pointer.
    state,    ///< `${state:/a/b}`: of what the task gets of its session's state.
    env,      ///< `${env:NAME}`: of the node's environment.
    file,     ///< `${file:PATH}`: what a file of the node holds.
  };
  Source source = Source::literal;
  std::string text;  ///< The literal, pointer, name or path.
  /// Whether only the node knows it.
  bool is_of_node() const { return source == Source::env || source == Source::file; }
  bool is_of_call() const { return source == Source::input || source == Source::state; }
  friend bool operator==(const TemplatePart&, const TemplatePart&) = default;
};
/// As it is written: `${env:NAME}`.
std::string shown(const TemplatePart& part);

/// The parts of a text in order; neighbouring literals are one. `$${` stands for `${`. Errors:
/// invalid for a place that is not closed, has another source, a malformed pointer, no name or no
/// path.
Result<std::vector<TemplatePart>> template_parts(std::string_view text);

}  // namespace forerun
