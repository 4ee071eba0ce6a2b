#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "simulation/coordinator_host.hpp"
#include "simulation/environment.hpp"

namespace forerun::simulation {

/// A client that runs sessions one after the other. Each request has an Idempotency-Key and is sent
/// until it is answered, unless the client gives its session up or vanishes.
class Client {
public:
  struct Identity {
    std::size_t index = 0;
    std::uint32_t sessions = 1;
    std::string race;  ///< The race that all sessions of this seed call.
  };
  Client(Environment& environment, CoordinatorHost& coordinator, Identity identity)
      : env_(environment), coordinator_(coordinator), identity_(std::move(identity)) {}

  void start() { open(); }
  /// False when the response is not for this client.
  bool receive(const ClientResponse& response);
  void coordinator_went_down();
  bool is_done() const { return is_gone_ || (sessions_left_ == 0 && is_started_ && !pending_); }
  /// A request that has waited too long though nothing disturbs any more.
  void check_waiting();

private:
  struct Pending {
    RequestId id;
    decltype(ClientRequest::body) body;
    Instant since{};
    std::uint64_t attempt = 0;
  };
  /// `other`, `old`: a list was given up half-way, another call follows, and the list is asked for
  /// once more. `aside`: something that changes no step; then it goes on with `then_`.
  enum class Stage : std::uint8_t {
    open,
    first,
    score,
    change,
    again,
    label,
    list,
    other,
    old,
    show,
    aside,
    end
  };
  void open();
  void go_on();
  void next(Stage stage);
  void ask_aside();
  void ask(decltype(ClientRequest::body) body);
  void send_again(Duration delay);
  void transmit();
  void go_away_after(Duration delay, Fault how);
  void give_up(Fault how);
  void abandon_list();
  void check_old(const StepAnswers& body);
  void leave_old_list();
  void next_session();
  void confirm(std::vector<Call> calls, bool is_list);
  std::vector<Call> mixed_list();
  json::Object with_key() const;
  SessionPage page();
  void handle(const SessionOpened& body);
  void handle(const StepAnswers& body);
  void handle(const SessionView& body);
  void handle(const SessionEnded& body);
  void handle(const TextAdded& body);
  void handle(const JsonReport& body);
  void handle(const RequestFailed& body);
  void fail(Rule rule, const std::string& what);
  std::string name() const { return "client " + std::to_string(identity_.index); }

  Environment& env_;
  CoordinatorHost& coordinator_;
  Identity identity_;
  bool is_started_ = false;
  bool is_gone_ = false;  ///< For good.
  std::uint32_t sessions_left_ = 0;
  std::uint32_t session_ = 0;
  std::uint64_t requests_ = 0;
  Stage stage_ = Stage::open;
  Stage then_ = Stage::open;  ///< After an aside.
  std::uint32_t texts_ = 0;
  std::optional<Pending> pending_;
  std::optional<ConfirmCalls> abandoned_;  ///< Its list.
  bool knows_steps_ =
      true;  ///< Of this session: no list was given up in it, which may have gone on.
  std::optional<RunId> run_id_;
  std::uint32_t confirmed_ = 0;
  std::uint32_t fresh_key_ = 0;
  std::int64_t value_ = 0;
};

}  // namespace forerun::simulation
