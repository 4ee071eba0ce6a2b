#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace forerun {

inline constexpr std::size_t settings_bytes_max = 1 << 20;

/// One key of a file that `--config` names.
struct FileSetting {
  std::vector<std::string> tables;  ///< It lies under these, outermost first.
  std::string key;
  std::vector<std::string> values;  ///< As text; more than one, or none, of an array.
  std::string place;                ///< "forerun.toml:3", for messages.
};

/// The keys of a TOML file (https://toml.io, 1.0), by table in the file's order of names. Values
/// are strings, numbers, booleans and arrays of these; whether a key means anything is the caller's
/// to say. `file` names it in errors. Pure.
Result<std::vector<FileSetting>> read_settings(std::string_view text, const std::string& file);

}  // namespace forerun
