// What earlier versions left on their disks is read (tests/data/golden; tests/cluster/make_golden.py).
#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "base/hex.hpp"
#include "base/json.hpp"
#include "speculation/ledger_audit.hpp"
#include "speculation/ledger_checker.hpp"
#include "storage/checked_recovery.hpp"
#include "storage/store_settings.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;

namespace {

const std::filesystem::path golden_folder = GOLDEN_FOLDER;

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A golden version's stores as files of their own.
struct Golden {
  explicit Golden(const std::filesystem::path& version) {
    for (const char* name : {"ledger", "replica", "identity"}) {
      sqlite3* database = nullptr;
      const auto file = directory.path() / (std::string(name) + ".db");
      REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
      const std::string sql = text_of(version / (std::string(name) + ".sql"));
      REQUIRE(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
      sqlite3_close(database);
    }
    const auto value = json::parse(text_of(version / "expected.json"));
    REQUIRE(value);
    entries = static_cast<std::uint64_t>(*value->find("entries")->number());
    root = *value->find("root")->string();
    key.bytes = array_of<32>(*value->find("ledger_key")->string());
    expected = *value;
  }
  template <std::size_t size>
  static std::array<std::uint8_t, size> array_of(const std::string& hex) {
    std::array<std::uint8_t, size> out{};
    const auto bytes = from_hex(hex);
    REQUIRE(bytes);
    REQUIRE(bytes->size() == size);
    std::copy(bytes->begin(), bytes->end(), out.begin());
    return out;
  }

  TempDirectory directory;
  std::uint64_t entries = 0;
  std::string root;
  PublicKey key;
  json::Value expected;
};

std::vector<std::filesystem::path> versions() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder)) {
    if (entry.is_directory()) {
      found.push_back(entry.path());
    }
  }
  REQUIRE_FALSE(found.empty());
  return found;
}

/// What ledger format 6 added, as expected.json has it; an older file has nothing of it.
void check_rows_of_format_6(const CoordinatorRecovery& recovery, const json::Value& expected) {
  json::Object owners;
  for (const OwnerRow& row : recovery.owners) {
    owners.set(to_string(row.worker), json::Array{row.node.name, row.name});
  }
  json::Array quarantined;
  for (const NodeId& node : recovery.quarantined) {
    quarantined.emplace_back(node.name);
  }
  json::Array texts;
  for (const TextRow& row : recovery.texts) {
    CHECK(row.place == texts.size());  // All are of one session.
    texts.emplace_back(json::Array{std::uint64_t{row.before.value}, row.text});
  }
  const auto said = [&expected](const char* name, const json::Value& otherwise) {
    const json::Value* value = expected.find(name);
    return json::canonical(value == nullptr ? otherwise : *value);
  };
  CHECK(json::canonical(owners) == said("owners", json::Object()));
  CHECK(json::canonical(quarantined) == said("quarantined", json::Array()));
  CHECK(json::canonical(texts) == said("texts", json::Array()));
  const bool is_newer = expected.find("owners") != nullptr;
  CHECK(recovery.marks.size() == (is_newer ? owners.size() : 2));
  CHECK(is_newer == std::any_of(recovery.keys.begin(), recovery.keys.end(), [](const KeyRow& row) {
          return row.scope == "open:default" && row.key == "opening-key";
        }));
  const auto is_cut = [](const SessionRow& row) { return row.list_state == "{}"; };
  CHECK(is_newer == std::any_of(recovery.sessions.begin(), recovery.sessions.end(), is_cut));
}

}  // namespace

TEST_CASE("a coordinator starts from the stores of each earlier format", "[golden_store]") {
  for (const auto& version : versions()) {
    INFO(version);
    const Golden golden(version);
    const auto store = good(open_coordinator_store(golden.directory.path(), simulated_settings()));
    const auto checked = good(recover_checked(*store, "golden", golden.key, [](const StoredEntry&) {}));
    CHECK(checked.ledger.head().size == golden.entries);
    CHECK(to_hex(checked.ledger.head().root) == golden.root);
    const CoordinatorRecovery& recovery = checked.recovery;
    CHECK(recovery.sessions.size() == 2);  // One that was left open, and one in the middle of a write.
    REQUIRE(recovery.intents.size() == 1);
    CHECK(recovery.intents[0].is_write);
    CHECK(recovery.intents[0].key == "write-key");
    CHECK(recovery.effects.size() == 2);
    CHECK(recovery.history.size() == 1);
    check_rows_of_format_6(recovery, golden.expected);
    CHECK(std::any_of(recovery.keys.begin(), recovery.keys.end(),
                      [](const KeyRow& row) { return row.key == "open-key"; }));
    CHECK(good(store->text("catalog.toml"))->find("[task.double]") != std::string::npos);
    LedgerAudit audit("golden");
    for (const StoredEntry& entry : good(store->read(Seq{0}, golden.entries, true))) {
      REQUIRE(audit.take(entry.leaf, {entry.call, entry.output, entry.writes, entry.effects}));
    }
    CHECK(audit.size() == golden.entries);
  }
}

TEST_CASE("a node starts from the stores of each earlier format", "[golden_store]") {
  for (const auto& version : versions()) {
    INFO(version);
    const Golden golden(version);
    const auto store = good(open_replica_store(golden.directory.path(), simulated_settings()));
    LedgerChecker checker(golden.key);
    std::uint64_t size = 0;
    const auto recovery = good(store->recover([&](const StoredEntry& entry) {
      REQUIRE(checker.take(entry.leaf, entry.call));
      ++size;
    }));
    CHECK(size == golden.entries);
    CHECK(recovery.head);
    const auto identities = good(open_identity_store(golden.directory.path(), simulated_settings()));
    CHECK(good(identities->load()).workers.size() == 1);
  }
}
