#include <algorithm>

#include "coordinator/argument_rules.hpp"

namespace forerun::prediction {

namespace {

/// Where an output holds a value, as `: reservations[*]`. Of a document in one of its texts it is
/// where that text stands, and then where the value stands in the document.
std::string path_in_output(const SessionMemory& memory, const SeenValue& value,
                           const Output& output) {
  const SeenValue* root = &value;
  while (root->parent != 0 && memory.value(root->parent).json->string() == nullptr) {
    root = &memory.value(root->parent);
  }
  std::string outer;
  if (root->parent != 0) {
    outer = path_in_output(memory, memory.value(root->parent), output);
  }
  const std::string path = path_of(root->parent != 0 ? *root->json : output.value(), value.json);
  return outer + (path.empty() ? "" : ": ") + path;
}

std::string origin_of(const SessionMemory& memory, const SeenValue& value, From from) {
  static const char* const words[from_kinds] = {"",           "last ",         "next unused ",
                                                "mentioned ", "first ever ",   "older ",
                                                "recent ",    "latest named ", "spoken of "};
  std::string origin = words[static_cast<std::size_t>(from)];
  if (value.side == Side::text) {
    return origin + (value.is_moment ? "day or time of the text" : "text");
  }
  const SeenStep& step = memory.steps()[value.document - 1];
  if (value.side == Side::output) {
    const SeenValue& whole = value.is_part ? memory.value(value.parent) : value;
    const std::string path = step.output ? path_in_output(memory, whole, *step.output) : "";
    return origin + (value.is_part ? "in the text of " : "") + "output of " + step.call.task() +
           path + (value.is_part ? " " + memory.way_to(value) : "");
  }
  origin += "input of " + step.call.task();
  for (const json::Member& member : step.call.input()) {
    if (&member.value == value.json) {
      return origin + ": " + member.name;
    }
    const std::string path = path_of(member.value, value.json);
    if (!path.empty()) {
      return origin + ": " + member.name + "." + path;
    }
  }
  return origin;
}

}  // namespace

std::string text_of(const Origin& origin, const SessionMemory& memory) {
  switch (origin.kind) {
    case Origin::Kind::constant:
      return "constant";
    case Origin::Kind::rule:
      return origin_of(memory, memory.value(origin.at), origin.from) +
             (origin.as == As::text     ? ", as a text"
              : origin.as == As::number ? ", as a number"
                                        : "");
    case Origin::Kind::recognised:
      return "text, known from before";
    case Origin::Kind::corrected:
      return "its last one, corrected";
    case Origin::Kind::composed:
      return "put together";
  }
  return "";
}

Count Parameter::record_of(const Surroundings& around, const Candidate& candidate) const {
  Count record;
  switch (candidate.origin.kind) {
    case Origin::Kind::constant:
      if (const auto at = std::find(hashes_.begin(), hashes_.end(), candidate.hash);
          at != hashes_.end()) {
        record.tries = static_cast<float>(total_);
        record.hits =
            static_cast<float>(constants_[static_cast<std::size_t>(at - hashes_.begin())].count);
      }
      break;
    case Origin::Kind::rule: {
      Resolver resolve(around, name_);
      for (const Binding& rule : rules_) {
        if (rule.from == candidate.origin.from && rule.as == candidate.origin.as &&
            resolve(rule) == candidate.origin.at &&
            (record.tries == 0 || rule.all.share(1) > record.share(1))) {
          record = rule.all;
        }
      }
      break;
    }
    case Origin::Kind::recognised: {
      std::array<std::size_t, recognised_max> known{};
      const std::size_t count = recognised(around, known);
      for (std::size_t i = 0; i < count; ++i) {
        if (hashes_[known[i]] == candidate.hash) {
          record = recognised_[i].all;
        }
      }
      break;
    }
    case Origin::Kind::corrected:
      if (const std::uint32_t used = last_used(around); used != 0) {
        for (const SessionMemory::Corrected& each : around.memory.corrected(used)) {
          if (each.hash == candidate.hash) {
            record = corrected_[static_cast<std::size_t>(each.by)].all;
          }
        }
      }
      break;
    case Origin::Kind::composed:
      break;
  }
  return record;
}

}  // namespace forerun::prediction
