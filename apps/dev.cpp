#include "apps/dev.hpp"

#include <iostream>
#include <optional>
#include <utility>

#include "apps/process.hpp"
#include "cluster/local/temporary_folder.hpp"
#include "demo/local_cluster.hpp"
#include "demo/session_client.hpp"
#include "files/catalog_file.hpp"

namespace forerun {
namespace {

constexpr std::chrono::milliseconds children_checked_every{500};

/// A field's name in braces, from patterns such as "order/{order_id}".
void add_fields(json::Object& input, const std::optional<std::vector<std::string>>& patterns) {
  for (const std::string& pattern : patterns.value_or(std::vector<std::string>())) {
    for (std::size_t open = pattern.find('{'); open != std::string::npos;
         open = pattern.find('{', open + 1)) {
      const std::size_t close = pattern.find('}', open);
      if (close != std::string::npos) {
        input.set(pattern.substr(open + 1, close - open - 1), "A-1");
      }
    }
  }
}

/// An input for trying a task out: the fields that its tags name, filled with an example.
std::string example_input(const Task& task) {
  json::Object input;
  add_fields(input, task.reads);
  add_fields(input, task.writes);
  return json::canonical(input);
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
  const Task& task = catalog->catalog.tasks().begin()->second;
  const std::string session = cluster->url() + "/v1/sessions/" + *run_id;
  std::cout << "A coordinator and a node are up; this session is open. Try:\n\n"
            << "  curl -s " << session
            << "/steps -H 'Content-Type: application/json' -d '{\"task\":\"" << task.name
            << "\",\"input\":" << example_input(task) << "}'\n"
            << "  curl -s " << session << "\n"
            << "  curl -s " << cluster->url() << "/v1/status\n\n"
            << "docs/http.md tells the rest. Ctrl-C ends it.\n"
            << std::flush;
  while (!shutdown.wait_for(children_checked_every)) {
    if (const std::string ended = cluster->ended_process(); !ended.empty()) {
      return fail(Errc::io, ended);
    }
  }
  cluster->stop();
  return Shutdown::exit_code();
}

}  // namespace forerun
