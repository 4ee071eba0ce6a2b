#include "speculation/ledger_checker.hpp"

#include <catch2/catch.hpp>
#include <functional>

#include "speculation/call.hpp"

using namespace forerun;
using namespace std::chrono_literals;

namespace {

const SigningKey first_key = SigningKey::from_seed({1});
const SigningKey second_key = SigningKey::from_seed({2});
const RunId run_id{WorkerId{Uuid::from_random({9})}, 4};

Call call_of(int number) {
  json::Object input;
  input.set("n", number);
  return Call::make("fraud", input);
}

EpochEntry first_term() {
  return EpochEntry{"start", "0.1.0", first_key.public_key(), {}, {}};
}

/// A commit that holds: ordered, three branches, the second one wins.
CommitEntry commit(std::uint32_t step, const Call& call,
                   const std::optional<ChainValue>& previous) {
  CommitEntry body;
  body.run_id = run_id;
  body.step.value = step;
  body.task = "fraud";
  body.input_hash = call.hash();
  body.branch_names = {"a", "b", "c"};
  body.branch_latencies = {1ms, 2ms, {}};
  body.branch_validities = {false, true, {}};
  body.branch_causes = {"exit code 1", {}, {}};
  body.workers = {{}, {}, {}};
  body.winner = 1;
  body.select = SelectRule::ordered;
  body.chain = previous ? chain_next(*previous, call.canonical())
                        : chain_start(call.canonical(), to_string(run_id));
  body.output_hash = sha256("1");
  return body;
}

/// Offers entries in order, numbering them.
struct Ledger {
  LedgerChecker checker;
  Epoch epoch{1};

  Result<Entry> add(decltype(Entry::body) body, std::string_view call = {}) {
    return checker.take(leaf_of(Entry{Seq{checker.size()}, epoch, std::move(body)}), call);
  }
  EpochEntry handover(const SigningKey& from, const SigningKey& to, Epoch next) {
    const Digest root = checker.head().root;
    return EpochEntry{
        "failover", "0.1.0", to.public_key(), root,
        from.sign(handover_message(next, to.public_key(), root, Seq{checker.size()}))};
  }
};

Ledger started() {
  Ledger ledger;
  REQUIRE(ledger.add(first_term()));
  return ledger;
}

void require_refused(const Result<Entry>& result, const std::string& message) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::verification);
  CHECK(result.error().message.substr(0, message.size()) == message);
}

}  // namespace

TEST_CASE("a session's commits are recomputed step by step", "[ledger_checker]") {
  Ledger ledger = started();
  std::optional<ChainValue> chain;
  for (std::uint32_t step = 0; step < 5; ++step) {
    const CommitEntry body = commit(step, call_of(static_cast<int>(step)), chain);
    REQUIRE(ledger.add(body, call_of(static_cast<int>(step)).canonical()));
    chain = body.chain;
  }
  REQUIRE(ledger.checker.counts().recomputed == 5);
  REQUIRE(ledger.checker.counts().not_recomputed == 0);
  REQUIRE(ledger.checker.size() == 6);
}

TEST_CASE("an erased call is taken as recorded, counted, and its successor is recomputed from it",
          "[ledger_checker]") {
  Ledger ledger = started();
  const CommitEntry first = commit(0, call_of(0), {});
  REQUIRE(ledger.add(first));
  REQUIRE(ledger.add(commit(1, call_of(1), first.chain), call_of(1).canonical()));
  REQUIRE(ledger.checker.counts().recomputed == 1);
  REQUIRE(ledger.checker.counts().not_recomputed == 1);
}

TEST_CASE("whatever is changed in a commit is refused by name", "[ledger_checker]") {
  struct Change {
    std::function<void(CommitEntry&)> apply;
    std::string message;
  };
  const auto change = GENERATE(values<Change>({
      {[](auto& c) { c.run_id.counter = 5; }, "entry 1: seed_chain: found "},
      {[](auto& c) { c.step.value = 1; }, "entry 1: step: found 1, expected 0"},
      {[](auto& c) { c.task = "other"; },
       "entry 1: task: found a call of another task, expected \"other\""},
      {[](auto& c) { c.input_hash = sha256("x"); }, "entry 1: input_hash: found "},
      {[](auto& c) { c.chain.bytes[31] ^= 1U; }, "entry 1: seed_chain: found "},
      {[](auto& c) { c.winner = 0; }, "entry 1: winning_branch_index: found 0, expected 1"},
      {[](auto& c) { c.winner = {}; }, "entry 1: winning_branch_index: found -1, expected 1"},
      {[](auto& c) {
         c.branch_validities = {true, true, {}};
       },
       "entry 1: winning_branch_index: found 1, expected 0"},
      {[](auto& c) {
         c.branch_validities = {false, true, false};
       },
       "entry 1: branch_validities: found [false,true,false], expected [false,true,null]"},
      {[](auto& c) {
         c.branch_validities = {{}, true, {}};
       },
       "entry 1: branch_validities: found [null,true,null], expected a decided race"},
      {[](auto& c) { c.select = SelectRule::seeded; },
       "entry 1: branch_validities: found [false,true,null], expected a decided race"},
      {[](auto& c) {
         c.select = SelectRule::first;
         c.arrival_order = {1, 0};
       },
       "entry 1: branch_validities: found [false,true,null], expected [null,true,null]"},
      {[](auto& c) {
         c.select = SelectRule::first;
         c.arrival_order = {2, 0, 1};
       },
       "entry 1: arrival_order: found 3 branches, expected the 2 that settled"},
      {[](auto& c) { c.output_hash = {}; }, "entry 1: output_hash: found null, expected a digest"},
      {[](auto& c) {
         c.branch_validities = {false, false, false};
         c.winner = {};
       },
       "entry 1: output_hash: found "},
      {[](auto& c) {
         c.branch_validities = {false, false, false};
         c.winner = {};
         c.output_hash = {};
         c.effects_hash = sha256("e");
       },
       "entry 1: effects_hash: found a digest, expected null"},
  }));
  Ledger ledger = started();
  CommitEntry body = commit(0, call_of(0), {});
  change.apply(body);
  require_refused(ledger.add(body, call_of(0).canonical()), change.message);
  // The checker is unchanged: the true entry still fits.
  REQUIRE(ledger.checker.size() == 1);
  REQUIRE(ledger.add(commit(0, call_of(0), {}), call_of(0).canonical()));
}

TEST_CASE("whatever is changed in the leaf's text is refused by name", "[ledger_checker]") {
  const std::string leaf = leaf_of({Seq{1}, Epoch{1}, commit(0, call_of(0), {})});
  const auto take = [&](const std::string& from, const std::string& to) {
    std::string text = leaf;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    return started().checker.take(text, call_of(0).canonical());
  };
  require_refused(take("\"seq\":1", "\"seq\":2"), "entry 1: seq: found 2, expected 1");
  require_refused(take("\"epoch\":1", "\"epoch\":2"), "entry 1: epoch: found 2, expected 1");
  require_refused(take("\"step\":0", "\"step\":0 "), "entry 1: leaf: byte ");
  require_refused(take("decision_hash\":\"", "decision_hash\":\"0"), "entry 1: decision_hash: ");
  const std::string seed = seed_text(commit(0, call_of(0), {}).chain);
  require_refused(
      take(seed, "0123456789abcdef"),
      "entry 1: deterministic_tie_breaker_seed: found 0123456789abcdef, expected " + seed);
  require_refused(take("\"kind\":\"commit\"", "\"kind\":7"),
                  "entry 1: kind: found 7, expected a text");
  REQUIRE(take("\"step\":0", "\"step\":0"));
}

TEST_CASE("a session's steps come in order and its chain goes on", "[ledger_checker]") {
  Ledger ledger = started();
  const CommitEntry zero = commit(0, call_of(0), {});
  REQUIRE(ledger.add(zero, call_of(0).canonical()));
  require_refused(ledger.add(zero, call_of(0).canonical()), "entry 2: step: found 0, expected 1");
  require_refused(ledger.add(commit(2, call_of(2), zero.chain)),
                  "entry 2: step: found 2, expected 1");
  require_refused(ledger.add(commit(1, call_of(1), sha256("x")), call_of(1).canonical()),
                  "entry 2: seed_chain: found ");
}

TEST_CASE("a forgotten session goes on without being recomputed", "[ledger_checker]") {
  Ledger ledger{LedgerChecker({}, 1)};
  REQUIRE(ledger.add(first_term()));
  const CommitEntry zero = commit(0, call_of(0), {});
  REQUIRE(ledger.add(zero, call_of(0).canonical()));
  CommitEntry other = commit(0, call_of(0), {});
  other.run_id.counter = 99;
  other.chain = chain_start(call_of(0).canonical(), to_string(other.run_id));
  REQUIRE(ledger.add(other, call_of(0).canonical()));
  REQUIRE(ledger.add(commit(1, call_of(1), zero.chain), call_of(1).canonical()));
  REQUIRE(ledger.checker.counts().recomputed == 2);
  REQUIRE(ledger.checker.counts().not_recomputed == 1);
}

TEST_CASE("a ledger opens with a term, under the pinned key", "[ledger_checker]") {
  Ledger ledger;
  require_refused(ledger.add(commit(0, call_of(0), {})),
                  "entry 0: kind: found another, expected epoch");
  Ledger pinned{LedgerChecker(second_key.public_key())};
  require_refused(pinned.add(first_term()), "entry 0: public_key: found ");
  Ledger right{LedgerChecker(first_key.public_key())};
  REQUIRE(right.add(first_term()));
}

TEST_CASE("a new term is signed by the key before it", "[ledger_checker]") {
  Ledger ledger = started();
  ledger.epoch = Epoch{1};
  require_refused(ledger.add(ledger.handover(first_key, second_key, Epoch{1})),
                  "entry 1: epoch: found 1, expected more than 1");
  ledger.epoch = Epoch{5};
  require_refused(ledger.add(EpochEntry{"start", "0.1.0", second_key.public_key(), {}, {}}),
                  "entry 1: root: found none, expected one");
  EpochEntry forged = ledger.handover(second_key, second_key, Epoch{5});
  require_refused(ledger.add(forged), "entry 1: previous_signature: found ");
  EpochEntry other_root = ledger.handover(first_key, second_key, Epoch{5});
  other_root.root = sha256("x");
  require_refused(ledger.add(other_root), "entry 1: root: found ");
  REQUIRE(ledger.add(ledger.handover(first_key, second_key, Epoch{5})));
  REQUIRE(ledger.checker.key() == second_key.public_key());
  ledger.epoch = Epoch{1};
  require_refused(ledger.add(commit(0, call_of(0), {})), "entry 2: epoch: found 1, expected 5");
}

TEST_CASE("a head is checked at every recent size and refused beyond what was taken",
          "[ledger_checker]") {
  Ledger ledger = started();
  std::vector<LedgerHead> heads{ledger.checker.head()};
  const DiscardEntry discard{
      run_id, SpeculationNumber{0}, "t", {}, DiscardCause::wrong, 0.5, 1, 1ms, {}};
  while (heads.size() < 300) {
    REQUIRE(ledger.add(discard));
    heads.push_back(ledger.checker.head());
  }
  for (const LedgerHead& head : heads) {
    INFO(head.size);
    REQUIRE(ledger.checker.check_head(sign_head(first_key, head)));
    LedgerHead other = head;
    other.root = sha256("x");
    REQUIRE(ledger.checker.check_head(sign_head(first_key, other)).error().code ==
            Errc::verification);
  }
  LedgerHead ahead = heads.back();
  ++ahead.size;
  REQUIRE(ledger.checker.check_head(sign_head(first_key, ahead)).error().code == Errc::refused);
  REQUIRE(ledger.checker.check_head(sign_head(second_key, heads.back()))
              .error()
              .message.find("public_key") != std::string::npos);
  SignedHead unsigned_head = sign_head(first_key, heads.back());
  unsigned_head.signature = {};
  REQUIRE(ledger.checker.check_head(unsigned_head).error().message.find("signature") !=
          std::string::npos);
  LedgerHead old_term = heads.back();
  old_term.epoch = Epoch{0};
  REQUIRE(ledger.checker.check_head(sign_head(first_key, old_term))
              .error()
              .message.find("epoch: found 0") != std::string::npos);
}

TEST_CASE("a head behind the window is refused, and one at its edge is checked",
          "[ledger_checker]") {
  Ledger ledger = started();
  const DiscardEntry discard{
      run_id, SpeculationNumber{0}, "t", {}, DiscardCause::wrong, 0.5, 1, 1ms, {}};
  const LedgerHead early = ledger.checker.head();
  std::optional<LedgerHead> recent;
  while (ledger.checker.size() < LedgerChecker::head_window + 200) {
    REQUIRE(ledger.add(discard));
    if (ledger.checker.size() == 200) {
      recent = ledger.checker.head();
    }
  }
  REQUIRE(ledger.checker.check_head(sign_head(first_key, *recent)));
  REQUIRE(ledger.checker.check_head(sign_head(first_key, early)).error().code == Errc::refused);
}
