#include "apps/coordinator_process.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "apps/coordinator_host.hpp"
#include "apps/process.hpp"
#include "base/private_file.hpp"
#include "files/catalog_file.hpp"
#include "files/ledger_export.hpp"
#include "files/replay_record.hpp"
#include "gateway/tokens_file.hpp"
#include "version.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds access_checked_every{250};
/// Of connections and of the bytes of bodies, for one address; a remote one has also this many
/// connections at most. Behind a proxy all clients have the same.
constexpr double per_peer_share = 0.25;
constexpr std::size_t connections_per_peer_max = 1024;
/// More than all connections, stores and sockets together take.
constexpr std::size_t descriptors_wanted = 65'536;

/// A file that is read again when it changes, and, if that fails, until it is read: a revocation
/// that could not be read must not be lost.
class FollowedFile {
public:
  /// `read` tells the operator what it read.
  FollowedFile(std::filesystem::path file, std::function<Result<std::string>()> read)
      : file_(std::move(file)), read_(std::move(read)), stamp_(file_stamp(file_)) {}
  void look() {
    std::string now = file_stamp(file_);
    if (now == stamp_ && failure_.empty()) {
      return;
    }
    stamp_ = std::move(now);
    if (const auto told = read_()) {
      failure_.clear();
      log_line(*told);
    } else if (std::exchange(failure_, told.error().message) != told.error().message) {
      log_line(failure_ + ": what was read before stays in force, and it is tried again");
    }
  }

private:
  std::filesystem::path file_;
  std::function<Result<std::string>()> read_;
  std::string stamp_;
  std::string failure_;  ///< Of the latest reading; empty: it was read.
};

Result<std::string> follow_keys(const KeyFolder& keys, CoordinatorHost& host) {
  auto allowed = keys.allowed();
  if (!allowed) {
    return tl::unexpected<Error>(allowed.error());
  }
  std::string told = "keys: " + std::to_string(allowed->size()) + " nodes are allowed";
  host.allow(std::move(*allowed));
  return told;
}

Result<std::string> follow_tokens(const std::filesystem::path& file, CoordinatorHost& host) {
  auto tokens = read_tokens(file);
  if (!tokens) {
    return tl::unexpected<Error>(tokens.error());
  }
  std::string told = "tokens: " + std::to_string(tokens->entries().size()) + " are allowed";
  host.set_tokens(std::make_shared<TokenTable>(std::move(*tokens)));
  return told;
}

Result<std::string> follow_certificate(const std::filesystem::path& file, CoordinatorHost& host) {
  if (const auto renewed = host.renew_certificate(); !renewed) {
    return tl::unexpected<Error>(renewed.error());
  }
  return "tls: " + file.string() + " is used from now on";
}

/// Follows the lists of who may connect and ask, so that what is added or revoked counts at once.
void serve_until_shutdown(Shutdown& shutdown, std::vector<FollowedFile> files) {
  while (!shutdown.wait_for(access_checked_every)) {
    for (FollowedFile& file : files) {
      file.look();
    }
  }
}

/// Of a branch whose nodes are lost under it: that says nothing of a decision, and a replay's tasks
/// may run as often as it takes.
constexpr std::uint32_t replay_attempts_max = 1000;

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
  settings.attempts_max = replay_attempts_max;
  settings.effects.delivers = false;
  return {};
}

}  // namespace

Result<int> run_coordinator(const CoordinatorProcessSettings& settings) {
  Shutdown shutdown;
  raise_descriptor_limit(descriptors_wanted);
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
  auto opened = open_coordinator_store(settings.data);
  if (!opened) {
    return tl::unexpected<Error>(opened.error());
  }
  const std::shared_ptr<CoordinatorStore> store = std::move(*opened);

  CoordinatorHostSettings host_settings;
  // Taken before the files are read: what changes meanwhile is seen as a change.
  CoordinatorHost* running = nullptr;
  std::vector<FollowedFile> followed;
  followed.emplace_back(settings.data / "keys" / "allowed",
                        [&] { return follow_keys(*keys, *running); });
  if (!settings.tokens.empty()) {
    followed.emplace_back(settings.tokens,
                          [&] { return follow_tokens(settings.tokens, *running); });
    auto tokens = read_tokens(settings.tokens);
    if (!tokens) {
      return tl::unexpected<Error>(tokens.error());
    }
    host_settings.gateway.tokens = std::make_shared<TokenTable>(std::move(*tokens));
  }
  if (!settings.tls_certificate.empty()) {
    for (const std::filesystem::path& file : {settings.tls_certificate, settings.tls_key}) {
      followed.emplace_back(file,
                            [&] { return follow_certificate(settings.tls_certificate, *running); });
    }
  }
  host_settings.gateway.tls_certificate = settings.tls_certificate.string();
  host_settings.gateway.tls_key = settings.tls_key.string();
  host_settings.gateway.is_behind_tls_proxy = settings.is_behind_tls_proxy;
  host_settings.gateway.names = settings.http_names;
  host_settings.gateway.per_peer_share = settings.is_behind_tls_proxy ? 1 : per_peer_share;
  if (!settings.is_behind_tls_proxy && http->host != "localhost" &&
      !http->host.starts_with("127.") && http->host != "::1") {
    host_settings.gateway.connections_per_peer_max = connections_per_peer_max;
  }
  host_settings.data = settings.data.string();
  host_settings.catalog_text = catalog->text;
  host_settings.bus.host = listen->host;
  host_settings.bus.port = listen->port;
  host_settings.bus.publish_port = settings.publish_port;
  host_settings.gateway.host = http->host;
  host_settings.gateway.port = http->port;
  host_settings.machine.version = program_version;
  host_settings.machine.catalog = std::move(catalog->catalog);
  host_settings.machine.admission = settings.admission;
  host_settings.machine.history = settings.history;
  host_settings.machine.usefulness = settings.usefulness;
  host_settings.machine.hedge = settings.hedge;
  host_settings.prediction_megabytes = settings.prediction_megabytes;
  host_settings.machine.recheck.share = settings.replay.empty() ? settings.recheck_share : 0;
  host_settings.machine.effects.attempts_max = settings.effect_attempts_max;
  host_settings.machine.adoption.wait = settings.adopt_wait;
  host_settings.machine.session_idle_max = settings.session_idle_max;
  host_settings.machine.plant_skip_hazards = settings.plant == "skip-hazards";
  host_settings.machine.race_log_share = settings.race_log_share;
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
    if (const auto prepared = prepare_replay(settings.replay, host_settings.machine); !prepared) {
      return tl::unexpected<Error>(prepared.error());
    }
  }
  auto reader = open_coordinator_store_readonly(settings.data);
  if (!reader) {
    return tl::unexpected<Error>(reader.error());
  }
  auto host = CoordinatorHost::start(std::move(host_settings), *keys, {store, std::move(*reader)});
  if (!host) {
    return tl::unexpected<Error>(host.error());
  }

  running = host->get();

  json::Object ready;
  ready.set("event", "ready");
  ready.set("http", (settings.tls_certificate.empty() ? "http://" : "https://") + http->host + ":" +
                        std::to_string((*host)->http_port()));
  ready.set("join", listen->host + ":" + std::to_string((*host)->join_port()));
  ready.set("ledger_key", to_hex(keys->ledger().public_key()));
  print_event(json::canonical(ready));
  serve_until_shutdown(shutdown, std::move(followed));

  log_line("ending");
  host->reset();
  return Shutdown::exit_code();
}

}  // namespace forerun
