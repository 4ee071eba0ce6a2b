#include "node/executors/cgroup_place.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace forerun {
namespace {

constexpr std::string_view version_2 = "0::";  ///< Begins its line; the path follows.

/// Takes the text up to `end` off the front, and `end` with it.
std::string_view take(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view first = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return first;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    if (const std::string_view word = take(line, ' '); !word.empty()) {
      words.push_back(word);
    }
  }
  return words;
}

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// A path of mountinfo: space, tab, line end and backslash are written as \ and three octal digits.
std::string unescaped(std::string_view text) {
  constexpr std::size_t digits = 3;
  std::string path;
  while (!text.empty()) {
    unsigned value = 0;
    if (text[0] == '\\' && text.size() > digits &&
        std::from_chars(text.data() + 1, text.data() + 1 + digits, value, 8).ptr ==
            text.data() + 1 + digits) {
      path += static_cast<char>(value);
      text.remove_prefix(1 + digits);
    } else {
      path += text[0];
      text.remove_prefix(1);
    }
  }
  return path;
}

/// What of `path` lies below `root`: empty, or with a slash in front. Both begin with a slash.
bool is_below(std::string_view path, std::string_view root, std::string_view& rest) {
  if (root == "/") {
    rest = path == "/" ? std::string_view() : path;
    return true;
  }
  if (!path.starts_with(root) || (path.size() > root.size() && path[root.size()] != '/')) {
    return false;
  }
  rest = path.substr(root.size());
  return true;
}

}  // namespace

Result<std::string> own_cgroup(std::string_view mountinfo, std::string_view membership) {
  std::string_view path;
  while (!membership.empty() && path.empty()) {
    const std::string_view line = take(membership, '\n');
    path = line.starts_with(version_2) ? line.substr(version_2.size()) : std::string_view();
  }
  if (!path.starts_with('/')) {
    return fail(Errc::not_found, "this kernel has no cgroup v2");
  }
  if (path.find("/..") != std::string_view::npos) {
    return fail(Errc::not_found, "its cgroup lies outside of its cgroup namespace");
  }
  while (!mountinfo.empty()) {
    // Number, parent, device, root, mount point, options, any number of fields, -, type, …
    const auto words = words_of(take(mountinfo, '\n'));
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 2 || *(dash + 1) != "cgroup2") {
      continue;
    }
    std::string_view rest;
    if (is_below(path, unescaped(words[3]), rest)) {
      return unescaped(words[4]) + std::string(rest);
    }
  }
  return fail(Errc::not_found, "no cgroup v2 is mounted that shows its own");
}

bool is_cgroup_of_node(std::string_view name) {
  if (!name.starts_with(cgroup_prefix)) {
    return false;
  }
  name.remove_prefix(cgroup_prefix.size());
  const std::string_view process = take(name, '-');
  return is_number(process) && is_number(name);
}

bool has_word(std::string_view list, std::string_view word) {
  const auto words = words_of(list.substr(0, list.find('\n')));
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::uint64_t value_of(std::string_view file, std::string_view key) {
  while (!file.empty()) {
    const auto words = words_of(take(file, '\n'));
    std::uint64_t value = 0;
    if (words.size() == 2 && words[0] == key &&
        std::from_chars(words[1].data(), words[1].data() + words[1].size(), value).ec ==
            std::errc()) {
      return value;
    }
  }
  return 0;
}

MemoryEvents memory_events_of(std::string_view file) {
  return {value_of(file, "oom"), value_of(file, "oom_kill")};
}

MemoryKill memory_kill(const MemoryEvents& before, const MemoryEvents& after) {
  if (after.kills <= before.kills) {
    return MemoryKill::none;
  }
  return after.limit > before.limit ? MemoryKill::own_limit : MemoryKill::outside;
}

}  // namespace forerun
