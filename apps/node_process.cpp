#include "apps/node_process.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "actors/audit_actor.hpp"
#include "actors/node_actor.hpp"
#include "actors/replica_actor.hpp"
#include "actors/worker_actor.hpp"
#include "apps/actor_work.hpp"
#include "apps/inlet.hpp"
#include "apps/process.hpp"
#include "base/failpoint.hpp"
#include "base/private_file.hpp"
#include "cluster/bus.hpp"
#include "cluster/dropped_frames.hpp"
#include "cluster/keys.hpp"
#include "cluster/link_trouble.hpp"
#include "files/recorded_world.hpp"
#include "files/traces.hpp"
#include "messages/codec.hpp"
#include "node/executors/cgroups.hpp"
#include "node/executors/demo_functions.hpp"
#include "node/executors/effect_sender.hpp"
#include "node/executors/http_loop.hpp"
#include "node/executors/replay_executor.hpp"
#include "node/executors/replay_journal.hpp"
#include "node/executors/sandbox.hpp"
#include "speculation/effects.hpp"
#include "storage/store.hpp"
#include "version.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds signals_checked_every{1000};
constexpr double nap_ms_max = 60'000;
constexpr double as_fast_as_possible = 1e6;  ///< Of modelled latencies.
using NodeInlet = Inlet<NodeActor, NodeInputs>;

Result<std::string> first_line_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line)) {
    return fail(Errc::not_found, file.string() + ": cannot be read, expected a join token");
  }
  return line;
}

Result<JoinToken> token_of(const NodeProcessSettings& settings) {
  const std::filesystem::path kept = settings.data / "join.token";
  Result<std::string> text = settings.token;
  // A file that was named goes before a token of the environment, which may be one for HTTP.
  if (settings.token.empty() || !settings.token_file.empty()) {
    if (!settings.token_file.empty()) {
      if (auto alone = check_private(settings.token_file); !alone) {
        return tl::unexpected<Error>(alone.error());
      }
    }
    text = first_line_of(settings.token_file.empty() ? kept : settings.token_file);
    if (!text && settings.token_file.empty()) {
      return fail(Errc::invalid,
                  "node: no token: run `forerun keys add NAME --data DIR --out FILE` beside "
                  "the coordinator, then start this node with --token-file FILE once");
    }
  }
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  auto token = JoinToken::parse(*text);
  if (token && (!settings.token.empty() || !settings.token_file.empty())) {
    if (const auto written = write_private_file(kept, token->text() + "\n"); !written) {
      return tl::unexpected<Error>(written.error());
    }
  }
  return token;
}

/// The workers of the data directory; made at the first start.
Result<std::vector<WorkerOffer>> workers_of(const NodeProcessSettings& settings,
                                            IdentityStore& store) {
  auto identity = store.load();
  if (!identity) {
    return tl::unexpected<Error>(identity.error());
  }
  std::vector<MarkRow> given;
  for (const std::string& text : settings.worker_uuids) {
    const auto uuid = Uuid::parse(text);
    if (!uuid) {
      return tl::unexpected<Error>(uuid.error());
    }
    given.push_back({WorkerId{*uuid}, 0});
  }
  if (identity->workers.empty()) {
    if (given.empty()) {
      for (std::uint32_t i = 0; i < settings.workers; ++i) {
        given.push_back({WorkerId{Uuid::random()}, 0});
      }
    }
    if (const auto saved = store.save(given); !saved) {
      return tl::unexpected<Error>(saved.error());
    }
    identity->workers = given;
  } else {
    for (const MarkRow& wanted : given) {
      const bool is_known =
          std::any_of(identity->workers.begin(), identity->workers.end(),
                      [&](const MarkRow& row) { return row.worker == wanted.worker; });
      if (!is_known) {
        return fail(Errc::refused,
                    "--worker " + to_string(wanted.worker) + ": " + settings.data.string() +
                        " belongs to worker " + to_string(identity->workers.front().worker) +
                        ": a worker keeps its UUID; use another --data for another worker");
      }
    }
  }
  std::vector<WorkerOffer> offers;
  for (const MarkRow& row : identity->workers) {
    offers.push_back({row.worker, settings.slots, row.mark});
  }
  return offers;
}

struct Replica {
  std::shared_ptr<ReplicaStore> store;
  LedgerChecker checker;
  Epoch epoch;
  std::optional<SignedHead> head;
};

/// A node that diverged returns only when an operator says so. What proves it is never overwritten.
Result<void> settle_divergence(const NodeProcessSettings& settings) {
  const std::filesystem::path proof = settings.data / "divergence.json";
  std::error_code problem;
  if (!std::filesystem::exists(proof, problem)) {
    return {};
  }
  if (!settings.resync) {
    return fail(Errc::verification,
                proof.string() +
                    ": this node's ledger and its coordinator's are two histories, and "
                    "both heads are kept there: find out why, then start once with "
                    "--resync to take the coordinator's");
  }
  reach(Failpoint::divergence_settle);
  for (int number = 1;; ++number) {
    const auto kept =
        settings.data / ("divergence.before-resync-" + std::to_string(number) + ".json");
    if (!std::filesystem::exists(kept, problem)) {
      std::filesystem::rename(proof, kept, problem);
      break;
    }
  }
  reach(Failpoint::divergence_settled);
  return problem ? fail(Errc::io, proof.string() + ": cannot be put aside: " + problem.message())
                 : Result<void>();
}

void keep_divergence(const std::filesystem::path& data, const Divergence& divergence) {
  const std::filesystem::path proof = data / "divergence.json";
  reach(Failpoint::divergence_record);
  const auto kept = write_private_file(proof, divergence_json(divergence) + "\n");
  reach(Failpoint::divergence_recorded);
  log_line(kept ? "both heads are kept in " + proof.string() : kept.error().message);
}

tl::unexpected<Error> damaged_replica(const NodeProcessSettings& settings,
                                      const std::string& problem) {
  return fail(Errc::verification,
              "replica in " + settings.data.string() + ": " + problem +
                  ": the stored copy was changed; start with --resync to fetch it anew");
}

/// Opens the replica and checks every entry of it again.
Result<Replica> replica_of(const NodeProcessSettings& settings, const PublicKey& ledger_key) {
  if (const auto settled = settle_divergence(settings); !settled) {
    return tl::unexpected<Error>(settled.error());
  }
  auto store = open_replica_store(settings.data);
  bool is_aside = false;
  if (!store && store.error().code == Errc::invalid) {
    if (!settings.resync) {
      return damaged_replica(settings, store.error().message);
    }
    if (const auto done = put_replica_aside(settings.data); !done) {
      return tl::unexpected<Error>(done.error());
    }
    is_aside = true;
    store = open_replica_store(settings.data);
  }
  if (!store) {
    return tl::unexpected<Error>(store.error());
  }
  Replica replica{std::move(*store), LedgerChecker(ledger_key), {}, {}};
  if (settings.resync && !is_aside) {
    if (const auto done = replica.store->reset(); !done) {
      return tl::unexpected<Error>(done.error());
    }
  }
  std::optional<Error> broken;
  const auto recovery = replica.store->recover([&](const StoredEntry& entry) {
    if (!broken) {
      if (const auto taken = replica.checker.take(entry.leaf, entry.call); !taken) {
        broken = taken.error();
      }
    }
  });
  if (!recovery && recovery.error().code != Errc::verification &&
      recovery.error().code != Errc::invalid) {
    return tl::unexpected<Error>(recovery.error());
  }
  if (!recovery) {
    broken = recovery.error();
  }
  if (broken) {
    return damaged_replica(settings, broken->message);
  }
  replica.epoch = recovery->epoch;
  replica.head = recovery->head;
  reach(Failpoint::node_recovered);
  return replica;
}

/// The catalog that the coordinator sent, for all workers.
class SharedCatalog {
public:
  void use(const std::string& text) {
    const auto value = json::parse(text, {frame_bytes_max, json::depth_max});
    auto catalog =
        value ? Catalog::from_json(*value) : Result<Catalog>(tl::unexpected<Error>(value.error()));
    if (!catalog) {
      log_line("the coordinator's catalog was refused: " + catalog.error().message);
      return;
    }
    const std::scoped_lock lock(mutex_);
    catalog_ = std::make_shared<const Catalog>(std::move(*catalog));
  }
  std::shared_ptr<const Catalog> get() const {
    const std::scoped_lock lock(mutex_);
    return catalog_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Catalog> catalog_ = std::make_shared<const Catalog>();
};

/// As long as `ms` says, or until it is stopped.
Result<json::Value> nap(const NativeCall& call) {
  const json::Value* ms = call.input.find("ms");
  const double* length = ms == nullptr ? nullptr : ms->number();
  if (length == nullptr || !(*length >= 0 && *length <= nap_ms_max)) {
    return fail(Errc::invalid, "nap: ms: expected a number of milliseconds, at most a minute");
  }
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, call.stop, std::chrono::duration<double, std::milli>(*length),
                   [] { return false; });
  return json::Object();
}

/// What this node offers, `own` functions among it.
Result<NativeFunctions> functions_of(const NodeProcessSettings& settings, NativeFunctions own) {
  NativeFunctions functions = built_in_functions();
  if (!settings.demo_store.empty()) {
    functions.merge(make_demo_functions(settings.demo_store, settings.speedup));
  }
  for (const auto& [name, function] : own) {
    if (!function || functions.contains(name)) {
      return fail(Errc::invalid, "native function " + name + ": " +
                                     (function ? "every node offers one of that name; give it "
                                                 "another, such as mine::" +
                                                     name
                                               : "it is empty"));
    }
  }
  functions.merge(own);
  return functions;
}

Result<std::shared_ptr<Executors>> executors_of(const NodeProcessSettings& settings,
                                                NativeFunctions functions, std::size_t slots,
                                                const std::shared_ptr<HttpLoop>& http) {
  auto executors = std::make_shared<Executors>();
  ExecSettings exec;
  exec.folder = settings.tasks_dir.empty() ? "." : settings.tasks_dir.string();
  exec.residents = slots;
  exec.log = log_line;
  std::error_code problem;
  const auto data = std::filesystem::absolute(settings.data, problem).lexically_normal();
  auto sandbox = Sandbox::probe({.helper = {}, .bwrap = {}, .hidden = {data.string()}});
  if (!sandbox.is_usable()) {
    log_line("no usable sandbox, so exec tasks without sandbox = false are refused: " +
             sandbox.why());
  }
  exec.sandbox = std::make_shared<const Sandbox>(std::move(sandbox));
  exec.cgroups = Cgroups::probe();
  log_line(exec.cgroups->description());
  executors->emplace(ExecutorKind::exec, make_exec_executor(exec));
  executors->emplace(ExecutorKind::http, make_http_executor(http, exec.folder));
  executors->emplace(ExecutorKind::native,
                     make_native_executor(std::move(functions), slots, {"noop"}));
  if (!settings.world.empty()) {
    auto sessions = read_traces(settings.world);
    if (!sessions) {
      return tl::unexpected<Error>(sessions.error());
    }
    auto read_only = settings.read_only.empty()
                         ? Result<ReadOnlyTasks>(ReadOnlyTasks::all())
                         : ReadOnlyTasks::parse(settings.read_only, settings.world);
    if (!read_only) {
      return tl::unexpected<Error>(read_only.error());
    }
    model_missing_times(*sessions, settings.seed);
    executors->emplace(
        ExecutorKind::world,
        make_world_executor(std::make_shared<const RecordedWorld>(
            std::move(*sessions), std::move(*read_only), settings.seed, settings.speedup)));
  }
  return executors;
}

Result<std::shared_ptr<Executors>> live_executors_of(const NodeProcessSettings& settings,
                                                     NativeFunctions own, std::size_t slots,
                                                     const std::shared_ptr<HttpLoop>& http) {
  auto functions = functions_of(settings, std::move(own));
  return functions ? executors_of(settings, std::move(*functions), slots, http)
                   : tl::unexpected<Error>(functions.error());
}

/// The executors of a replay's node. What it runs again it writes down in `replay.jsonl`, a line a
/// run in one write, so that kill -9 loses none that was answered.
Result<std::shared_ptr<Executors>> replay_executors_of(const NodeProcessSettings& settings,
                                                       NativeFunctions own, std::size_t slots,
                                                       const std::shared_ptr<HttpLoop>& http) {
  auto record = read_replay_record(settings.replay);
  if (!record) {
    return tl::unexpected<Error>(record.error());
  }
  NodeProcessSettings real = settings;
  real.world.clear();
  real.demo_store = settings.data / "store";
  real.speedup = settings.speedup > 0 ? settings.speedup : as_fast_as_possible;
  NativeFunctions again = make_demo_functions(real.demo_store, real.speedup);
  again.insert(own.begin(), own.end());
  auto functions = functions_of(real, std::move(own));
  if (!functions) {
    return tl::unexpected<Error>(functions.error());
  }
  auto executors = executors_of(real, std::move(*functions), slots, http);
  if (!executors) {
    return executors;
  }
  auto journal = ReplayJournal::open(settings.data / replay_journal_name);
  if (!journal) {
    return tl::unexpected<Error>(journal.error());
  }
  ReplaySettings replay;
  replay.plant_task = settings.plant_wrong_output;
  replay.speedup = settings.speedup;
  replay.can_run = [has_commands = !settings.tasks_dir.empty(), functions = std::move(again)](
                       const Task& task) { return can_run_here(task, functions, has_commands); };
  replay.on_executed =
      [journal = std::make_shared<ReplayJournal>(std::move(*journal))](const ReplayedRun& run) {
        if (const auto written = journal->add(run); !written) {
          log_line(written.error().message);
        }
      };
  return std::make_shared<Executors>(make_replay_executors(
      std::make_shared<const ReplayRecord>(std::move(*record)), std::move(**executors), replay));
}

std::unique_ptr<RunningTask> not_started(const RunDone& done, std::string cause) {
  RunEnded ended;
  ended.ending = Ending::failed;
  ended.cause = std::move(cause);
  done(std::move(ended));
  return nullptr;
}

/// The node's own look at where an effect goes: it trusts its catalog, not a message.
std::unique_ptr<RunningTask> send_effect(EffectSender& sender, const Catalog& catalog,
                                         const Dispatch& dispatch, RunDone done) {
  const auto checked = effect_list_of("[" + dispatch.http + "]", catalog);
  const auto request = checked && *checked ? http_effect_of((*checked)->items.front().value())
                                           : std::optional<HttpEffect>();
  if (!request) {
    return not_started(done, checked ? "not a request" : checked.error().message);
  }
  return sender.send(*request, dispatch.outside_key, dispatch.timeout, std::move(done));
}

StartRun start_run_of(std::shared_ptr<Executors> executors, std::shared_ptr<SharedCatalog> catalogs,
                      std::shared_ptr<EffectSender> sender) {
  return [executors = std::move(executors), catalogs = std::move(catalogs),
          sender = std::move(sender)](const Dispatch& dispatch, const RunDeadline& deadline,
                                      RunDone done) -> std::unique_ptr<RunningTask> {
    const auto catalog = catalogs->get();
    const bool is_effect = !dispatch.http.empty();
    reach(is_effect ? Failpoint::node_effect : Failpoint::node_run);
    if (is_failpoint_armed()) {
      done = [is_effect, done = std::move(done)](RunEnded ended) {
        reach(is_effect ? Failpoint::node_effect_done : Failpoint::node_ran);
        done(std::move(ended));
      };
    }
    if (is_effect) {
      return send_effect(*sender, *catalog, dispatch, std::move(done));
    }
    const Task* task = catalog->task(dispatch.task);
    if (task == nullptr) {
      return not_started(done, "task " + dispatch.task + " is not in this node's catalog");
    }
    const auto executor = executors->find(task->executor);
    if (executor == executors->end()) {
      return not_started(
          done,
          "task " + task->name + ": this node has no " + std::string(to_string(task->executor)) +
              " executor" +
              (task->executor == ExecutorKind::world ? ": start it with --world TRACES" : ""));
    }
    auto input = json::parse(dispatch.input);
    auto state = json::parse(dispatch.state);
    if (!input || input->object() == nullptr || !state) {
      return not_started(done, "dispatch: input or state is not a JSON object");
    }
    Run run{*task, Call::make(task->name, std::move(*input->object())), std::move(*state),
            dispatch.outside_key, dispatch.world};
    if (!dispatch.tenant.empty()) {
      run.tenant = dispatch.tenant;
    }
    run.deadline = deadline;
    return executor->second->start(std::move(run), std::move(done));
  };
}

NodeBusEvents bus_events(const std::shared_ptr<NodeInlet>& inlet, const std::string& address) {
  const auto dropped = std::make_shared<DroppedFrames>();
  const auto pass_on = [inlet, dropped](const std::vector<std::string>& frames) {
    NodeInputs inputs;
    for (const std::string& frame : frames) {
      auto messages = decode_coordinator_frame(frame);
      if (!messages) {
        if (const auto line = dropped->dropped("coordinator", messages.error().message,
                                               std::chrono::steady_clock::now())) {
          log_line(*line);
        }
        continue;
      }
      for (CoordinatorMessage& message : *messages) {
        inputs.inputs.emplace_back(std::move(message));
      }
    }
    inlet->put(std::move(inputs));
  };
  NodeBusEvents events;
  events.received = pass_on;
  events.published = pass_on;
  // All called on the bus's thread.
  const auto trouble = std::make_shared<LinkTrouble>(address);
  const auto happened = [trouble](LinkTrouble::Kind kind) {
    return [trouble, kind] {
      const auto verdict = trouble->happened(kind, std::chrono::steady_clock::now());
      if (verdict.line) {
        log_line(*verdict.line);
      }
      if (verdict.is_final) {
        Shutdown::request(exit_refused);
      }
    };
  };
  events.connected = [trouble] { trouble->connected(); };
  events.refused = happened(LinkTrouble::Kind::refused);
  events.broken = happened(LinkTrouble::Kind::broken);
  events.unreachable = happened(LinkTrouble::Kind::unreachable);
  return events;
}

void send_all(NodeBus& bus, std::span<const NodeMessage> messages) {
  reach(Failpoint::node_send);
  for (std::string& frame : encode_frames(messages)) {
    bus.send(std::move(frame));
  }
  reach(Failpoint::node_sent);
}

}  // namespace

NativeFunctions built_in_functions() {
  NativeFunctions functions;
  functions.emplace("noop",
                    [](const NativeCall&) -> Result<json::Value> { return json::Object(); });
  functions.emplace("brief", [](const NativeCall&) -> Result<json::Value> {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return json::Object();
  });
  functions.emplace("nap", nap);
  return functions;
}

Result<int> run_node(const NodeProcessSettings& settings, NativeFunctions own) {
  Shutdown shutdown;
  const auto join = parse_host_port("--join", settings.join);
  if (!join) {
    return tl::unexpected<Error>(join.error());
  }
  const auto lock = DataDirectoryLock::acquire(settings.data);
  if (!lock) {
    return tl::unexpected<Error>(lock.error());
  }
  const auto token = token_of(settings);
  if (!token) {
    return tl::unexpected<Error>(token.error());
  }
  const auto own_keys = CurveKeyPair::from_secret(token->node_secret);
  if (!own_keys) {
    return tl::unexpected<Error>(own_keys.error());
  }
  auto identity = open_identity_store(settings.data);
  if (!identity) {
    return tl::unexpected<Error>(identity.error());
  }
  const std::shared_ptr<IdentityStore> identities = std::move(*identity);
  auto offers = workers_of(settings, *identities);
  if (!offers) {
    return tl::unexpected<Error>(offers.error());
  }
  auto replica = replica_of(settings, token->ledger_key);
  if (!replica) {
    return tl::unexpected<Error>(replica.error());
  }
  const std::size_t slots = offers->size() * settings.slots;
  const auto http = std::make_shared<HttpLoop>();
  auto executors = settings.replay.empty()
                       ? live_executors_of(settings, std::move(own), slots, http)
                       : replay_executors_of(settings, std::move(own), slots, http);
  if (!executors) {
    return tl::unexpected<Error>(executors.error());
  }

  NodeSettings machine_settings;
  machine_settings.name = settings.name;
  machine_settings.version = program_version;
  machine_settings.workers = *offers;
  std::random_device random;
  machine_settings.instance = std::uint64_t{random()} << 32U | random();
  std::vector<WorkerId> workers;
  for (const WorkerOffer& offer : *offers) {
    workers.push_back(offer.worker);
  }
  auto machine = std::make_shared<NodeMachine>(machine_settings, std::move(replica->checker),
                                               replica->epoch, replica->head);

  const auto inlet = std::make_shared<NodeInlet>();
  NodeBusSettings bus_settings;
  bus_settings.host = join->host;
  bus_settings.port = join->port;
  const std::shared_ptr<ActorLoop> loop = ActorLoop::make();
  caf::actor_system_config config;
  loop->schedule(config);
  caf::actor_system system(config);
  NodeBusEvents events = bus_events(inlet, settings.join);
  events.work = work_of(loop);
  auto bus = NodeBus::start(bus_settings, *own_keys, token->server_public, std::move(events));
  if (!bus) {
    return tl::unexpected<Error>(bus.error());
  }

  AuditPorts audit_ports;
  audit_ports.open = [data = settings.data] { return open_replica_store_readonly(data); };
  audit_ports.audited = [inlet](ReplicaAudited audited) {
    inlet->put(NodeInputs{{NodeInput(std::move(audited))}});
  };
  const AuditActor auditor = system.spawn<caf::detached>(
      audit_actor, std::optional<PublicKey>(token->ledger_key), std::move(audit_ports));
  ReplicaPorts replica_ports;
  replica_ports.audit = [auditor](ReplicaAuditOrder order) {
    caf::anon_send(auditor, std::move(order));
  };
  replica_ports.page_read = [inlet](ReplicaEntries page) {
    inlet->put(NodeInputs{{NodeInput(std::move(page))}});
  };
  replica_ports.marks_persisted = [inlet](std::vector<MarkRow> marks) {
    NodeInputs inputs;
    for (const MarkRow& mark : marks) {
      inputs.inputs.emplace_back(MarkPersisted{mark.worker, mark.mark});
    }
    inlet->put(std::move(inputs));
  };
  replica_ports.fatal = [](const std::string& why) {
    log_line("the node's store failed: " + why);
    std::_Exit(exit_error);
  };
  const ReplicaActor stores = system.spawn<caf::detached>(replica_actor, replica->store, identities,
                                                          std::move(replica_ports));

  const auto catalogs = std::make_shared<SharedCatalog>();
  const auto sender = std::make_shared<EffectSender>(http);
  const StartRun start_run = start_run_of(*executors, catalogs, sender);
  NodePorts ports;
  ports.persist = [stores](ReplicaBatch batch) { caf::anon_send(stores, std::move(batch)); };
  ports.persist_marks = [stores](std::vector<MarkRow> marks) {
    caf::anon_send(stores, PersistMarks{std::move(marks)});
  };
  ports.audit = [stores](ReplicaAuditOrder order) { caf::anon_send(stores, std::move(order)); };
  ports.page = [stores](ReplicaPageOrder order) { caf::anon_send(stores, std::move(order)); };
  ports.send = [&bus](std::vector<NodeMessage> messages) { send_all(**bus, messages); };
  ports.subscribe = [&bus](std::uint16_t port) { (*bus)->subscribe(port); };
  ports.use_catalog = [catalogs, executors = *executors](const std::string& text) {
    catalogs->use(text);
    for (const auto& [kind, executor] : *executors) {
      executor->prepare(*catalogs->get());
    }
  };
  ports.log = log_line;
  ports.diverged = [data = settings.data](const Divergence& divergence) {
    keep_divergence(data, divergence);
  };
  ports.fatal = [](const Error& error) {
    log_line(error.message);
    Shutdown::request(exit_code_of(error));
  };
  json::Object joined;
  joined.set("event", "joined");
  joined.set("name", settings.name);
  joined.set("node", fingerprint(own_keys->public_key).name);
  json::Array uuids;
  for (const WorkerId& worker : workers) {
    uuids.emplace_back(to_string(worker));
  }
  joined.set("workers", std::move(uuids));
  ports.joined = [line = json::canonical(joined), is_first = true]() mutable {
    if (std::exchange(is_first, false)) {
      print_event(line);
    }
    log_line("joined");
  };
  const auto spawn_worker = [&system, start_run](WorkerId, NodeActor node) {
    return system.spawn(worker_actor, std::move(node), start_run);
  };
  const NodeActor node =
      system.spawn(node_actor, machine, workers, SpawnWorker(spawn_worker), std::move(ports));
  inlet->open(node);
  while (!shutdown.wait_for(signals_checked_every)) {
  }

  log_line("ending");
  inlet->close();
  caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(stores, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(auditor, caf::exit_reason::user_shutdown);
  (*executors)->clear();
  http->close();
  system.await_all_actors_done();
  bus->reset();
  return Shutdown::exit_code();
}

}  // namespace forerun
