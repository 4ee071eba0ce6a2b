#include "simulation/world.hpp"

#include <utility>

#include "base/assert.hpp"
#include "base/sha256.hpp"

namespace forerun::simulation {
namespace {

constexpr const char* rejected = "rejected: this input is refused";

std::uint64_t number_of(std::string_view task, const json::Object& input) {
  std::string text(task);
  text += json::canonical(input);
  const Digest digest = sha256(text);
  return std::uint64_t{digest.bytes[0]} << 16U | std::uint64_t{digest.bytes[1]} << 8U |
         digest.bytes[2];
}

std::int64_t integer(const json::Object& input, std::string_view name) {
  const json::Value* value = input.find(name);
  const double* number = value == nullptr ? nullptr : value->number();
  return number == nullptr ? 0 : static_cast<std::int64_t>(*number);
}

Task task(std::string name, Effect effect) {
  Task made;
  made.name = std::move(name);
  made.function = made.name;
  made.executor = ExecutorKind::native;
  made.effect = effect;
  made.timeout = std::chrono::milliseconds(1500);
  return made;
}

bool is_starting_with(const std::optional<std::string>& text, std::string_view prefix) {
  return text && text->starts_with(prefix);
}

}  // namespace

Catalog make_catalog() {
  std::vector<Task> tasks;
  Task lookup = task("lookup", Effect::read);
  lookup.reads = std::vector<std::string>{"item/{key}"};
  tasks.push_back(lookup);
  tasks.push_back(task("scan", Effect::read));  // Undeclared: reads everything of its tenant.
  tasks.push_back(task("classify", Effect::pure));
  for (const char* name : {"fast", "middle", "slow"}) {
    tasks.push_back(task(name, Effect::pure));
  }
  tasks.back().pool = "models";
  Task put = task("put", Effect::write);
  put.writes = std::vector<std::string>{"item/{key}"};
  put.idempotent = true;
  tasks.push_back(put);
  Task add = task("add", Effect::write);
  add.writes = std::vector<std::string>{"item/{key}"};
  tasks.push_back(add);
  tasks.push_back(task("audit", Effect::write));  // Undeclared: writes everything.

  for (Task& each : tasks) {
    if (each.name != "classify" && each.name != "scan") {
      each.state = std::vector<std::string>{};  // Else every write-set would end all speculation.
    }
  }

  std::vector<Race> races;
  for (const auto& [name, rule] : {std::pair("score_ordered", SelectRule::ordered),
                                   std::pair("score_ranked", SelectRule::ranked),
                                   std::pair("score_seeded", SelectRule::seeded)}) {
    Race race{name, {"fast", "middle", "slow"}, rule, {}};
    for (const std::string& branch : race.branches) {
      race.valid.push_back({branch, "/confidence", ValidCondition::Test::at_least, 0.4});
    }
    races.push_back(std::move(race));
  }
  auto catalog = Catalog::make(std::move(tasks), std::move(races), {Pool{"models", 3}},
                               {{"http://receiver"}, {}});
  FORERUN_ASSERT(catalog.has_value());
  return std::move(*catalog);
}

std::string key_of(const json::Object& input) {
  const json::Value* key = input.find("key");
  const std::string* text = key == nullptr ? nullptr : key->string();
  return text == nullptr ? std::string() : *text;
}

std::int64_t count_of(std::string_view state) {
  const auto value = json::parse(state);
  return value && value->object() != nullptr ? integer(*value->object(), "n") : 0;
}

std::string writes_of(std::string_view name, const std::string& state) {
  return name == "classify" || name == "scan"
             ? R"({"n":)" + std::to_string(count_of(state) + 1) + "}"
             : std::string();
}

std::string effects_of(std::string_view name, const std::string& input) {
  return name == "classify" || name == "put"
             ? R"([{"http":{"body":)" + input + R"(,"method":"POST","url":"http://receiver/x"}}])"
             : std::string();
}

Result<std::string> answer_of(std::string_view name, const json::Object& input,
                              std::int64_t stored) {
  json::Object output;
  if (name == "lookup" || name == "scan") {
    output.set("key", key_of(input));
    output.set("value", name == "scan" ? stored * 2 : stored);
  } else if (name == "classify") {
    const std::uint64_t number = number_of(name, input);
    if (number % 13 == 0) {
      return fail(Errc::invalid, rejected);
    }
    output.set("label", number % 3 == 0 ? "bronze" : number % 3 == 1 ? "silver" : "gold");
  } else if (name == "put" || name == "add" || name == "audit") {
    output.set("key", key_of(input));
    output.set("value", written_by(name, input, stored));
  } else {
    output.set("by", name);
    output.set("confidence", static_cast<double>(number_of(name, input) % 64) / 64.0);
  }
  return json::canonical(output);
}

std::int64_t written_by(std::string_view name, const json::Object& input, std::int64_t stored) {
  return name == "put" ? integer(input, "value") : stored + integer(input, "by");
}

Result<std::string> Outside::run(const Task& task, const json::Object& input,
                                 const std::string& outside_key) {
  std::int64_t& stored = values_[key_of(input)];
  if (task.effect != Effect::write) {
    return answer_of(task.name, input, stored);
  }
  if (const auto done = done_.find(outside_key); task.idempotent && done != done_.end()) {
    return done->second;
  }
  auto answer = answer_of(task.name, input, stored);
  stored = written_by(task.name, input, stored);
  done_[outside_key] = *answer;
  return answer;
}

Result<void> Reference::check_branch(const CommitEntry& commit, const Call& call, std::size_t index,
                                     std::int64_t stored) const {
  const std::optional<bool> valid = commit.branch_validities[index];
  const std::optional<std::string>& cause = commit.branch_causes[index];
  if (!valid || is_starting_with(cause, "gave up after") || is_starting_with(cause, "timed out")) {
    return {};
  }
  const auto plan = catalog_->plan(call.task());
  const std::string& name = commit.branch_names[index];
  const auto expected = answer_of(name, call.input(), stored);
  bool should_be_valid = expected.has_value();
  if (expected && plan->race != nullptr) {
    should_be_valid = output_is_valid(plan->race->valid, name, *json::parse(*expected));
  }
  if (*valid != should_be_valid) {
    return fail(Errc::verification, "branch " + name + ": found " +
                                        (*valid ? "valid" : "invalid: ") + cause.value_or("") +
                                        ", expected " + (should_be_valid ? "valid" : "invalid"));
  }
  return {};
}

Result<void> Reference::follow(const CommitEntry& commit, const Call& call,
                               const std::string& output) {
  const auto plan = catalog_->plan(call.task());
  FORERUN_ASSERT(plan.has_value());
  const std::string key = key_of(call.input());
  std::int64_t& stored = values_[key];
  if (plan->is_write()) {
    if (!commit.winner) {
      unknown_.insert(key);
      const std::optional<std::string>& cause = commit.branch_causes.front();
      const bool is_known_cause =
          is_starting_with(cause, "unknown: ") || is_starting_with(cause, "gave up after");
      return is_known_cause
                 ? Result<void>()
                 : fail(Errc::verification, "write failed: " + cause.value_or("no cause"));
    }
    const auto expected = answer_of(call.task(), call.input(), stored);
    stored = written_by(call.task(), call.input(), stored);
    if (!unknown_.contains(key) && output != *expected) {
      return fail(Errc::verification, "output: found " + output + ", expected " + *expected);
    }
    return {};
  }
  if (unknown_.contains(key)) {
    return {};
  }
  for (std::size_t i = 0; i < commit.branch_names.size(); ++i) {
    if (auto checked = check_branch(commit, call, i, stored); !checked) {
      return checked;
    }
  }
  if (commit.winner) {
    const auto expected = answer_of(commit.branch_names[*commit.winner], call.input(), stored);
    if (!expected || output != *expected) {
      return fail(Errc::verification, "output: found " + output + ", expected " +
                                          (expected ? *expected : expected.error().message));
    }
  }
  return {};
}

}  // namespace forerun::simulation
