#include "apps/ledger_commands.hpp"

#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "cluster/keys.hpp"
#include "speculation/entry.hpp"
#include "speculation/explanation.hpp"
#include "speculation/ledger_audit.hpp"
#include "speculation/merkle.hpp"
#include "storage/checked_recovery.hpp"
#include "storage/store.hpp"

namespace forerun {
namespace {

constexpr std::size_t rows_at_once = 512;

/// A ledger on disk that is as it was written, and what its heads are signed with.
struct OpenLedger {
  std::unique_ptr<CoordinatorStore> store;
  SigningKey key;
  StoredLedgerCheck checked;

  SignedHead head() const { return sign_head(key, checked.head()); }
};

/// `visit` gets every entry, before they are judged together.
Result<OpenLedger> open_ledger(
    const std::filesystem::path& data,
    const std::function<void(const StoredEntry&)>& visit = [](const StoredEntry&) {}) {
  if (!std::filesystem::exists(data / "ledger.db")) {
    return fail(Errc::not_found,
                data.string() + ": no ledger.db, expected a coordinator's data directory (--data)");
  }
  auto store = open_coordinator_store_readonly(data);
  if (!store) {
    return tl::unexpected<Error>(store.error());
  }
  if (!std::filesystem::exists(data / "keys" / "ledger.key")) {
    return fail(Errc::not_found, data.string() +
                                     ": no keys/ledger.key, expected the key that "
                                     "signs this ledger: put the keys folder back");
  }
  const auto keys = KeyFolder::open_or_create(data);
  if (!keys) {
    return tl::unexpected<Error>(keys.error());
  }
  auto checked = recover_checked(**store, data.string(), keys->ledger().public_key(), visit);
  if (!checked) {
    return tl::unexpected<Error>(checked.error());
  }
  return OpenLedger{std::move(*store), keys->ledger(), std::move(checked->ledger)};
}

/// `{"<value>": …, "<hash>": "…"}` a line, each text once.
class TextsFile {
public:
  TextsFile(const std::filesystem::path& folder, const char* name, std::string value,
            std::string hash)
      : out_(folder / name, std::ios::binary), value_(std::move(value)), hash_(std::move(hash)) {}

  /// An empty text is none.
  void add(const std::string& text) {
    if (text.empty()) {
      return;
    }
    const Digest digest = sha256(text);
    if (seen_.insert(digest).second) {
      out_ << "{\"" << value_ << "\":" << text << ",\"" << hash_ << "\":\"" << to_hex(digest)
           << "\"}\n";
    }
  }
  bool flush() { return static_cast<bool>(out_.flush()); }

private:
  std::ofstream out_;
  std::string value_;
  std::string hash_;
  std::set<Digest> seen_;
};

/// Visits the first `size` entries in order.
template <class Visit>
Result<void> each_entry(CoordinatorStore& store, std::uint64_t size, Visit&& visit) {
  for (std::uint64_t from = 0; from < size;) {
    const auto rows =
        store.read(Seq{from}, std::min<std::uint64_t>(rows_at_once, size - from), true);
    if (!rows) {
      return tl::unexpected<Error>(rows.error());
    }
    if (rows->empty()) {
      return fail(Errc::verification,
                  "ledger: entry " + std::to_string(from) + ": found nothing, expected an entry");
    }
    for (const StoredEntry& row : *rows) {
      visit(row);
    }
    from += rows->size();
  }
  return {};
}

}  // namespace

Result<void> ledger_export(const std::filesystem::path& data, const std::filesystem::path& folder,
                           std::ostream& out) {
  // What lies beside the entries is not signed, but an auditor would find it wrong.
  LedgerAudit audit(data.string() + "/ledger.db");
  Result<void> judged;
  auto ledger = open_ledger(data);
  if (!ledger) {
    return tl::unexpected<Error>(ledger.error());
  }
  const LedgerHead head = ledger->checked.head();
  const auto audited = each_entry(*ledger->store, head.size, [&](const StoredEntry& row) {
    if (judged) {
      judged = audit.take(row.leaf, {row.call, row.output, row.writes, row.effects})
                   .map([](const Entry&) {});
    }
  });
  if (!audited || !judged) {
    return audited ? judged : audited;
  }
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  const bool is_empty = !problem && std::filesystem::is_empty(folder, problem);
  if (problem) {
    return fail(Errc::io,
                folder.string() + ": " + problem.message() + ", expected a place for a new folder");
  }
  if (!is_empty) {
    return fail(Errc::refused, folder.string() + ": not an empty folder; give one that is new");
  }
  const auto catalog = ledger->store->text("catalog.toml");
  if (!catalog) {
    return tl::unexpected<Error>(catalog.error());
  }
  std::ofstream leaves(folder / "ledger.jsonl", std::ios::binary);
  std::ofstream states(folder / "states.jsonl", std::ios::binary);
  TextsFile inputs(folder, "inputs.jsonl", "call", "input_hash");
  TextsFile outputs(folder, "outputs.jsonl", "output", "output_hash");
  TextsFile writes(folder, "writes.jsonl", "writes", "writes_hash");
  TextsFile effects(folder, "effects.jsonl", "effects", "effects_hash");
  const auto visited = each_entry(*ledger->store, head.size, [&](const StoredEntry& row) {
    leaves << row.leaf << '\n';
    if (const auto state = given_state(row.story)) {
      const std::string first = opened_with(row.story);
      states << R"({"seq":)" << row.seq.value
             << (first.empty() ? std::string() : R"(,"state":)" + first) << R"(,"state_hash":")"
             << to_hex(*state) << "\"}\n";
    }
    inputs.add(row.call);
    outputs.add(row.output);
    writes.add(row.writes);
    effects.add(row.effects);
  });
  if (!visited) {
    return visited;
  }
  std::ofstream head_file(folder / "head.json", std::ios::binary);
  head_file << head_json(ledger->head()) << '\n';
  std::ofstream catalog_file(folder / "catalog.toml", std::ios::binary);
  catalog_file << catalog->value_or("");
  std::ofstream format_file(folder / "format.json", std::ios::binary);
  format_file << ledger_export_format_json();
  if (!leaves.flush() || !states.flush() || !inputs.flush() || !outputs.flush() ||
      !writes.flush() || !effects.flush() || !head_file.flush() || !catalog_file.flush() ||
      !format_file.flush()) {
    return fail(Errc::io, folder.string() + ": cannot be written, is the disk full?");
  }
  out << "{\"entries\":" << head.size << ",\"folder\":";
  std::string quoted;
  json::append_string(quoted, folder.string());
  out << quoted << ",\"root\":\"" << to_hex(head.root) << "\"}\n";
  return {};
}

Result<void> ledger_head(const std::filesystem::path& data, std::ostream& out) {
  auto ledger = open_ledger(data);
  if (!ledger) {
    return tl::unexpected<Error>(ledger.error());
  }
  out << head_json(ledger->head()) << '\n';
  return {};
}

Result<void> ledger_prove(const std::filesystem::path& data, std::uint64_t seq, std::ostream& out) {
  auto ledger = open_ledger(data);
  if (!ledger) {
    return tl::unexpected<Error>(ledger.error());
  }
  const std::vector<Digest>& leaves = ledger->checked.leaves();
  if (seq >= leaves.size()) {
    return fail(Errc::not_found, "entry " + std::to_string(seq) + ": the ledger has " +
                                     std::to_string(leaves.size()) +
                                     " entries, expected a number below that");
  }
  const auto rows = ledger->store->read(Seq{seq}, 1, false);
  if (!rows || rows->empty()) {
    return rows ? fail(Errc::verification, "entry " + std::to_string(seq) + ": found nothing")
                : tl::unexpected<Error>(rows.error());
  }
  json::Object proof;
  json::Array path;
  for (const Digest& digest :
       merkle::inclusion_proof([&](std::uint64_t i) { return leaves[i]; }, seq, leaves.size())) {
    path.emplace_back(to_hex(digest));
  }
  auto head = json::parse(head_json(ledger->head()));
  auto entry = json::parse(rows->front().leaf);
  if (!head || !entry) {
    return fail(Errc::verification,
                "entry " + std::to_string(seq) + ": its stored bytes are not JSON");
  }
  proof.set("seq", seq);
  proof.set("entry", std::move(*entry));
  proof.set("leaf_hash", to_hex(leaves[seq]));
  proof.set("inclusion", std::move(path));
  proof.set("head", std::move(*head));
  out << json::canonical(proof) << '\n';
  return {};
}

}  // namespace forerun
