#include "apps/dev.hpp"

#include <algorithm>
#include <iostream>
#include <optional>
#include <utility>

#include "apps/node_process.hpp"
#include "apps/process.hpp"
#include "base/json.hpp"
#include "cluster/local/temporary_folder.hpp"
#include "demo/local_cluster.hpp"
#include "demo/session_client.hpp"
#include "files/catalog_file.hpp"
#include "files/example_call.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds children_checked_every{500};

/// One line for a program that started this one.
void print_ready(const LocalCluster& cluster, const std::string& run_id) {
  json::Object ready;
  ready.set("event", "ready");
  ready.set("http", cluster.url());
  ready.set("data", cluster.coordinator_data().string());
  ready.set("session", run_id);
  std::cout << json::canonical(ready) << std::endl;
}

/// For a shell, inside single quotes.
std::string in_single_quotes(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return quoted + "'";
}

void print_lines_to_try(const LocalCluster& cluster, const std::string& run_id,
                        const ExampleCall& example) {
  const std::string session = cluster.url() + "/v1/sessions/" + run_id;
  std::cout << "A coordinator and a node are up; this session is open. Try:\n\n"
            << "  curl -s " << session << "/steps -H 'Content-Type: application/json' -d "
            << in_single_quotes(example.call.canonical()) << "\n"
            << "  curl -s " << session << "\n"
            << "  curl -s " << cluster.url() << "/v1/status\n\n"
            << (example.is_told ? ""
                                : "Task " + example.call.task() +
                                      " names no field: an `example` in its table of the catalog "
                                      "would be shown here.\n")
            << "docs/http.md tells the rest. Ctrl-C ends it.\n"
            << std::flush;
}

/// Its node is this program, so functions that it lacks would fail only when they are called.
Result<void> check_functions(const Catalog& catalog, const std::string& file) {
  std::vector<std::string> known;
  for (const auto& [name, function] : built_in_functions()) {
    known.push_back(name);
  }
  for (const auto& [name, task] : catalog.tasks()) {
    const std::string& function = task.function.empty() ? name : task.function;
    if (task.executor == ExecutorKind::native &&
        std::find(known.begin(), known.end(), function) == known.end()) {
      const auto near = nearest_name(function, known);
      return fail(Errc::not_found,
                  file + ": task." + name + ": native function " + function +
                      " is not in this program" +
                      (near ? ", did you mean " + *near + "?"
                            : "; start `forerun coordinator` and a node that registers it "
                              "(examples/native_node)"));
    }
  }
  return {};
}

}  // namespace

Result<int> run_dev(const DevSettings& settings) {
  Shutdown shutdown;
  const auto catalog = read_catalog(settings.catalog);
  if (!catalog) {
    return tl::unexpected<Error>(catalog.error());
  }
  if (catalog->catalog.tasks().empty()) {
    return fail(Errc::invalid,
                settings.catalog.string() + ": no task, expected at least one [task.NAME]");
  }
  if (const auto all = check_functions(catalog->catalog, settings.catalog.string()); !all) {
    return tl::unexpected<Error>(all.error());
  }
  std::optional<TemporaryFolder> temporary;
  if (settings.data.empty()) {
    auto made = TemporaryFolder::make("forerun-dev");
    if (!made) {
      return tl::unexpected<Error>(made.error());
    }
    temporary.emplace(std::move(*made));
  }
  LocalClusterSettings cluster_settings;
  cluster_settings.binary = settings.binary;
  cluster_settings.folder = temporary ? temporary->path() : settings.data;
  cluster_settings.catalog = settings.catalog;
  cluster_settings.nodes = 1;
  cluster_settings.slots = settings.slots;
  const auto tasks_dir = std::filesystem::absolute(settings.catalog).parent_path();
  cluster_settings.node_flags = {"--tasks-dir", tasks_dir.string()};
  // Whoever tries a catalog wants to see it speculate in each session.
  cluster_settings.coordinator_flags = {"--control-share", "0"};
  auto cluster = LocalCluster::start(cluster_settings);
  if (!cluster) {
    return tl::unexpected<Error>(cluster.error());
  }
  SessionToOpen opening;
  opening.context = "forerun dev";
  const auto run_id = make_http_session_client(cluster->url())->open(opening);
  if (!run_id) {
    return tl::unexpected<Error>(run_id.error());
  }
  if (settings.output == "json") {
    print_ready(*cluster, *run_id);
  } else {
    print_lines_to_try(*cluster, *run_id, example_call(*catalog));
  }
  while (!shutdown.wait_for(children_checked_every)) {
    if (const std::string ended = cluster->ended_process(); !ended.empty()) {
      return fail(Errc::io, ended);
    }
  }
  cluster->stop();
  return Shutdown::exit_code();
}

}  // namespace forerun
