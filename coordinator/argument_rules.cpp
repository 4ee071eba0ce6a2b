#include "coordinator/argument_rules.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t walk_max = 64;
constexpr std::size_t about_max = 32;

std::uint32_t nth_of(const SessionMemory& memory, std::uint32_t last, std::size_t n) {
  std::uint32_t at = last == 0 ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < n && at != 0; ++i) {
    at = memory.value(at).next;
  }
  return at;
}

std::uint32_t first_unused(const Surroundings& around, Key name, std::uint32_t last, As as,
                           bool must_be_mentioned) {
  const SessionMemory& memory = around.memory;
  std::uint32_t at = last == 0 ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < walk_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    const Key hash = formed_hash(value, as);
    if (hash != 0 && !memory.was_used(SessionMemory::used_key(around.task, name, hash)) &&
        (!must_be_mentioned || memory.is_mentioned(value))) {
      return at;
    }
    at = value.next;
  }
  return 0;
}

std::uint32_t most_said_of(const Surroundings& around, Key name, std::uint32_t last, As as) {
  const SessionMemory& memory = around.memory;
  std::uint32_t best = 0;
  double most = 0;
  std::uint32_t at = last == 0 || !memory.has_text() ? 0 : memory.value(last).head;
  for (std::size_t i = 0; i < about_max && at != 0; ++i) {
    const SeenValue& value = memory.value(at);
    if (value.parent != 0 &&
        !memory.was_used(SessionMemory::used_key(around.task, name, formed_hash(value, as)))) {
      const SeenValue& holder = memory.value(value.parent);
      const SessionMemory::Mention mention = memory.mention(holder.hash, *holder.json);
      const double said = mention.anywhere + mention.ahead;
      if (said > most) {
        most = said;
        best = at;
      }
    }
    at = value.next;
  }
  return best;
}

}  // namespace

json::Value formed(const json::Value& value, As as) {
  if (const double* number = value.number(); number != nullptr && as == As::text) {
    auto text = text_of_number(*number);
    return text ? json::Value(std::move(*text)) : json::Value();
  }
  if (const std::string* text = value.string(); text != nullptr && as == As::number) {
    const auto number = number_of_text(*text);
    return number ? json::Value(*number) : json::Value();
  }
  return as == As::it_is ? value : json::Value();
}

Key formed_hash(const SeenValue& value, As as) {
  if (as == As::it_is) {
    return value.hash;
  }
  const json::Value made = formed(*value.json, as);
  return made.is_null() ? 0 : hash_value(made);
}

bool needs_latest(const Binding& rule) {
  return rule.from != From::named && rule.from != From::back && rule.from != From::earliest;
}

std::uint32_t resolve(const Surroundings& around, Key name, const Binding& rule,
                      std::uint32_t last) {
  const SessionMemory& memory = around.memory;
  switch (rule.from) {
    case From::nth:
      return nth_of(memory, last, rule.n);
    case From::last:
      return last;
    case From::unused:
      return first_unused(around, name, last, rule.as, false);
    case From::mentioned:
      return first_unused(around, name, last, rule.as, true);
    case From::about:
      return around.has_about ? most_said_of(around, name, last, rule.as) : 0;
    case From::earliest:
      return memory.earliest_at(rule.place);
    case From::older:
      return last == 0 ? 0 : memory.value(last).older;
    case From::back:
      return memory.output_value(rule.n, static_cast<std::size_t>(rule.place));
    case From::named:
      return memory.latest_named(rule.place);
  }
  return 0;
}

bool is_stale(const SessionMemory& memory, std::uint32_t at) {
  return memory.value(at).side == Side::text && !memory.is_of_latest_text(at);
}

bool is_open(const Surroundings& around, const Binding& rule, Key side) {
  for (const Key open : around.open_tasks) {
    const bool is_its = rule.from == From::back ? rule.n <= around.open_tasks.size()
                        : rule.from == From::named
                            ? around.output_names != nullptr &&
                                  around.output_names->find(mix(open, rule.place)) != nullptr
                            : side == task_side(open, Side::output);
    if (is_its) {
      return true;
    }
  }
  return false;
}

}  // namespace forerun::prediction
