#include <algorithm>
#include <cctype>
#include <iostream>
#include <iterator>
#include <memory>

#include "apps/commands/client_flags.hpp"
#include "apps/commands/commands.hpp"
#include "speculation/explanation.hpp"
#include "storage/store.hpp"

namespace forerun {
namespace {

struct ExplainFlags {
  std::string run_id;
  std::optional<std::uint32_t> step;
  ClientFlags client;
  std::filesystem::path data;
  std::string output = "text";
};

json::Array* array_of(json::Value& page, std::string_view name) {
  json::Object* object = page.object();
  json::Value* list = object == nullptr ? nullptr : object->find(name);
  return list == nullptr ? nullptr : list->array();
}

std::uint64_t steps_of(json::Value& page) {
  const json::Array* steps = array_of(page, "steps");
  return steps == nullptr ? 0 : steps->size();
}

/// Of the whole session; 0 where the answer does not say.
std::uint64_t next_step_of(const json::Value& page) {
  const json::Value* next = page.object() == nullptr ? nullptr : page.find("next_step");
  const double* number = next == nullptr ? nullptr : next->number();
  return number == nullptr ? 0 : static_cast<std::uint64_t>(std::max(0.0, *number));
}

void append_page(json::Value& story, json::Value page) {
  for (const char* name : {"steps", "discards"}) {
    json::Array* to = array_of(story, name);
    json::Array* from = array_of(page, name);
    if (to != nullptr && from != nullptr) {
      std::move(from->begin(), from->end(), std::back_inserter(*to));
    }
  }
}

/// All of the session's pages as one, or the page of one step.
Result<json::Value> ask(const ClientFlags& flags, const RunId& run_id,
                        std::optional<std::uint32_t> step) {
  auto client = flags.client();
  if (!client) {
    return tl::unexpected(client.error());
  }
  const std::string path = "/v1/sessions/" + to_string(run_id) + "/explanation?from=";
  std::optional<json::Value> story;
  for (std::uint64_t first = step.value_or(0);;) {
    auto answer = client->get(path + std::to_string(first) + (step ? "&count=1" : ""));
    if (!answer) {
      return tl::unexpected(answer.error());
    }
    if (answer->status != 200) {
      return tl::unexpected(refusal(flags.url, *answer));
    }
    const std::uint64_t added = steps_of(answer->body);
    first += added;
    const bool is_last = step || added == 0 || first >= next_step_of(answer->body);
    if (story) {
      append_page(*story, std::move(answer->body));
    } else {
      story = std::move(answer->body);
    }
    if (is_last) {
      return std::move(*story);
    }
  }
}

Result<json::Value> read(const std::filesystem::path& data, const RunId& run_id,
                         std::optional<std::uint32_t> step) {
  auto store = open_coordinator_store_readonly(data);
  if (!store) {
    return tl::unexpected(store.error());
  }
  CoordinatorStore::SessionPart part;
  if (step) {
    part = {StepNumber{*step}, 1};
  }
  const auto record = (*store)->session(run_id, part);
  if (!record) {
    return tl::unexpected(record.error());
  }
  return explain(record->row, {record->commits, record->discards, part.first.value,
                               record->before ? &*record->before : nullptr});
}

/// Whether a step that is told of does not hold.
bool has_problem(const json::Value& story, const std::optional<std::uint64_t>& step) {
  const json::Array& steps = *story.find("steps")->array();
  return std::any_of(steps.begin(), steps.end(), [&step](const json::Value& each) {
    const json::Value* number = each.find("step");
    return each.find("problem") != nullptr &&
           (!step || (number != nullptr && *number == json::Value(std::uint64_t{*step})));
  });
}

Result<int> tell(const ExplainFlags& s) {
  const auto run_id = RunId::parse(s.run_id);
  if (!run_id) {
    return fail(Errc::invalid, "RUN_ID: " + run_id.error().message);
  }
  const auto story =
      s.data.empty() ? ask(s.client, *run_id, s.step) : read(s.data, *run_id, s.step);
  if (!story) {
    return tl::unexpected(story.error());
  }
  const auto text = explanation_text(*story, s.step);
  if (!text) {
    return tl::unexpected(text.error());
  }
  if (s.output == "text") {
    std::cout << *text;
  } else if (s.step) {
    for (const json::Value& step : *story->find("steps")->array()) {
      const json::Value* number = step.find("step");
      if (number != nullptr && *number == json::Value(std::uint64_t{*s.step})) {
        std::cout << json::canonical(step) << '\n';
      }
    }
  } else {
    std::cout << json::canonical(*story) << '\n';
  }
  return has_problem(*story, s.step) ? exit_verification : exit_ok;
}

}  // namespace

void add_explain(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<ExplainFlags>();
  CLI::App& command = add_command(app, "explain", "Tell how a session's decisions came about",
                                  chosen, [s] { return report(tell(*s)); });
  command.add_option("run_id", s->run_id, "UUID/COUNTER")->required();
  command.add_option("step", s->step, "One step; without it all of them, and what was discarded")
      ->check(number_within(0, whole_number_max));
  add_client_flags(command, s->client);
  command.add_option("--data", s->data, "Read a coordinator's data directory instead");
  command.add_option("--output", s->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
