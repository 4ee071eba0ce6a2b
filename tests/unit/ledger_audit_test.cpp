#include "speculation/ledger_audit.hpp"

#include <catch2/catch.hpp>

#include "tests/support/written_ledger.hpp"

using namespace forerun;
using namespace forerun::test;

namespace {

LedgerAudit read(const WrittenLedger& ledger) {
  LedgerAudit audit("export", first_key.public_key());
  for (const WrittenLedger::Row& row : ledger.rows) {
    REQUIRE(audit.take(row.leaf, row.call, row.output).has_value());
  }
  return audit;
}

std::string message_of(const Result<void>& result) {
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == Errc::verification);
  return result.error().message;
}

}  // namespace

TEST_CASE("a whole ledger with its signed head holds", "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  const LedgerAudit audit = read(ledger);
  CHECK(audit.check_whole(ledger.head(second_key)).has_value());
  CHECK(audit.size() == 5);
  CHECK(audit.counts().recomputed == 3);
  CHECK(audit.counts().not_recomputed == 0);
}

TEST_CASE("an output that is not the recorded one is named", "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  LedgerAudit audit("export");
  REQUIRE(audit.take(ledger.rows[0].leaf, "", "").has_value());
  const auto taken = audit.take(ledger.rows[1].leaf, ledger.rows[1].call, "1");
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().message == "export: entry 1: output_hash: found " + to_hex(sha256("0")) +
                                     ", expected " + to_hex(sha256("1")) +
                                     ", which is that of its output");
}

TEST_CASE("a head of more or fewer entries names the first that is missing or too many",
          "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  LedgerAudit audit = read(ledger);
  WrittenLedger longer = ledger;
  longer.step(Epoch{2});
  CHECK(message_of(audit.check_whole(longer.head(second_key))) ==
        "export: entry 5: found nothing, expected an entry: the signed head has 6");
  REQUIRE(audit.take(longer.rows[5].leaf, longer.rows[5].call, "").has_value());
  CHECK(message_of(audit.check_whole(ledger.head(second_key))) ==
        "export: entry 5: found an entry, expected nothing: the signed head has 5");
}

TEST_CASE("a head holds only by the key of its own term, at any size of it", "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  const LedgerAudit audit = read(ledger);
  const auto head_at = [&](std::uint64_t size, Epoch epoch) {
    return LedgerHead{size, audit.root_at(size), epoch};
  };
  CHECK(audit.check_signed("node-1", sign_head(first_key, head_at(2, Epoch{1}))).has_value());
  CHECK(audit.check_signed("node-1", sign_head(second_key, head_at(4, Epoch{2}))).has_value());
  CHECK_THAT(message_of(audit.check_signed("node-1", sign_head(second_key, head_at(2, Epoch{1})))),
             Catch::Contains("node-1: head of size 2: public_key: found " +
                             to_hex(second_key.public_key()) + ", expected " +
                             to_hex(first_key.public_key())));
  CHECK_THAT(message_of(audit.check_signed("node-1", sign_head(second_key, head_at(3, Epoch{2})))),
             Catch::Contains("epoch: found 2"));
  CHECK_THAT(message_of(audit.check_signed("node-1", sign_head(first_key, head_at(4, Epoch{1})))),
             Catch::Contains("epoch: found 1"));
  SignedHead forged = sign_head(first_key, head_at(2, Epoch{1}));
  forged.head.root = sha256("another");
  CHECK_THAT(message_of(audit.check_signed("node-1", forged)), Catch::Contains("signature"));
}

TEST_CASE("a replica's head is a prefix or is named with both roots", "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  LedgerAudit audit("coordinator", first_key.public_key());
  audit.watch(2);
  for (const WrittenLedger::Row& row : ledger.rows) {
    REQUIRE(audit.take(row.leaf, row.call, row.output).has_value());
  }
  for (std::uint64_t size = 0; size <= audit.size(); ++size) {
    CHECK(audit.root_at(size) == read(ledger).root_at(size));
    CHECK(audit.check_prefix("node-2", {size, audit.root_at(size), {}}).has_value());
  }
  const Digest other = sha256("other");
  CHECK(message_of(audit.check_prefix("node-2", {2, other, {}})) ==
        "node-2: head of size 2: root: found " + to_hex(other) + ", expected " +
            to_hex(audit.root_at(2)));
  CHECK(message_of(audit.check_prefix("node-2", {6, other, {}})) ==
        "node-2: head of size 6: size: found 6, expected at most 5, the entries of coordinator");
}

TEST_CASE("a step whose output or call was erased counts as not recomputed", "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  LedgerAudit audit("export");
  for (std::size_t i = 0; i < ledger.rows.size(); ++i) {
    const WrittenLedger::Row& row = ledger.rows[i];
    REQUIRE(audit.take(row.leaf, i == 1 ? "" : row.call, i == 2 ? "" : row.output).has_value());
  }
  CHECK(audit.counts().recomputed == 1);
  CHECK(audit.counts().not_recomputed == 2);
}
