#pragma once

#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <vector>

#include "speculation/call.hpp"
#include "speculation/ledger_checker.hpp"

namespace forerun::test {

inline const SigningKey first_key = SigningKey::from_seed({1});
inline const SigningKey second_key = SigningKey::from_seed({2});
inline const RunId run_id{WorkerId{Uuid::from_random({9})}, 4};

/// Two terms of one session's steps, each by one branch.
struct WrittenLedger {
  struct Row {
    std::string leaf;
    std::string call;
    std::string output;
  };
  std::vector<Row> rows;
  LedgerChecker checker;
  std::optional<ChainValue> chain;
  std::uint32_t next_step = 0;

  void add(Epoch epoch, decltype(Entry::body) body, const std::string& call = {},
           const std::string& output = {}) {
    rows.push_back({leaf_of(Entry{Seq{checker.size()}, epoch, std::move(body)}), call, output});
    REQUIRE(checker.take(rows.back().leaf, call).has_value());
  }
  void step(Epoch epoch, std::optional<Digest> writes = {}, std::optional<Digest> effects = {}) {
    json::Object input;
    input.set("n", std::uint64_t{next_step});
    const Call call = Call::make("double", input);
    CommitEntry body;
    body.run_id = run_id;
    body.step.value = next_step;
    body.task = "double";
    body.input_hash = call.hash();
    body.branch_names = {"double"};
    body.branch_latencies = {Duration(7)};
    body.branch_validities = {true};
    body.branch_causes = {{}};
    body.workers = {{}};
    body.winner = 0;
    body.chain = chain ? chain_next(*chain, call.canonical())
                       : chain_start(call.canonical(), to_string(run_id));
    const std::string output = std::to_string(2 * next_step);
    body.output_hash = sha256(output);
    body.writes_hash = writes;
    body.effects_hash = effects;
    chain = body.chain;
    ++next_step;
    add(epoch, body, call.canonical(), output);
  }
  SignedHead head(const SigningKey& key) const { return sign_head(key, checker.head()); }
};

inline WrittenLedger two_terms() {
  WrittenLedger ledger;
  ledger.add(Epoch{1}, EpochEntry{"start", "0.1.0", first_key.public_key(), {}, {}});
  ledger.step(Epoch{1});
  ledger.step(Epoch{1});
  const Digest root = ledger.checker.head().root;
  ledger.add(Epoch{2},
             EpochEntry{"start", "0.1.0", second_key.public_key(), root,
                        first_key.sign(handover_message(Epoch{2}, second_key.public_key(), root,
                                                        Seq{ledger.checker.size()}))});
  ledger.step(Epoch{2});
  return ledger;
}

}  // namespace forerun::test
