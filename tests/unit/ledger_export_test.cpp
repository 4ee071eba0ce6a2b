#include "files/ledger_export.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/temp_directory.hpp"

using namespace forerun;

namespace {

/// A small export in a folder of its own, as `ledger export` writes it.
struct Folder {
  Folder() {
    write("ledger.jsonl", "{\"seq\":0}\n{\"seq\":1}\n");
    write("inputs.jsonl",
          "{\"call\":" + call + ",\"input_hash\":\"" + to_hex(sha256(call)) + "\"}\n");
    write("outputs.jsonl", "{\"output\":7,\"output_hash\":\"" + to_hex(sha256("7")) + "\"}\n");
    write("head.json", head_json(head) + "\n");
    write("catalog.toml", "[task.a]\n");
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }

  test::TempDirectory directory;
  std::filesystem::path path = directory.path();
  std::string call = R"({"input":{"n":1e+30},"task":"a"})";
  SignedHead head = sign_head(SigningKey::from_seed({1}), {2, sha256("root"), Epoch{1}});
};

Error refused(const Folder& folder, const LedgerExportLimits& limits = {}) {
  const auto read = read_ledger_export(folder.path, limits);
  REQUIRE_FALSE(read.has_value());
  return read.error();
}

}  // namespace

TEST_CASE("an export is read back as it was written", "[ledger_export]") {
  const Folder folder;
  const auto read = read_ledger_export(folder.path);
  REQUIRE(read.has_value());
  CHECK(read->leaves == std::vector<std::string>{"{\"seq\":0}", "{\"seq\":1}"});
  CHECK(read->calls.at(sha256(folder.call)) == folder.call);
  CHECK(read->outputs.at(sha256("7")) == "7");
  CHECK(read->head == folder.head);
  CHECK(read->catalog == "[task.a]\n");
}

TEST_CASE("an export of an older version holds no states, writes and effects", "[ledger_export]") {
  const Folder folder;
  const auto older = read_ledger_export(folder.path);
  REQUIRE(older.has_value());
  CHECK((older->states.empty() && older->writes.empty() && older->effects.empty()));
  const auto line = [](const std::string& name, const std::string& text) {
    return "{\"" + name + "\":" + text + ",\"" + name + "_hash\":\"" + to_hex(sha256(text)) +
           "\"}\n";
  };
  folder.write("writes.jsonl", line("writes", R"({"x":1})"));
  folder.write("effects.jsonl", line("effects", "[1]"));
  folder.write("states.jsonl", "{\"seq\":1,\"state_hash\":\"" + to_hex(sha256("s")) + "\"}\n");
  const auto read = read_ledger_export(folder.path);
  REQUIRE(read.has_value());
  CHECK(read->writes.at(sha256(R"({"x":1})")) == R"({"x":1})");
  CHECK(read->effects.at(sha256("[1]")) == "[1]");
  CHECK(read->states == std::map<Seq, Digest>{{Seq{1}, sha256("s")}});
  for (const std::string bad : {R"({"seq":1})", R"({"seq":-1,"state_hash":"00"})",
                                R"({"seq":1e300,"state_hash":"00"})", "{"}) {
    folder.write("states.jsonl", bad + "\n");
    CHECK_THAT(refused(folder).message, Catch::StartsWith("states.jsonl line 1: "));
  }
}

TEST_CASE("an export of a newer format is refused, and one without a format is of the first",
          "[ledger_export]") {
  Folder folder;
  folder.write("format.json", ledger_export_format_json());
  CHECK(read_ledger_export(folder.path).has_value());
  folder.write("format.json", "{\"format\":2}\n");
  const Error newer = refused(folder);
  CHECK(newer.code == Errc::refused);
  CHECK(newer.message ==
        "format.json: written by a newer Forerun: found format 2, expected at most 1: read it with "
        "the version that wrote it, or a later one");
  folder.write("format.json", "{}");
  CHECK(refused(folder).code == Errc::invalid);
}

TEST_CASE("exports of each earlier format are read", "[ledger_export]") {
  std::size_t found = 0;
  for (const auto& version : std::filesystem::directory_iterator(GOLDEN_FOLDER)) {
    INFO(version.path());
    const auto read = read_ledger_export(version.path() / "export");
    REQUIRE(read);
    CHECK(read->leaves.size() == read->head.head.size);
    CHECK(verify_head(read->head));
    CHECK_FALSE(read->calls.empty());
    CHECK_FALSE(read->effects.empty());
    CHECK(read->opened_with.size() == 1);
    ++found;
  }
  CHECK(found > 0);
}

TEST_CASE("a call or an output with another's hash is refused by file and line",
          "[ledger_export]") {
  const Folder folder;
  folder.write("outputs.jsonl", "{\"output\":8,\"output_hash\":\"" + to_hex(sha256("7")) + "\"}\n");
  const Error error = refused(folder);
  CHECK(error.code == Errc::verification);
  CHECK_THAT(error.message,
             Catch::StartsWith("outputs.jsonl line 1: output_hash: found " + to_hex(sha256("7")) +
                               ", expected " + to_hex(sha256("8"))));
}

TEST_CASE("an export that lacks a file, or is malformed, says which", "[ledger_export]") {
  const Folder folder;
  folder.write("head.json", "{}");
  CHECK_THAT(refused(folder).message, Catch::StartsWith("head.json: "));
  folder.write("inputs.jsonl", "{\"call\":1}\n");
  CHECK_THAT(refused(folder).message, Catch::StartsWith("inputs.jsonl line 1: "));
  std::filesystem::remove(folder.path / "ledger.jsonl");
  CHECK(refused(folder).code == Errc::not_found);
  std::filesystem::create_directory(folder.path / "ledger.jsonl");
  CHECK(refused(folder).code == Errc::io);
}

TEST_CASE("an export's files and lines have limits", "[ledger_export]") {
  const Folder folder;
  CHECK(refused(folder, {8, 9U << 20U}).code == Errc::too_large);
  CHECK(refused(folder, {std::size_t{4} << 30U, 8}).code == Errc::too_large);
}
