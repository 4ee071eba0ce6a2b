#include "gateway/tokens.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/secrets.hpp"

namespace forerun {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_comment(std::string_view line) {
  return line.empty() || line.front() == '#';
}

Result<TokenEntry> parse_entry(std::string_view line) {
  const auto parts = split(line, ' ');
  const auto role = parts.size() == 4 ? role_from(parts[2]) : Result<Role>(fail(Errc::invalid, ""));
  const auto hash =
      parts.size() == 4 ? digest_from_hex(parts[3]) : Result<Digest>(fail(Errc::invalid, ""));
  if (!role || !hash || !is_token_name(parts[0]) || !is_token_name(parts[1])) {
    return fail(Errc::invalid,
                "expected NAME TENANT ROLE SHA256, the role client, operator or "
                "auditor");
  }
  return TokenEntry{std::string(parts[0]), std::string(parts[1]), *role, *hash};
}

}  // namespace

bool is_token_name(std::string_view name) {
  return !name.empty() && name.size() <= token_name_bytes_max &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::client:
      return "client";
    case Role::tenant_operator:
      return "operator";
    case Role::auditor:
      return "auditor";
  }
  return "client";
}

Result<Role> role_from(std::string_view text) {
  for (const Role role : {Role::client, Role::tenant_operator, Role::auditor}) {
    if (text == to_string(role)) {
      return role;
    }
  }
  return fail(Errc::invalid, "role: expected client, operator or auditor");
}

Result<TokenTable> TokenTable::parse(std::string_view text, const std::string& place) {
  TokenTable table;
  std::set<std::string, std::less<>> names;
  std::set<Digest> hashes;
  std::size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (is_comment(line)) {
      continue;
    }
    const std::string where = place + ": line " + std::to_string(number) + ": ";
    auto entry = parse_entry(line);
    if (!entry) {
      return fail(Errc::invalid, where + entry.error().message);
    }
    if (!names.insert(entry->name).second || !hashes.insert(entry->hash).second) {
      return fail(Errc::invalid, where + entry->name + ": name or token occurs twice, remove one");
    }
    if (table.entries_.size() == tokens_max) {
      return fail(Errc::too_large,
                  where + "expected at most " + std::to_string(tokens_max) + " tokens");
    }
    table.entries_.push_back(std::move(*entry));
  }
  return table;
}

const TokenEntry* TokenTable::find(const Digest& hash) const {
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries_) {
    if (same_secret(entry.hash.bytes, hash.bytes)) {
      found = &entry;
    }
  }
  return found;
}

}  // namespace forerun
