#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "coordinator/declared_tasks.hpp"
#include "files/session_files.hpp"
#include "files/traces.hpp"

namespace forerun {

struct SimulationSource {
  std::vector<std::filesystem::path> traces;  ///< Files; a folder is a ledger's export.
  SessionFormat format = SessionFormat::traces;
  std::filesystem::path train;    ///< Empty: none.
  std::string read_only;          ///< A file or a pattern; empty: what the catalog says, else all.
  std::filesystem::path catalog;  ///< Empty: an export's own, else none.
  TimeModels times;
  std::uint64_t seed = 1;
};

/// Sessions as a simulation needs them, all times filled in.
struct SimulationInput {
  std::vector<TraceSession> sessions, history;
  ReadOnlyTasks read_only;
  DeclaredTasks declared;       ///< What the catalog says of them.
  bool is_upper_bound = false;  ///< Nobody said which tasks only read: all are taken so.
  std::string heading;          ///< What a reader must know before the first figure.
};

/// What a catalog file says of its tasks. Errors: those of reading it.
Result<DeclaredTasks> read_declared(const std::filesystem::path& catalog);

/// Reads all sessions. Of equal names in several files the later ones get their file's name in
/// front. A task reads only if it does in every file. Errors: those of the readers; invalid where
/// no session has a step.
Result<SimulationInput> read_simulation_input(const SimulationSource& source);

}  // namespace forerun
