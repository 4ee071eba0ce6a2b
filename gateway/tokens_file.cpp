#include "gateway/tokens_file.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/hex.hpp"
#include "base/private_file.hpp"
#include "base/secrets.hpp"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view token_prefix = "frt1.";

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

struct TokensFile {
  std::string text;
  TokenTable table;
};

Result<TokensFile> read_for_change(const fs::path& file) {
  auto text = read_private_file(file, S_IWGRP | S_IWOTH);
  if (!text) {
    return tl::unexpected(std::move(text.error()));
  }
  TokensFile read{std::move(*text).value_or(""), {}};
  auto table = TokenTable::parse(read.text, file.string());
  if (!table) {
    return tl::unexpected(std::move(table.error()));
  }
  read.table = std::move(*table);
  return read;
}

}  // namespace

Result<TokenTable> read_tokens(const fs::path& file) {
  const auto text = read_private_file(file, S_IWGRP | S_IWOTH);
  if (!text) {
    return tl::unexpected(text.error());
  }
  if (!*text) {
    return fail(Errc::not_found, file.string() +
                                     ": no such file, expected tokens (forerun keys token add NAME "
                                     "--tokens " +
                                     file.string() + ")");
  }
  return TokenTable::parse(**text, file.string());
}

Result<std::string> add_token(const fs::path& file, const std::string& name,
                              const std::string& tenant, Role role) {
  if (!is_token_name(name) || !is_token_name(tenant)) {
    return fail(Errc::invalid, std::string(is_token_name(name) ? "tenant" : "name") +
                                   ": expected 1 to 63 of a-z, 0-9 and -");
  }
  const auto locked = FolderLock::take(folder_of(file));
  if (!locked) {
    return tl::unexpected(locked.error());
  }
  auto read = read_for_change(file);
  if (!read) {
    return tl::unexpected(std::move(read.error()));
  }
  const auto& entries = read->table.entries();
  if (std::ranges::any_of(entries, [&](const TokenEntry& entry) { return entry.name == name; })) {
    return fail(Errc::refused, file.string() + ": " + name +
                                   ": the name is taken (revoke it first, or choose another)");
  }
  if (entries.size() >= tokens_max) {
    return fail(Errc::too_large,
                file.string() + ": expected at most " + std::to_string(tokens_max) + " tokens");
  }
  std::string token = std::string(token_prefix) + to_hex(random_secret());
  if (!read->text.empty() && !read->text.ends_with('\n')) {
    read->text += '\n';
  }
  read->text +=
      name + " " + tenant + " " + std::string(to_string(role)) + " " + to_hex(sha256(token)) + "\n";
  return write_private_file(file, read->text).map([&] { return std::move(token); });
}

Result<void> revoke_token(const fs::path& file, const std::string& name) {
  const auto locked = FolderLock::take(folder_of(file));
  if (!locked) {
    return tl::unexpected(locked.error());
  }
  const auto read = read_for_change(file);
  if (!read) {
    return tl::unexpected(read.error());
  }
  std::string rest;
  bool is_found = false;
  for (std::string_view left = read->text; !left.empty();) {
    const std::string_view line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(line.size() + 1, left.size()));
    if (!line.starts_with('#') && line.substr(0, line.find(' ')) == name) {
      is_found = true;
    } else {
      rest.append(line).append("\n");
    }
  }
  if (!is_found) {
    return fail(Errc::not_found, file.string() + ": " + name + ": no such token");
  }
  return write_private_file(file, rest);
}

}  // namespace forerun
