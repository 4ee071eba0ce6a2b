#include "speculation/entry.hpp"

#include <catch2/catch.hpp>

#include "base/json.hpp"
#include "speculation/call.hpp"
#include "speculation/entry_scan.hpp"

using namespace forerun;
using namespace std::chrono_literals;

namespace {

const SigningKey key = SigningKey::from_seed({7});
const WorkerId worker{Uuid::from_random({1, 2, 3})};

CommitEntry commit() {
  const Call call = Call::make("fraud", {});
  CommitEntry body;
  body.run_id = RunId{worker, 17};
  body.task = "fraud";
  body.input_hash = call.hash();
  body.chain = chain_start(call.canonical(), to_string(body.run_id));
  body.select = SelectRule::ordered;
  body.branch_names = {"fast", "slow"};
  body.branch_latencies = {1234us, {}};
  body.branch_validities = {true, {}};
  body.branch_causes = {{}, {}};
  body.workers = {worker, {}};
  body.winner = 0;
  body.output_hash = sha256("1");
  return body;
}

/// What comes back from the leaf writes the same leaf.
void require_round_trip(const Entry& entry) {
  const std::string leaf = leaf_of(entry);
  REQUIRE(json::canonical(json::parse(leaf).value()) == leaf);
  const auto read = entry_of(leaf);
  REQUIRE(read);
  REQUIRE(leaf_of(*read) == leaf);
}

}  // namespace

TEST_CASE("every kind of entry reads back from its leaf", "[entry]") {
  require_round_trip({Seq{0}, Epoch{1}, EpochEntry{"start", "0.1.0", key.public_key(), {}, {}}});
  require_round_trip(
      {Seq{1}, Epoch{2},
       EpochEntry{"failover", "0.1.0", key.public_key(), sha256("r"), key.sign("x")}});
  require_round_trip({Seq{2}, Epoch{2}, commit()});
  CommitEntry hit = commit();
  hit.origin = Origin::late_hit;
  hit.hit = HitRecord{SpeculationNumber{3}, 0.925, 2, 40'001us};
  hit.select = SelectRule::first;
  hit.arrival_order = {1, 0};
  hit.writes_hash = sha256("w");
  hit.effects_hash = sha256("e");
  hit.wasted = 99us;
  require_round_trip({Seq{3}, Epoch{2}, hit});
  CommitEntry failed = commit();
  failed.winner = {};
  failed.output_hash = {};
  failed.branch_validities = {false, false};
  failed.branch_causes = {"exit code 1", "timed out: \"late\""};
  require_round_trip({Seq{4}, Epoch{2}, failed});
  require_round_trip({Seq{5}, Epoch{2},
                      DiscardEntry{RunId{worker, 1},
                                   SpeculationNumber{4},
                                   "t",
                                   sha256("i"),
                                   DiscardCause::session_ended,
                                   0.5,
                                   1,
                                   2500us,
                                   {worker}}});
}

TEST_CASE("a commit's leaf is exactly the documented text", "[entry]") {
  const CommitEntry body = commit();
  REQUIRE(
      leaf_of({Seq{9}, Epoch{2}, body}) ==
      R"({"branch_causes":[null,null],"branch_latencies_ms":[1.234,null],"branch_names":["fast","slow"],)"
      R"("branch_validities":[true,null],"decision_hash":")" +
          to_hex(body.decision_hash()) + R"(","deterministic_tie_breaker_seed":")" +
          seed_text(body.chain) + R"(","effects_hash":null,"epoch":2,"input_hash":")" +
          to_hex(body.input_hash) + R"(","kind":"commit","origin":"miss","output_hash":")" +
          to_hex(sha256("1")) + R"(","run_id":")" + to_string(body.run_id) + R"(","seed_chain":")" +
          to_hex(body.chain) +
          R"(","select":"ordered","seq":9,"step":0,"task":"fraud","wasted_ms":0,"winning_branch_index":0,)"
          R"("workers":[")" +
          to_string(worker) + R"(",null],"writes_hash":null})");
}

TEST_CASE("the decision hash covers the decision and not how long it took or where it ran",
          "[entry]") {
  const Digest before = commit().decision_hash();
  CommitEntry same = commit();
  same.branch_latencies = {9s, 8s};
  same.workers = {{}, {}};
  same.origin = Origin::hit;
  same.hit = HitRecord{};
  same.branch_causes = {"x", {}};
  REQUIRE(same.decision_hash() == before);
  CommitEntry other = commit();
  other.branch_validities = {true, false};
  REQUIRE(other.decision_hash() != before);
  const CommitEntry c = commit();
  json::Object parts;
  parts.set("run_id", to_string(c.run_id));
  parts.set("step", 0);
  parts.set("task", "fraud");
  parts.set("input_hash", to_hex(c.input_hash));
  parts.set("branch_names", json::Array{"fast", "slow"});
  parts.set("branch_validities", json::Array{true, nullptr});
  parts.set("select", "ordered");
  parts.set("deterministic_tie_breaker_seed", seed_text(c.chain));
  parts.set("winning_branch_index", 0);
  parts.set("output_hash", to_hex(*c.output_hash));
  parts.set("writes_hash", nullptr);
  parts.set("effects_hash", nullptr);
  REQUIRE(sha256(json::canonical(parts)) == before);
}

TEST_CASE("fields and kinds of later versions are skipped", "[entry]") {
  const std::string leaf = leaf_of({Seq{9}, Epoch{2}, commit()});
  const auto newer = entry_of("{\"a_new_field\":[1]," + leaf.substr(1));
  REQUIRE(newer);
  REQUIRE(std::get<CommitEntry>(newer->body).task == "fraud");
  const auto unknown = entry_of(R"({"epoch":1,"kind":"pause","seq":3})");
  REQUIRE(std::get<UnknownEntry>(unknown.value().body).kind == "pause");
}

TEST_CASE("a malformed leaf is refused with the field's name", "[entry]") {
  const std::string leaf = leaf_of({Seq{9}, Epoch{2}, commit()});
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = leaf;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return entry_of(text.replace(at, from.size(), to));
  };
  REQUIRE(with("\"step\":0", "\"step\":-1").error().message ==
          "step: found -1, expected an integer in range");
  REQUIRE(with("\"step\":0", "\"step\": 0").error().message ==
          "leaf: byte " + std::to_string(leaf.find("\"step\":0") + 7) +
              ": found byte 32, expected byte 48 of its value's canonical text");
  REQUIRE(entry_of(leaf + "\r").error().message ==
          "leaf: byte " + std::to_string(leaf.size()) +
              ": found byte 13, expected the end of its value's canonical text");
  REQUIRE(with("\"seq\":9,", "").error().message == "seq: missing");
  REQUIRE(with("[1.234,null]", "[1.234]").error().message ==
          "branch_latencies_ms: found 1 items, expected 2");
  REQUIRE(with("\"slow\"", "\"fast\"").error().message ==
          "branch_names: found one twice, expected unique names");
  REQUIRE(with("index\":0", "index\":2").error().message ==
          "winning_branch_index: found 2, expected below 2");
  REQUIRE(with("\"miss\"", "\"luck\"").error().message ==
          "origin: found \"luck\", expected one of hit, late_hit, miss");
  REQUIRE(with("[true,null]", "[true,3]").error().message ==
          "branch_validities: found 3, expected true, false or null");
  const auto wrong_hash = with("\"task\":\"fraud\"", "\"task\":\"froud\"");
  REQUIRE(wrong_hash.error().code == Errc::verification);
  REQUIRE(wrong_hash.error().message.rfind("decision_hash: found ", 0) == 0);
}

TEST_CASE("a signed head reads back and holds for its size, root and epoch alone", "[entry]") {
  const SignedHead head = sign_head(key, LedgerHead{12, sha256("root"), Epoch{3}});
  REQUIRE(signed_message(head.head) ==
          R"({"epoch":3,"root":")" + to_hex(sha256("root")) + R"(","size":12})");
  REQUIRE(verify_head(head));
  REQUIRE(head_from_json(head_json(head)) == head);
  SignedHead other = head;
  other.head.size = 13;
  REQUIRE_FALSE(verify_head(other));
  REQUIRE(head_from_json("{}").error().message == "head: epoch: missing");
}

TEST_CASE("the quick way reads a commit as it was written, and nothing else", "[entry]") {
  CommitEntry hit = commit();
  hit.origin = Origin::hit;
  hit.hit = HitRecord{SpeculationNumber{3}, 0.925, 2, 40'001us};
  hit.select = SelectRule::first;
  hit.arrival_order = {0};
  const std::string leaf = leaf_of({Seq{3}, Epoch{2}, hit});
  const auto read = scan_commit(leaf);
  REQUIRE(read);
  CHECK(std::get<CommitEntry>(read->body).hit->saved == 40'001us);
  CHECK(leaf_of(*read) == leaf);
  CHECK(scan_commit(leaf_of({Seq{2}, Epoch{2}, commit()})));
  CHECK_FALSE(scan_commit(leaf_of({Seq{2}, Epoch{2}, DiscardEntry{}})));
  CommitEntry escaped = commit();
  escaped.task = "a\"b";
  CHECK_FALSE(scan_commit(leaf_of({Seq{2}, Epoch{2}, escaped})));  // Left to the thorough way.
  CHECK(entry_of(leaf_of({Seq{2}, Epoch{2}, escaped})));
  CommitEntry twins = commit();
  twins.branch_names = {"fast", "fast"};
  CHECK_FALSE(scan_commit(leaf_of({Seq{2}, Epoch{2}, twins})));
  CommitEntry stray = commit();
  stray.winner = 2;
  CHECK_FALSE(scan_commit(leaf_of({Seq{2}, Epoch{2}, stray})));
  CommitEntry longer = commit();
  longer.workers.pop_back();
  CHECK_FALSE(scan_commit(leaf_of({Seq{2}, Epoch{2}, longer})));
  CHECK_FALSE(scan_commit(leaf + " "));
  // Bytes that are not what they should be are never read as something else.
  for (std::size_t at = 0; at < leaf.size(); ++at) {
    for (const char c : {'0', 'x', '"', ',', '-'}) {
      std::string changed = leaf;
      changed[at] = c;
      if (const auto taken = scan_commit(changed)) {
        REQUIRE(leaf_of(*taken) == changed);
        REQUIRE(json::canonical(json::parse(changed).value()) == changed);
      }
    }
    REQUIRE_FALSE(scan_commit(std::string_view(leaf).substr(0, at)));
  }
}
