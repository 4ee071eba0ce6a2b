#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "coordinator/machine.hpp"
#include "simulation/environment.hpp"
#include "simulation/network.hpp"

namespace forerun::simulation {

/// The coordinator's process: the real brain on a simulated disk. It may end at any moment and
/// start again.
class CoordinatorHost {
public:
  CoordinatorHost(Environment& environment, Network& network, SigningKey key)
      : env_(environment), network_(network), key_(std::move(key)) {}
  /// Where responses go, and who is told that all connections are gone.
  void serve(std::function<void(const ClientResponse&)> reply, std::function<void()> went_down) {
    reply_ = std::move(reply);
    went_down_ = std::move(went_down);
  }

  void start();
  void crash();
  bool is_up() const { return machine_ != nullptr; }
  /// Lost when the process is down or ends before it arrives.
  void send(const ClientRequest& request);
  void leave(RequestId request);
  void step(const CoordinatorInput& input);
  /// The next write fails; the process ends with it.
  void fail_next_write(FailedWrite outcome) {
    store_.fail_next_write(outcome);
    failure_ = outcome;
  }

  const CoordinatorMachine* machine() const { return machine_.get(); }
  MemoryCoordinatorStore& store() { return store_; }
  std::uint64_t crashes() const { return crashes_; }
  /// Over all terms.
  std::uint64_t hits() const;
  std::uint64_t discards() const;
  std::uint64_t hedges() const;
  std::uint64_t hedges_won() const;

private:
  void perform(CoordinatorOutput output);
  void persist(CoordinatorBatch batch);
  void flush();
  void serve_entries(const ServeEntries& request);
  void serve_session(const ServeSession& request);
  void arm(std::optional<Instant> wake);
  void later(Duration delay, std::function<void()> happen);
  void count();

  Environment& env_;
  Network& network_;
  SigningKey key_;
  MemoryCoordinatorStore store_;
  std::unique_ptr<CoordinatorMachine> machine_;
  std::function<void(const ClientResponse&)> reply_;
  std::function<void()> went_down_;
  std::vector<CoordinatorBatch> waiting_;
  bool is_flushing_ = false;
  bool looks_ahead_ = false;
  std::optional<FailedWrite> failure_;
  std::uint64_t life_ = 0;
  std::optional<Instant> armed_;
  std::uint64_t crashes_ = 0;
  std::uint64_t hits_ = 0;
  std::uint64_t discards_ = 0;
  std::uint64_t hedges_ = 0;
  std::uint64_t hedges_won_ = 0;
};

}  // namespace forerun::simulation
