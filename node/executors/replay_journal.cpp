#include "node/executors/replay_journal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/json.hpp"

namespace forerun {

Result<ReplayJournal> ReplayJournal::open(const std::filesystem::path& file) {
  Descriptor opened(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!opened.is_open()) {
    return fail(Errc::io, file.string() + ": " + std::strerror(errno));
  }
  return ReplayJournal(std::move(opened));
}

Result<void> ReplayJournal::add(const ReplayedRun& run) {
  json::Object line;
  line.set("input_sha256", to_hex(sha256(run.input)));
  line.set("run_id", run.run_id);
  line.set("task", run.task);
  const std::string text = json::canonical(line) + "\n";
  if (::write(file_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail(Errc::io, std::string("replay journal: a line could not be written: ") +
                              std::strerror(errno));
  }
  return {};
}

Result<void> read_replay_journal(const std::filesystem::path& file, std::set<JournalKey>& runs) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    return {};
  }
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (in.eof()) {
      break;  // No end of line: its writer was killed.
    }
    const auto value = json::parse(line);
    const auto text = [&](std::string_view name) -> const std::string* {
      const json::Value* member = value ? value->find(name) : nullptr;
      return member == nullptr ? nullptr : member->string();
    };
    const std::string* input = text("input_sha256");
    const std::string* run_id = text("run_id");
    const std::string* task = text("task");
    const auto digest = digest_from_hex(input != nullptr ? *input : std::string());
    if (!digest || run_id == nullptr || task == nullptr) {
      return fail(Errc::invalid, file.string() + " line " + std::to_string(number) +
                                     ": expected input_sha256, run_id and task");
    }
    runs.insert({*run_id, *task, *digest});
  }
  return in.bad() ? fail(Errc::io, file.string() + ": reading failed") : Result<void>();
}

}  // namespace forerun
