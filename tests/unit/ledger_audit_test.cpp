#include "speculation/ledger_audit.hpp"

#include <catch2/catch.hpp>

#include "tests/support/written_ledger.hpp"

using namespace forerun;
using namespace forerun::test;

namespace {

LedgerAudit read(const WrittenLedger& ledger) {
  LedgerAudit audit("export", first_key.public_key());
  for (const WrittenLedger::Row& row : ledger.rows) {
    REQUIRE(audit.take(row.leaf, {row.call, row.output}).has_value());
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
  REQUIRE(audit.take(ledger.rows[0].leaf, {}).has_value());
  const auto taken = audit.take(ledger.rows[1].leaf, {ledger.rows[1].call, "1"});
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().message == "export: entry 1: output_hash: found " + to_hex(sha256("0")) +
                                     ", expected " + to_hex(sha256("1")) +
                                     ", which is that of its output");
  // The leaf itself holds: it is what the roots speak of.
  CHECK(audit.size() == 2);
  CHECK(audit.root_at(1) == read(ledger).root_at(1));
  CHECK(audit.root_at(2) == read(ledger).root_at(2));
}

TEST_CASE("writes and effects are held against their hashes, and erased ones are counted",
          "[ledger_audit]") {
  const std::string writes = R"({"x":1})";
  const std::string effects = R"([{"http":{"method":"GET","url":"http://a.example"}}])";
  WrittenLedger ledger;
  ledger.add(Epoch{1}, EpochEntry{"start", "0.1.0", first_key.public_key(), {}, {}});
  ledger.step(Epoch{1}, sha256(writes), sha256(effects));
  const WrittenLedger::Row& row = ledger.rows[1];
  const auto taken = [&](const std::string& its_writes, const std::string& its_effects) {
    LedgerAudit audit("export");
    REQUIRE(audit.take(ledger.rows[0].leaf, {}).has_value());
    const auto entry = audit.take(row.leaf, {row.call, row.output, its_writes, its_effects});
    return entry ? std::to_string(audit.counts().recomputed) : entry.error().message;
  };
  CHECK(taken(writes, effects) == "1");
  CHECK(taken("", effects) == "0");
  CHECK(taken(writes, "") == "0");
  CHECK(taken("{}", effects) == "export: entry 1: writes_hash: found " + to_hex(sha256(writes)) +
                                    ", expected " + to_hex(sha256("{}")) +
                                    ", which is that of its writes");
  CHECK_THAT(taken(writes, "[]"), Catch::StartsWith("export: entry 1: effects_hash: found "));
  LedgerAudit audit("export");
  const WrittenLedger plain = two_terms();
  REQUIRE(audit.take(plain.rows[0].leaf, {}).has_value());
  CHECK_THAT(audit.take(plain.rows[1].leaf, {plain.rows[1].call, plain.rows[1].output, writes})
                 .error()
                 .message,
             Catch::StartsWith("export: entry 1: writes_hash: found null, expected "));
}

namespace {

/// A time that no rule ties to anything: only a root shows that it was changed.
void change_time(WrittenLedger& ledger, std::size_t at) {
  std::string& leaf = ledger.rows[at].leaf;
  const auto place = leaf.find("\"branch_latencies_ms\":[0.007]");
  REQUIRE(place != std::string::npos);
  leaf.replace(place, 29, "\"branch_latencies_ms\":[0.008]");
}

}  // namespace

TEST_CASE("a change that only a root shows is narrowed to the entries of one term",
          "[ledger_audit]") {
  const WrittenLedger honest = two_terms();
  const std::string known =
      " (one or more were changed, a root cannot tell which): root up to them: found ";
  SECTION("in an earlier term, which the next one's entry has signed") {
    WrittenLedger ledger = honest;
    change_time(ledger, 1);
    LedgerAudit audit("export");
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(audit.take(ledger.rows[i].leaf, {ledger.rows[i].call}).has_value());
    }
    const auto taken = audit.take(ledger.rows[3].leaf, {});
    REQUIRE_FALSE(taken.has_value());
    CHECK(taken.error().message == "export: entries 0 to 2" + known + to_hex(audit.root_at(3)) +
                                       ", expected " + to_hex(read(honest).root_at(3)) +
                                       ", as entry 3 has signed");
  }
  SECTION("in the last term, which the head has signed") {
    WrittenLedger ledger = honest;
    change_time(ledger, 4);
    const LedgerAudit audit = read(ledger);
    CHECK_THAT(message_of(audit.check_whole(honest.head(second_key))),
               Catch::StartsWith("export: entries 3 to 4" + known + to_hex(audit.root_at(5))) &&
                   Catch::EndsWith(", as the head has signed"));
  }
  SECTION("a term's entry that is not as it was signed says nothing of those before") {
    WrittenLedger ledger = honest;
    std::string& leaf = ledger.rows[3].leaf;
    const std::string root = to_hex(read(honest).root_at(3));
    leaf.replace(leaf.find(root), root.size(), to_hex(sha256("another")));
    LedgerAudit audit("export");
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(audit.take(ledger.rows[i].leaf, {ledger.rows[i].call}).has_value());
    }
    const auto taken = audit.take(leaf, {});
    REQUIRE_FALSE(taken.has_value());
    CHECK_THAT(taken.error().message, Catch::StartsWith("export: entry 3: root: found "));
  }
  SECTION("under a forged head the earlier terms stand") {
    SignedHead head = honest.head(second_key);
    head.head.root = sha256("another");
    CHECK_THAT(message_of(read(honest).check_whole(head)),
               Catch::Contains("head of size 5: signature: found ") &&
                   Catch::EndsWith("; the entries before 3 are as that entry has signed"));
  }
}

TEST_CASE("an entry that is a term of its own is named when it was changed", "[ledger_audit]") {
  WrittenLedger ledger;
  ledger.add(Epoch{1}, EpochEntry{"start", "0.1.0", first_key.public_key(), {}, {}});
  const SignedHead head = ledger.head(first_key);
  LedgerAudit audit("export");
  std::string leaf = ledger.rows[0].leaf;
  leaf.replace(leaf.find("0.1.0"), 5, "0.1.1");
  REQUIRE(audit.take(leaf, {}).has_value());
  CHECK_THAT(message_of(audit.check_whole(head)),
             Catch::StartsWith("export: entry 0: root up to it: found "));
}

TEST_CASE("a head of more or fewer entries names the first that is missing or too many",
          "[ledger_audit]") {
  const WrittenLedger ledger = two_terms();
  LedgerAudit audit = read(ledger);
  WrittenLedger longer = ledger;
  longer.step(Epoch{2});
  CHECK(message_of(audit.check_whole(longer.head(second_key))) ==
        "export: entry 5: found nothing, expected an entry: the signed head has 6");
  REQUIRE(audit.take(longer.rows[5].leaf, {longer.rows[5].call}).has_value());
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
    REQUIRE(audit.take(row.leaf, {row.call, row.output}).has_value());
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
    REQUIRE(audit.take(row.leaf, {i == 1 ? "" : row.call, i == 2 ? "" : row.output}).has_value());
  }
  CHECK(audit.counts().recomputed == 1);
  CHECK(audit.counts().not_recomputed == 2);
}
