#include "coordinator/call_form.hpp"

namespace forerun::prediction {

namespace {

constexpr double recent_calls_max = 128;

}  // namespace

void Form::name(const std::string& of_task, Key key_of_task, const json::Object& input) {
  task = of_task;
  task_key = key_of_task;
  for (const json::Member& member : input) {
    names.push_back(member.name);
    name_keys.push_back(hash_text(member.name));
    parameters.push_back(mix(task_key, 0xa1, name_keys.back()));
  }
}

void Form::count(bool is_repeat) {
  seen += 1;
  tries += 1;
  repeats += is_repeat ? 1 : 0;
  if (tries > recent_calls_max) {
    tries *= 0.5;
    expected *= 0.5;
    hits *= 0.5;
    repeats *= 0.5;
  }
}

Key form_key_of(Key task, const json::Object& input) {
  Key key = mix(task, 0xa0);
  for (const json::Member& member : input) {
    key = mix(key, hash_text(member.name));
  }
  return key;
}

Key hash_input(const json::Object& input) {
  Key hash = hash_object_start();
  for (const json::Member& member : input) {
    hash = mix(hash, hash_text(member.name), hash_value(member.value));
  }
  return hash;
}

}  // namespace forerun::prediction
