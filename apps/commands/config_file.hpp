#pragma once

#include <CLI/CLI.hpp>

namespace forerun {

/// Makes `--config` read TOML as files/settings_file.hpp does. A key that is no flag of its command
/// is an error that names file, line and the nearest flag.
void read_config_files(CLI::App& app);

}  // namespace forerun
