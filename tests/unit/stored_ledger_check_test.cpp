#include "speculation/stored_ledger_check.hpp"

#include <catch2/catch.hpp>

#include "tests/support/written_ledger.hpp"

using namespace forerun;
using namespace forerun::test;

namespace {

/// A ledger of two terms as a store gave it back, with what it kept of heads.
struct Stored {
  WrittenLedger written = two_terms();
  CoordinatorRecovery kept;

  Stored() {
    kept.head = written.checker.head();
    kept.signed_head = written.head(second_key);
  }
  Result<void> check(const SigningKey& key = second_key) const {
    StoredLedgerCheck check;
    for (std::uint64_t i = 0; i < written.rows.size(); ++i) {
      StoredEntry entry;
      entry.seq = Seq{i};
      entry.epoch = Epoch{i < 3 ? 1U : 2U};
      entry.leaf = written.rows[i].leaf;
      check.take(entry);
    }
    return check.finish(kept, key.public_key());
  }
};

std::string message_of(const Result<void>& result, Errc code = Errc::verification) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == code);
  return result.error().message;
}

}  // namespace

TEST_CASE("entries with the root that was kept with them hold", "[stored_ledger]") {
  Stored stored;
  CHECK(stored.check().has_value());
  stored.kept.signed_head.reset();  // None was signed before the process ended.
  CHECK(stored.check().has_value());
  CHECK(StoredLedgerCheck().finish({}, first_key.public_key()).has_value());
}

TEST_CASE("a ledger whose older version kept no head is taken as it is", "[stored_ledger]") {
  Stored stored;
  stored.kept = {};
  CHECK(stored.check().has_value());
}

TEST_CASE("a changed byte changes the root", "[stored_ledger]") {
  Stored stored;
  std::string& leaf = stored.written.rows[1].leaf;
  leaf.replace(leaf.find("[0.007]"), 7, "[0.008]");  // A latency: no other hash covers it.
  CHECK_THAT(message_of(stored.check()),
             Catch::Matchers::StartsWith("entries 0 to 4: root: found ") &&
                 Catch::Matchers::Contains(", expected " + to_hex(stored.kept.head->root)));
}

TEST_CASE("entries that are missing or too many are counted", "[stored_ledger]") {
  Stored stored;
  stored.written.step(Epoch{2});
  CHECK(message_of(stored.check()) == "entry 5: found an entry, expected nothing: 5 were written");
  stored.written.rows.resize(4);
  CHECK(message_of(stored.check()) == "entry 4: found nothing, expected an entry: 5 were written");
}

TEST_CASE("who rewrites the ledger and its root is caught by the head that was signed",
          "[stored_ledger]") {
  Stored stored;
  const SignedHead head = *stored.kept.signed_head;
  std::string& leaf = stored.written.rows[1].leaf;
  leaf.replace(leaf.find("[0.007]"), 7, "[0.008]");
  merkle::Frontier frontier;
  for (const WrittenLedger::Row& row : stored.written.rows) {
    frontier.append(merkle::leaf_hash(row.leaf));
  }
  stored.kept.head->root = frontier.root();
  CHECK_THAT(
      message_of(stored.check()),
      Catch::Matchers::EndsWith(", expected " + to_hex(head.head.root) + ", which was signed"));

  stored.kept.signed_head->head.root = frontier.root();
  CHECK_THAT(message_of(stored.check()),
             Catch::Matchers::StartsWith("signed head of size 5: signature"));

  stored.kept.signed_head = head;
  stored.kept.head.reset();
  CHECK_THAT(message_of(stored.check()),
             Catch::Matchers::StartsWith("head of all entries: found none"));

  stored.written.rows.resize(4);
  stored.kept.head = LedgerHead{
      4,
      merkle::root([&](std::uint64_t i) { return merkle::leaf_hash(stored.written.rows[i].leaf); },
                   4),
      Epoch{2}};
  CHECK(message_of(stored.check()) == "entry 4: found nothing, expected an entry: 5 were written");
}

TEST_CASE("no other key than the last term's signs on", "[stored_ledger]") {
  const Stored stored;
  CHECK_THAT(message_of(stored.check(first_key), Errc::refused),
             Catch::Matchers::StartsWith("ledger key: found " + to_hex(first_key.public_key()) +
                                         ", expected " + to_hex(second_key.public_key())));
}
