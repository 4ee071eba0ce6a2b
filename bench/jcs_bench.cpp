#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "speculation/call.hpp"
#include "speculation/entry.hpp"
#include "speculation/ledger_checker.hpp"

/// Prints what the path of one step costs in microseconds: medians over runs, least of them in
/// brackets.
namespace forerun {
namespace {

constexpr int runs = 41;
constexpr int repeats = 500;

/// A call of about 1 KiB as agents send them: text, numbers, some nesting.
std::string sample_call() {
  json::Array items;
  for (int i = 0; i < 12; ++i) {
    json::Object item;
    item.set("sku", "W-" + std::to_string(100'000 + 7919 * i));
    item.set("count", i + 1);
    item.set("price", 19.99 + i);
    item.set("gift", i % 3 == 0);
    items.emplace_back(std::move(item));
  }
  json::Object input;
  input.set("order_id", "W4082615");
  input.set("customer", "sofia_li_9219");
  input.set("note", "Please leave the parcel with the neighbour at number 12, and \"ring twice\".");
  input.set("items", std::move(items));
  return Call::make("order_total", std::move(input)).canonical();
}

template <class Function>
void measure(const char* name, Function&& function) {
  std::vector<double> costs;
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) {
      function();
    }
    const std::chrono::duration<double, std::micro> spent =
        std::chrono::steady_clock::now() - start;
    costs.push_back(spent.count() / repeats);
  }
  std::sort(costs.begin(), costs.end());
  std::printf("%-34s %7.2f us  [%.2f]\n", name, costs[costs.size() / 2], costs.front());
}

CommitEntry sample_commit(const Call& call) {
  CommitEntry body;
  body.run_id = RunId{WorkerId{Uuid::from_random({1, 2, 3})}, 17};
  body.task = call.task();
  body.input_hash = call.hash();
  body.branch_names = {call.task()};
  body.branch_latencies = {Duration(1234)};
  body.branch_validities = {true};
  body.branch_causes = {{}};
  body.workers = {body.run_id.home};
  body.winner = 0;
  body.chain = chain_start(call.canonical(), to_string(body.run_id));
  body.output_hash = call.hash();
  return body;
}

int run() {
  const std::string text = sample_call();
  const Call call = Call::parse(text).value();
  const json::Value value = json::parse(text).value();
  std::size_t sink = 0;
  std::printf("call of %zu bytes\n", text.size());
  measure("parse", [&] { sink += json::parse(text).has_value() ? 1 : 0; });
  measure("canonicalise", [&] { sink += json::canonical(value).size(); });
  measure("hash", [&] { sink += sha256(text).bytes[0]; });
  measure("parse + canonicalise + hash", [&] { sink += Call::parse(text)->canonical().size(); });

  const Entry entry{Seq{1}, Epoch{1}, sample_commit(call)};
  const std::string leaf = leaf_of(entry);
  std::printf("leaf of %zu bytes\n", leaf.size());
  measure("write a leaf", [&] { sink += leaf_of(entry).size(); });
  measure("read a leaf", [&] { sink += entry_of(leaf).has_value() ? 1 : 0; });
  measure("decision hash",
          [&] { sink += std::get<CommitEntry>(entry.body).decision_hash().bytes[0]; });

  LedgerChecker checker;
  const SigningKey key = SigningKey::from_seed({1});
  sink +=
      checker
          .take(leaf_of({Seq{0}, Epoch{1}, EpochEntry{"start", "0", key.public_key(), {}, {}}}), "")
          .has_value();
  std::vector<std::string> leaves;
  CommitEntry body = sample_commit(call);
  for (std::uint64_t i = 1; i <= static_cast<std::uint64_t>(runs) * repeats; ++i) {
    leaves.push_back(leaf_of({Seq{i}, Epoch{1}, body}));
    ++body.step.value;
    body.chain = chain_next(body.chain, call.canonical());
  }
  std::size_t next = 0;
  measure("check an entry",
          [&] { sink += checker.take(leaves[next++], call.canonical()).has_value() ? 1 : 0; });
  const SignedHead head = sign_head(key, checker.head());
  measure("sign a head", [&] { sink += sign_head(key, head.head).signature.bytes[0]; });
  measure("check a head", [&] { sink += checker.check_head(head).has_value() ? 1 : 0; });
  return checker.counts().recomputed == leaves.size() && sink != 0 ? 0 : 1;
}

}  // namespace
}  // namespace forerun

int main() {
  return forerun::run();
}
