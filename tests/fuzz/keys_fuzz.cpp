#include <fstream>

#include "base/private_file.hpp"
#include "cluster/keys.hpp"
#include "speculation/entry.hpp"
#include "speculation/ids.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

namespace {

/// A data folder with good keys, of which the inputs replace one file or another.
std::filesystem::path folder() {
  static const fuzz::Folder made;
  static const bool has_keys = [] {
    auto keys = KeyFolder::open_or_create(made.path());
    return keys && keys->add("node-1");
  }();
  fuzz::require(has_keys, "keys can be made");
  return made.path();
}

void with_file(const char* name, std::string_view text) {
  const std::filesystem::path file = folder() / "keys" / name;
  const std::filesystem::path kept = file.string() + ".kept";
  std::filesystem::rename(file, kept);
  fuzz::require(write_private_file(file, text).has_value(), "a file can be written");
  if (const auto keys = KeyFolder::open_or_create(folder())) {
    static_cast<void>(keys->allowed());
  }
  std::filesystem::rename(kept, file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  if (const auto token = JoinToken::parse(text)) {
    fuzz::require(JoinToken::parse(token->text()).has_value(), "a token survives its text");
  }
  if (const auto run_id = RunId::parse(text)) {
    fuzz::require(to_string(*run_id) == text, "a run ID has one text");
  }
  static_cast<void>(head_from_json(text));
  for (const char* name : {"server.key", "ledger.key", "allowed"}) {
    with_file(name, text);
  }
  return 0;
}
