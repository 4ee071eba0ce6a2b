#include "speculation/call.hpp"

#include "base/assert.hpp"
#include "speculation/seed_chain.hpp"

namespace forerun {
namespace {

constexpr std::string_view input_prefix = "{\"input\":";
constexpr std::string_view task_prefix = ",\"task\":";

/// The wrapper around an input: its braces, member names and a task of which every byte is escaped.
/// It does not count towards the limits of the input.
constexpr json::Limits call_limits{json::document_bytes_max + 6 * task_bytes_max + 32,
                                   json::depth_max + 1};

}  // namespace

Call Call::make(std::string task, json::Object input) {
  FORERUN_ASSERT(!task.empty());
  auto data = std::make_shared<Data>();
  data->canonical.append(input_prefix);
  json::append_canonical(data->canonical, input);
  data->input_size = data->canonical.size() - input_prefix.size();
  data->canonical.append(task_prefix);
  json::append_string(data->canonical, task);
  data->canonical.push_back('}');
  data->hash = call_hash(data->canonical);
  data->task = std::move(task);
  data->input = std::move(input);
  return Call(std::move(data));
}

Result<Call> Call::parse(std::string_view canonical_call) {
  auto value = json::parse(canonical_call, call_limits);
  if (!value) {
    return fail(value.error().code, "call: " + value.error().message);
  }
  json::Object* members = value->object();
  if (members == nullptr || members->size() != 2) {
    return fail(Errc::invalid, "call: expected an object with \"input\" and \"task\" only");
  }
  json::Value* input = members->find("input");
  json::Value* task = members->find("task");
  if (input == nullptr || input->object() == nullptr) {
    return fail(Errc::invalid, "call: input: expected an object");
  }
  if (task == nullptr || task->string() == nullptr || task->string()->empty()) {
    return fail(Errc::invalid, "call: task: expected a name");
  }
  if (task->string()->size() > task_bytes_max) {
    return fail(Errc::too_large, "call: task: " + std::to_string(task->string()->size()) +
                                     " bytes, expected at most " + std::to_string(task_bytes_max));
  }
  return make(std::move(*task->string()), std::move(*input->object()));
}

std::string_view Call::canonical_input() const {
  return std::string_view(data_->canonical).substr(input_prefix.size(), data_->input_size);
}

Output Output::make(json::Value value) {
  auto data = std::make_shared<Data>();
  data->canonical = json::canonical(value);
  data->hash = sha256(data->canonical);
  data->value = std::move(value);
  return Output(std::move(data));
}

Result<Output> Output::parse(std::string_view text, const json::Limits& limits) {
  auto value = json::parse(text, limits);
  if (!value) {
    return tl::unexpected<Error>(std::move(value.error()));
  }
  return make(std::move(*value));
}

}  // namespace forerun
