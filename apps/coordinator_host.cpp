#include "apps/coordinator_host.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <map>
#include <mutex>
#include <utility>

#include "actors/coordinator_actor.hpp"
#include "actors/ledger_actor.hpp"
#include "actors/peer_proxy.hpp"
#include "actors/reader_actor.hpp"
#include "apps/actor_work.hpp"
#include "apps/inlet.hpp"
#include "apps/process.hpp"
#include "base/failpoint.hpp"
#include "cluster/dropped_frames.hpp"
#include "coordinator/no_predictor.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"
#include "messages/codec.hpp"
#include "storage/checked_recovery.hpp"

namespace forerun {
namespace {

using CoordinatorInlet = Inlet<CoordinatorActor, CoordinatorInputs>;

/// The proxies of connected peers, by connection.
class Peers {
public:
  static constexpr std::size_t peers_max = 4096;

  Peers(caf::actor_system& system, CoordinatorBus& bus) : system_(system), bus_(bus) {}
  void send(ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    const std::scoped_lock lock(mutex_);
    if (is_closed_) {
      return;
    }
    auto at = proxies_.find(connection);
    if (at == proxies_.end()) {
      if (proxies_.size() >= peers_max) {
        proxies_.erase(proxies_.begin());  // Connection numbers rise, so this is the oldest.
      }
      CoordinatorBus& bus = bus_;
      at = proxies_
               .emplace(connection, system_.spawn(peer_proxy,
                                                  [&bus, connection](std::string frame) {
                                                    bus.send(connection, std::move(frame));
                                                  }))
               .first;
    }
    caf::anon_send(at->second, PeerMessages{std::move(messages)});
  }
  void gone(ConnectionId connection) {
    const std::scoped_lock lock(mutex_);
    proxies_.erase(connection);
  }
  /// No proxy is made after it: one that the coordinator's last turn made would be waited for, for
  /// ever.
  void close() {
    const std::scoped_lock lock(mutex_);
    is_closed_ = true;
    proxies_.clear();
  }

private:
  caf::actor_system& system_;
  CoordinatorBus& bus_;
  std::mutex mutex_;
  bool is_closed_ = false;
  std::map<ConnectionId, PeerProxyActor> proxies_;
};

void publish(CoordinatorBus& bus, Entries entries) {
  reach(Failpoint::coordinator_publish);
  const CoordinatorMessage message(std::move(entries));
  for (std::string& frame : encode_frames(std::span(&message, 1))) {
    bus.publish(std::move(frame));
  }
  reach(Failpoint::coordinator_published);
}

CoordinatorBusEvents bus_events(const std::shared_ptr<CoordinatorInlet>& inlet,
                                const std::function<void(const std::string&)>& log) {
  CoordinatorBusEvents events;
  events.received = [inlet, log, dropped = std::make_shared<std::map<NodeId, DroppedFrames>>()](
                        ConnectionId connection, const NodeId& node,
                        std::vector<std::string> frames) {
    CoordinatorInputs inputs;
    for (const std::string& frame : frames) {
      auto messages = decode_node_frame(frame);
      if (!messages) {
        if (const auto line = (*dropped)[node].dropped(
                "node " + node.name, messages.error().message, std::chrono::steady_clock::now())) {
          log(*line);
        }
        continue;
      }
      for (NodeMessage& message : *messages) {
        inputs.inputs.emplace_back(NodeSaid{connection, node, std::move(message)});
      }
    }
    inlet->put(std::move(inputs));
  };
  events.unreachable = [inlet](ConnectionId connection) {
    inlet->put(CoordinatorInputs{{CoordinatorInput(NodeUnreachable{connection})}});
  };
  return events;
}

std::unique_ptr<Predictor> predictor_of(const CoordinatorHostSettings& settings) {
  if (settings.learns) {
    return std::make_unique<RememberedPredictions>(
        std::make_unique<PredictionGraph>(prediction_within(settings.prediction_megabytes)));
  }
  return std::make_unique<NoPredictor>();
}

CoordinatorInputs names_of(const std::vector<AllowedPeer>& allowed) {
  NodesAllowed names;
  for (const AllowedPeer& peer : allowed) {
    names.names.emplace(fingerprint(peer.public_key), peer.name);
  }
  return {{CoordinatorInput(std::move(names))}};
}

class Host final : public CoordinatorHost {
public:
  Host(CoordinatorStores stores, LocalReplies local_replies,
       std::function<void(const std::string&)> log)
      : stores_(std::move(stores)),
        local_replies_(std::move(local_replies)),
        log_(std::move(log)) {}

  ~Host() override {
    if (gateway_) {
      gateway_->drain();
    }
    inlet_->close();
    if (system_) {
      caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
      caf::anon_send_exit(ledger_, caf::exit_reason::user_shutdown);
      caf::anon_send_exit(reader_, caf::exit_reason::user_shutdown);
      coordinator_ = nullptr;
      ledger_ = nullptr;
      reader_ = nullptr;
      peers_->close();
      system_->await_all_actors_done();
    }
    bus_.reset();
  }

  Result<void> run(CoordinatorHostSettings settings, const KeyFolder& keys) {
    auto allowed = keys.allowed();
    if (!allowed) {
      return tl::unexpected<Error>(allowed.error());
    }
    inlet_->put(names_of(*allowed));
    CoordinatorBusEvents events = bus_events(inlet_, log_);
    events.work = work_of(loop_);
    auto bus =
        CoordinatorBus::start(settings.bus, keys.server(), std::move(*allowed), std::move(events));
    if (!bus) {
      return tl::unexpected<Error>(bus.error());
    }
    bus_ = std::move(*bus);
    settings.machine.publish_port = bus_->publish_port();
    if (!settings.learns) {
      settings.machine.history.learn_again_steps_max = 0;
    }
    auto machine = std::make_shared<CoordinatorMachine>(settings.machine, keys.ledger(),
                                                        predictor_of(settings));
    if (auto dropped = stores_.owner->drop_opening_keys(settings.machine.opening_keys_max);
        !dropped) {
      return dropped;
    }
    if (auto recovered = recover(*machine, settings.data, keys.ledger().public_key()); !recovered) {
      return recovered;
    }
    if (!settings.catalog_text.empty()) {
      if (auto kept = stores_.owner->put_text("catalog.toml", settings.catalog_text); !kept) {
        return kept;
      }
    }
    loop_->schedule(configuration_);
    system_ = std::make_unique<caf::actor_system>(configuration_);
    peers_ = std::make_unique<Peers>(*system_, *bus_);
    if (auto serving = serve_http(settings.gateway); !serving) {
      return serving;
    }
    spawn(std::move(machine), settings.is_store_quick);
    return {};
  }

  std::uint16_t http_port() const override { return gateway_->port(); }
  std::uint16_t join_port() const override { return bus_->port(); }
  void allow(std::vector<AllowedPeer> allowed) override {
    inlet_->put(names_of(allowed));
    bus_->allow(std::move(allowed));
  }
  void set_tokens(std::shared_ptr<const TokenTable> tokens) override {
    gateway_->set_tokens(std::move(tokens));
  }
  Result<void> renew_certificate() override { return gateway_->renew_certificate(); }
  void put(CoordinatorInputs inputs) override { inlet_->put(std::move(inputs)); }

private:
  Result<void> recover(CoordinatorMachine& machine, const std::string& data, const PublicKey& key) {
    const auto recovered =
        recover_checked(*stores_.owner, data, key,
                        [&machine](const StoredEntry& entry) { machine.restore(entry); });
    if (!recovered) {
      return tl::unexpected<Error>(recovered.error());
    }
    if (const auto answerable = machine.check_intents(recovered->recovery); !answerable) {
      return answerable;
    }
    machine.restore(recovered->recovery);
    reach(Failpoint::coordinator_recovered);
    log_("recovered " + std::to_string(machine.ledger_size()) + " entries, " +
         std::to_string(recovered->recovery.sessions.size()) + " open sessions");
    return {};
  }

  Result<void> serve_http(const GatewaySettings& settings) {
    GatewayPorts ports;
    ports.submit = [inlet = inlet_](ClientRequest request) {
      inlet->put(CoordinatorInputs{{CoordinatorInput(std::move(request))}});
    };
    ports.left = [inlet = inlet_](RequestId request) {
      inlet->put(CoordinatorInputs{{CoordinatorInput(ClientLeft{request})}});
    };
    auto started = Gateway::start(settings, std::move(ports));
    if (!started) {
      return tl::unexpected<Error>(started.error());
    }
    gateway_ = std::move(*started);
    return {};
  }

  void answer(ClientResponse response) {
    reach(Failpoint::coordinator_reply);
    if (response.id.value >= local_requests_from) {
      local_replies_(std::move(response));
    } else {
      gateway_->answer(std::move(response));
    }
    reach(Failpoint::coordinator_replied);
  }

  void spawn(std::shared_ptr<CoordinatorMachine> machine, bool is_store_quick) {
    const auto send = [this](ConnectionId connection, std::vector<CoordinatorMessage> messages) {
      reach(Failpoint::coordinator_send);
      peers_->send(connection, std::move(messages));
      reach(Failpoint::coordinator_sent);
    };
    const auto fatal = [](const std::string& why) {
      log_line("the store failed, so nothing can be promised any more: " + why);
      std::_Exit(exit_error);  // No answer may leave after a failed sync.
    };
    LedgerPorts ledger_ports;
    ledger_ports.persisted = [inlet = inlet_](BatchNumber number) {
      reach(Failpoint::coordinator_persisted);
      inlet->put(CoordinatorInputs{{CoordinatorInput(Persisted{number})}});
    };
    ledger_ports.fatal = fatal;
    ReaderPorts reader_ports;
    reader_ports.send = send;
    reader_ports.reply = [this](ClientResponse response) { answer(std::move(response)); };
    reader_ports.entries_read = [inlet = inlet_](EntriesRead read) {
      inlet->put(CoordinatorInputs{{CoordinatorInput(std::move(read))}});
    };
    reader_ports.past_read = [inlet = inlet_](PastRead page) {
      inlet->put(CoordinatorInputs{{CoordinatorInput(std::move(page))}});
    };
    reader_ports.fatal = fatal;
    if (is_store_quick) {
      ledger_ = system_->spawn(ledger_actor, stores_.owner, std::move(ledger_ports));
      reader_ = system_->spawn(reader_actor, stores_.reader, std::move(reader_ports));
    } else {
      ledger_ = system_->spawn<caf::detached>(ledger_actor, stores_.owner, std::move(ledger_ports));
      reader_ =
          system_->spawn<caf::detached>(reader_actor, stores_.reader, std::move(reader_ports));
    }

    CoordinatorPorts ports;
    ports.persist = [ledger = ledger_](CoordinatorBatch batch) {
      caf::anon_send(ledger, std::move(batch));
    };
    ports.send = send;
    ports.publish = [this](Entries entries) { publish(*bus_, std::move(entries)); };
    ports.reply = [this](ClientResponse response) { answer(std::move(response)); };
    ports.serve_entries = [reader = reader_](ServeEntries request) {
      caf::anon_send(reader, std::move(request));
    };
    ports.serve_session = [reader = reader_](ServeSession request) {
      caf::anon_send(reader, std::move(request));
    };
    ports.serve_ledger = [reader = reader_](ServeLedger request) {
      caf::anon_send(reader, std::move(request));
    };
    ports.read_entries = [reader = reader_](ReadEntries request) {
      caf::anon_send(reader, std::move(request));
    };
    ports.read_past = [reader = reader_](ReadPast request) {
      caf::anon_send(reader, std::move(request));
    };
    ports.race = log_record;
    ports.log = log_;
    ports.fatal = [](const Error& error) {
      log_line(error.message);
      std::_Exit(exit_verification);  // Nothing was acknowledged that is not durable.
    };
    coordinator_ = system_->spawn(coordinator_actor, std::move(machine), std::move(ports));
    inlet_->open(coordinator_);
  }

  const CoordinatorStores stores_;
  const LocalReplies local_replies_;
  const std::function<void(const std::string&)> log_;
  const std::shared_ptr<CoordinatorInlet> inlet_ = std::make_shared<CoordinatorInlet>();
  std::unique_ptr<CoordinatorBus> bus_;
  const std::shared_ptr<ActorLoop> loop_ = ActorLoop::make();
  caf::actor_system_config configuration_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<Peers> peers_;
  LedgerActor ledger_;
  ReaderActor reader_;
  CoordinatorActor coordinator_;
};

}  // namespace

Result<std::unique_ptr<CoordinatorHost>> CoordinatorHost::start(CoordinatorHostSettings settings,
                                                                const KeyFolder& keys,
                                                                CoordinatorStores stores,
                                                                LocalReplies local_replies) {
  auto host = std::make_unique<Host>(std::move(stores), std::move(local_replies), settings.log);
  if (auto running = host->run(std::move(settings), keys); !running) {
    return tl::unexpected<Error>(running.error());
  }
  return host;
}

}  // namespace forerun
