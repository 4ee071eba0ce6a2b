#pragma once

#include "apps/commands/cli.hpp"

namespace forerun {

void add_coordinator(CLI::App& app, Action& chosen);
void add_node(CLI::App& app, Action& chosen);
void add_demo(CLI::App& app, Action& chosen);
void add_dev(CLI::App& app, Action& chosen);
void add_bench(CLI::App& app, Action& chosen);
void add_bench_peer(CLI::App& app, Action& chosen);
void add_effects(CLI::App& app, Action& chosen);
void add_explain(CLI::App& app, Action& chosen);
void add_keys(CLI::App& app, Action& chosen);
void add_learn(CLI::App& app, Action& chosen);
void add_ledger(CLI::App& app, Action& chosen);
void add_predict(CLI::App& app, Action& chosen);
void add_replay(CLI::App& app, Action& chosen);
void add_run(CLI::App& app, Action& chosen);
void add_status(CLI::App& app, Action& chosen);
void add_selftest(CLI::App& app, Action& chosen);
void add_simulate(CLI::App& app, Action& chosen);
void add_verify(CLI::App& app, Action& chosen);

}  // namespace forerun
