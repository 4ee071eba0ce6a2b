#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace forerun {

struct DevSettings {
  std::filesystem::path binary;
  std::filesystem::path catalog;
  std::filesystem::path data;  ///< Kept between runs; empty: a temporary folder.
  std::size_t slots = 4;
  std::string output = "text";  ///< Or json: one line, for programs.
};

/// A coordinator and a node on loopback that stay up until SIGTERM or SIGINT; prints `curl` lines
/// that work, or where they are. Returns the exit code.
Result<int> run_dev(const DevSettings& settings);

}  // namespace forerun
