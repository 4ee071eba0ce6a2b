#include "apps/coordinator_process.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "actors/coordinator_actor.hpp"
#include "actors/ledger_actor.hpp"
#include "actors/peer_proxy.hpp"
#include "apps/inlet.hpp"
#include "apps/process.hpp"
#include "cluster/bus.hpp"
#include "cluster/keys.hpp"
#include "coordinator/prediction_graph.hpp"
#include "files/catalog_file.hpp"
#include "files/ledger_export.hpp"
#include "files/replay_record.hpp"
#include "gateway/gateway.hpp"
#include "messages/codec.hpp"
#include "version.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds keys_checked_every{500};

using CoordinatorInlet = Inlet<CoordinatorActor, CoordinatorInputs>;

/// The proxies of connected peers, by connection.
class Peers {
public:
  static constexpr std::size_t peers_max = 4096;

  Peers(caf::actor_system& system, CoordinatorBus& bus) : system_(system), bus_(bus) {}
  void send(ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    const std::scoped_lock lock(mutex_);
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
  void clear() {
    const std::scoped_lock lock(mutex_);
    proxies_.clear();
  }

private:
  caf::actor_system& system_;
  CoordinatorBus& bus_;
  std::mutex mutex_;
  std::map<ConnectionId, PeerProxyActor> proxies_;
};

void publish(CoordinatorBus& bus, Entries entries) {
  const CoordinatorMessage message(std::move(entries));
  for (std::string& frame : encode_frames(std::span(&message, 1))) {
    bus.publish(std::move(frame));
  }
}

CoordinatorBusEvents bus_events(const std::shared_ptr<CoordinatorInlet>& inlet) {
  CoordinatorBusEvents events;
  events.received = [inlet](ConnectionId connection, const NodeId& node,
                            std::vector<std::string> frames) {
    CoordinatorInputs inputs;
    for (const std::string& frame : frames) {
      auto messages = decode_node_frame(frame);
      if (!messages) {
        log_line("node " + node.name + ": dropped a frame: " + messages.error().message);
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

std::filesystem::file_time_type stamp_of(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::last_write_time(file, ignored);
}

/// Follows the allow-list, so that a key that is added or revoked counts at once.
void serve_until_shutdown(Shutdown& shutdown, const std::filesystem::path& data,
                          const KeyFolder& keys, CoordinatorBus& bus) {
  const std::filesystem::path file = data / "keys" / "allowed";
  auto stamp = stamp_of(file);
  while (!shutdown.wait_for(keys_checked_every)) {
    if (const auto now = stamp_of(file); now != stamp) {
      stamp = now;
      if (auto allowed = keys.allowed()) {
        log_line("keys: " + std::to_string(allowed->size()) + " nodes are allowed");
        bus.allow(std::move(*allowed));
      } else {
        log_line(allowed.error().message + ": the keys read before stay in force");
      }
    }
  }
}

/// Makes a coordinator one that replays: whoever opens a session says its run ID, races that time
/// decided are decided as recorded, and time limits are out of the way.
Result<void> prepare_replay(const std::filesystem::path& folder, CoordinatorSettings& settings) {
  const auto ledger = read_ledger_export(folder);
  const auto recorded = ledger ? recorded_sessions(*ledger)
                               : Result<RecordedSessions>(tl::unexpected<Error>(ledger.error()));
  if (!recorded) {
    return tl::unexpected<Error>(recorded.error());
  }
  auto catalog = replay_catalog(settings.catalog);
  if (!catalog) {
    return tl::unexpected<Error>(catalog.error());
  }
  settings.catalog = std::move(*catalog);
  settings.recorded_arrivals = recorded_arrivals(*recorded, settings.catalog);
  settings.accept_given_run_ids = true;
  return {};
}

}  // namespace

Result<int> run_coordinator(const CoordinatorProcessSettings& settings) {
  Shutdown shutdown;
  const auto listen = parse_host_port("--listen", settings.listen);
  const auto http = parse_host_port("--http", settings.http);
  if (!listen || !http) {
    return tl::unexpected<Error>(listen ? http.error() : listen.error());
  }
  auto catalog = read_catalog(settings.catalog);
  if (!catalog) {
    return tl::unexpected<Error>(catalog.error());
  }
  const auto lock = DataDirectoryLock::acquire(settings.data);
  if (!lock) {
    return tl::unexpected<Error>(lock.error());
  }
  auto keys = KeyFolder::open_or_create(settings.data);
  if (!keys) {
    return tl::unexpected<Error>(keys.error());
  }
  auto allowed = keys->allowed();
  if (!allowed) {
    return tl::unexpected<Error>(allowed.error());
  }
  auto opened = open_coordinator_store(settings.data);
  if (!opened) {
    return tl::unexpected<Error>(opened.error());
  }
  const std::shared_ptr<CoordinatorStore> store = std::move(*opened);
  if (const auto kept = store->put_text("catalog.toml", catalog->text); !kept) {
    return tl::unexpected<Error>(kept.error());
  }

  const auto inlet = std::make_shared<CoordinatorInlet>();
  CoordinatorBusSettings bus_settings;
  bus_settings.host = listen->host;
  bus_settings.port = listen->port;
  bus_settings.publish_port = settings.publish_port;
  auto bus =
      CoordinatorBus::start(bus_settings, keys->server(), std::move(*allowed), bus_events(inlet));
  if (!bus) {
    return tl::unexpected<Error>(bus.error());
  }

  CoordinatorSettings machine_settings;
  machine_settings.version = program_version;
  machine_settings.catalog = std::move(catalog->catalog);
  machine_settings.admission = settings.admission;
  machine_settings.session_idle_max = settings.session_idle_max;
  machine_settings.race_log_share = settings.race_log_share;
  machine_settings.publish_port = (*bus)->publish_port();
  machine_settings.plant_skip_hazards = settings.plant == "skip-hazards";
  if (!settings.replay.empty()) {
    const auto size = store->size();
    if (!size) {
      return tl::unexpected<Error>(size.error());
    }
    if (*size != 0) {
      return fail(Errc::refused, settings.data.string() + ": a ledger of " + std::to_string(*size) +
                                     " entries, expected none: a replay uses run IDs of others, so "
                                     "its store is to be thrown away; give --data a new folder");
    }
    if (const auto prepared = prepare_replay(settings.replay, machine_settings); !prepared) {
      return tl::unexpected<Error>(prepared.error());
    }
  }
  auto machine = std::make_shared<CoordinatorMachine>(std::move(machine_settings), keys->ledger(),
                                                      std::make_unique<PredictionGraph>());
  const auto recovery =
      store->recover([&machine](const StoredEntry& entry) { machine->restore(entry); });
  if (!recovery) {
    return tl::unexpected<Error>(recovery.error());
  }
  machine->restore(*recovery);
  log_line("recovered " + std::to_string(machine->ledger_size()) + " entries, " +
           std::to_string(recovery->sessions.size()) + " open sessions");

  caf::actor_system_config config;
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", std::size_t{2});
  caf::actor_system system(config);
  Peers peers(system, **bus);
  std::shared_ptr<Gateway> gateway;

  GatewaySettings gateway_settings;
  gateway_settings.host = http->host;
  gateway_settings.port = http->port;
  GatewayPorts gateway_ports;
  gateway_ports.submit = [inlet](ClientRequest request) {
    inlet->put(CoordinatorInputs{{CoordinatorInput(std::move(request))}});
  };
  gateway_ports.left = [inlet](RequestId request) {
    inlet->put(CoordinatorInputs{{CoordinatorInput(ClientLeft{request})}});
  };
  auto started = Gateway::start(gateway_settings, std::move(gateway_ports));
  if (!started) {
    return tl::unexpected<Error>(started.error());
  }
  gateway = std::move(*started);

  LedgerPorts ledger_ports;
  ledger_ports.persisted = [inlet](BatchNumber number) {
    inlet->put(CoordinatorInputs{{CoordinatorInput(Persisted{number})}});
  };
  ledger_ports.send = [&peers](ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    peers.send(connection, std::move(messages));
  };
  ledger_ports.reply = [gateway](ClientResponse response) { gateway->answer(std::move(response)); };
  ledger_ports.entries_read = [inlet](EntriesRead read) {
    inlet->put(CoordinatorInputs{{CoordinatorInput(std::move(read))}});
  };
  ledger_ports.fatal = [](const std::string& why) {
    log_line("the store failed, so nothing can be promised any more: " + why);
    std::_Exit(exit_error);  // No answer may leave after a failed sync.
  };
  const LedgerActor ledger =
      system.spawn<caf::detached>(ledger_actor, store, std::move(ledger_ports));

  CoordinatorPorts ports;
  ports.persist = [ledger](CoordinatorBatch batch) { caf::anon_send(ledger, std::move(batch)); };
  ports.send = [&peers](ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    peers.send(connection, std::move(messages));
  };
  ports.publish = [&bus](Entries entries) { publish(**bus, std::move(entries)); };
  ports.reply = [gateway](ClientResponse response) { gateway->answer(std::move(response)); };
  ports.serve_entries = [ledger](ServeEntries request) {
    caf::anon_send(ledger, std::move(request));
  };
  ports.serve_session = [ledger](ServeSession request) {
    caf::anon_send(ledger, std::move(request));
  };
  ports.race = log_record;
  ports.serve_ledger = [ledger](ServeLedger request) {
    caf::anon_send(ledger, std::move(request));
  };
  ports.read_entries = [ledger](ReadEntries request) {
    caf::anon_send(ledger, std::move(request));
  };
  ports.log = log_line;
  const CoordinatorActor coordinator = system.spawn(coordinator_actor, machine, std::move(ports));
  inlet->open(coordinator);

  json::Object ready;
  ready.set("event", "ready");
  ready.set("http", "http://" + http->host + ":" + std::to_string(gateway->port()));
  ready.set("join", listen->host + ":" + std::to_string((*bus)->port()));
  ready.set("ledger_key", to_hex(keys->ledger().public_key()));
  print_event(json::canonical(ready));
  serve_until_shutdown(shutdown, settings.data, *keys, **bus);

  log_line("ending");
  gateway->drain();
  inlet->close();
  caf::anon_send_exit(coordinator, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(ledger, caf::exit_reason::user_shutdown);
  peers.clear();
  system.await_all_actors_done();
  bus->reset();
  return Shutdown::exit_code();
}

}  // namespace forerun
