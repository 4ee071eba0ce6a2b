#include <array>
#include <fstream>

#include "files/ledger_export.hpp"
#include "files/replay_record.hpp"
#include "speculation/entry.hpp"
#include "speculation/ledger_checker.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

namespace {

constexpr std::array<const char*, 6> names{"ledger.jsonl", "inputs.jsonl",  "outputs.jsonl",
                                           "head.json",    "catalog.toml", "states.jsonl"};

std::filesystem::path folder() {
  static const fuzz::Folder made;
  return made.path();
}

}  // namespace

/// An export's files, divided by lines of "--"; a file that is not there is absent.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts_of(fuzz::text_of(data, size));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::filesystem::path file = folder() / names[i];
    std::filesystem::remove(file);
    if (i < parts.size()) {
      std::ofstream(file, std::ios::binary) << parts[i];
    }
  }
  const auto ledger = read_ledger_export(folder());
  if (!ledger) {
    return 0;
  }
  for (const std::string& leaf : ledger->leaves) {
    const auto entry = entry_of(leaf);
    if (entry && !std::holds_alternative<UnknownEntry>(entry->body)) {
      fuzz::require(entry_of(leaf_of(*entry)).has_value(), "what was read has a leaf that reads");
    }
  }
  read_replay_record(folder());
  return 0;
}
