#include <iostream>
#include <memory>
#include <random>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "apps/verify.hpp"
#include "speculation/client_api.hpp"

namespace forerun {
namespace {

struct VerifyFlags {
  VerifySettings verify;
  ClientFlags client;
  std::string output = "json";
};

/// Drawn here, so that nobody in the cluster can know which steps will run again.
std::uint64_t seed_of_the_day() {
  std::random_device random;
  return (std::uint64_t{random()} << 21U) ^ random();  // Below 2^53, as JSON carries it.
}

}  // namespace

void add_verify(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<VerifyFlags>();
  CLI::App& command = add_command(
      app, "verify", "Recompute every decision of a cluster or of an export", chosen, [s] {
        if (!s->verify.export_folder.empty()) {
          if (s->verify.nodes_min > 1) {
            return report(
                Result<int>(fail(Errc::invalid,
                                 "--nodes counts a cluster's nodes, and --offline asks none: leave "
                                 "one of the two out")));
          }
          return report(verify_export(s->verify, std::cout, std::cerr));
        }
        const auto limits = s->client.limits();
        if (!limits) {
          return report(Result<int>(tl::unexpected(limits.error())));
        }
        s->verify.url = s->client.url;
        s->verify.http = *limits;
        s->verify.seed = seed_of_the_day();
        return report(verify_cluster(s->verify, std::cout, std::cerr));
      });
  add_client_flags(command, s->client);
  command.add_option("--sample", s->verify.sample, "Deterministic `pure` steps to run again")
      ->check(CLI::Range(std::uint32_t{0}, audit_sample_max))
      ->capture_default_str();
  command
      .add_option("--deadline-s", s->verify.deadline_s,
                  "For nodes to read their replicas, and for the sample to run again")
      ->check(CLI::Range(1, 240))
      ->capture_default_str();
  command
      .add_option("--offline", s->verify.export_folder,
                  "Judge this export, without a cluster: nothing runs again")
      ->check([](const std::string& folder) {
        return folder.empty() ? std::string("found nothing, expected an export's folder")
                              : std::string();
      });
  command
      .add_option("--key", s->verify.first_key,
                  "The first term's public key, 64 hex digits; without it the ledger's own word "
                  "is taken")
      ->check([](const std::string& text) {
        return text.size() == 64 ? std::string() : "found '" + text + "', expected 64 hex digits";
      });
  command.add_option("--nodes", s->verify.nodes_min, "Fewer nodes in the cluster are a finding")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--output", s->output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(command);
}

}  // namespace forerun
