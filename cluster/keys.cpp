#include "cluster/keys.hpp"

#include <sys/stat.h>
#include <zmq.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "base/assert.hpp"
#include "base/hex.hpp"
#include "base/private_file.hpp"
#include "base/sha256.hpp"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t key_bytes = 32;
constexpr std::size_t z85_size = 41;  ///< 40 digits and a zero.
constexpr std::string_view token_prefix = "fr1.";

using Z85 = std::array<char, z85_size>;

CurveKey from_z85(const Z85& text) {
  CurveKey key{};
  const bool decoded = zmq_z85_decode(key.data(), text.data()) != nullptr;
  FORERUN_ASSERT(decoded);  // ZeroMQ wrote the text.
  return key;
}

std::span<const std::uint8_t, key_bytes> slice(const std::vector<std::uint8_t>& bytes,
                                               std::size_t at) {
  return std::span(bytes).subspan(at).first<key_bytes>();
}

template <class Key>
Key key_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  Key key{};
  std::ranges::copy(slice(bytes, at), key.begin());
  return key;
}

// ---- files
// ---------------------------------------------------------------------------------------------------------

std::string place(const fs::path& path) {
  return "keys: " + path.string();
}

Result<void> make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (error) {
    return fail(Errc::io, place(folder.parent_path()) + ": " + error.message());
  }
  if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return fail(Errc::io, place(folder) + ": " + std::strerror(errno));
  }
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return fail(Errc::io, place(folder) + ": not a folder");
  }
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(Errc::refused, place(folder) +
                                   ": others have access to it, expected mode 0700 (chmod 700 " +
                                   folder.string() + ")");
  }
  return {};
}

/// The 32 bytes of a key file; made by `make` when the file is missing.
Result<CurveKey> key_file(const fs::path& path, const std::function<CurveKey()>& make) {
  auto text = read_private_file(path, S_IRWXG | S_IRWXO);
  if (!text) {
    return tl::unexpected(std::move(text.error()));
  }
  if (!*text) {
    const CurveKey key = make();
    return write_private_file(path, to_hex(key) + "\n").map([&] { return key; });
  }
  std::string_view digits = **text;
  if (digits.ends_with('\n')) {
    digits.remove_suffix(1);
  }
  const auto bytes = from_hex(digits);
  if (!bytes || bytes->size() != key_bytes) {
    return fail(Errc::invalid,
                place(path) +
                    ": not a key, expected 64 hex digits (restore it from a backup; without one, "
                    "remove it to make a new key, which nobody trusts yet)");
  }
  return key_at<CurveKey>(*bytes, 0);
}

// ---- the allow-list
// ------------------------------------------------------------------------------------------------

bool is_peer_name(std::string_view name) {
  return !name.empty() && name.size() <= peer_name_bytes_max &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool is_comment(std::string_view line) {
  return line.empty() || line.front() == '#';
}

std::string_view name_of(std::string_view line) {
  return line.substr(0, line.find(' '));
}

Result<AllowedPeer> parse_peer(std::string_view line) {
  const std::string_view name = name_of(line);
  const auto key = from_hex(line.substr(std::min(name.size() + 1, line.size())));
  if (!is_peer_name(name) || !key || key->size() != key_bytes) {
    return fail(Errc::invalid, "expected NAME PUBLIC_KEY_HEX");
  }
  return AllowedPeer{std::string(name), key_at<CurveKey>(*key, 0)};
}

Result<std::vector<AllowedPeer>> parse_allowed(const fs::path& path, std::string_view text) {
  std::vector<AllowedPeer> peers;
  std::set<std::string, std::less<>> names;
  std::set<CurveKey> keys;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    if (is_comment(line)) {
      continue;
    }
    const std::string where = place(path) + ": line " + std::to_string(number) + ": ";
    auto peer = parse_peer(line);
    if (!peer) {
      return fail(Errc::invalid, where + peer.error().message);
    }
    if (!names.insert(peer->name).second || !keys.insert(peer->public_key).second) {
      return fail(Errc::invalid, where + peer->name + ": name or key occurs twice, remove one");
    }
    if (peers.size() == allowed_peers_max) {
      return fail(Errc::too_large,
                  where + "expected at most " + std::to_string(allowed_peers_max) + " peers");
    }
    peers.push_back(std::move(*peer));
  }
  return peers;
}

/// The text less the line of this peer.
std::string without(std::string_view name, std::string_view text) {
  std::string rest;
  for (const std::string_view line : lines_of(text)) {
    if (is_comment(line) || name_of(line) != name) {
      rest.append(line).append("\n");
    }
  }
  return rest;
}

struct AllowedFile {
  std::string text;
  std::vector<AllowedPeer> peers;
};

Result<AllowedFile> read_allowed(const fs::path& path) {
  auto text = read_private_file(path, S_IWGRP | S_IWOTH);
  if (!text) {
    return tl::unexpected(std::move(text.error()));
  }
  AllowedFile file{std::move(*text).value_or(""), {}};
  auto peers = parse_allowed(path, file.text);
  if (!peers) {
    return tl::unexpected(std::move(peers.error()));
  }
  file.peers = std::move(*peers);
  return file;
}

}  // namespace

CurveKeyPair CurveKeyPair::generate() {
  Z85 public_text{};
  Z85 secret_text{};
  const bool made = zmq_curve_keypair(public_text.data(), secret_text.data()) == 0;
  FORERUN_ASSERT(made);  // Fails only without CURVE, which the build requires.
  return {from_z85(public_text), from_z85(secret_text)};
}

Result<CurveKeyPair> CurveKeyPair::from_secret(const CurveKey& secret) {
  // Curve25519 takes any 32 bytes; only the empty key is surely a mistake.
  if (secret == CurveKey{}) {
    return fail(Errc::invalid, "key: all zero, expected a secret");
  }
  Z85 secret_text{};
  Z85 public_text{};
  if (zmq_z85_encode(secret_text.data(), secret.data(), secret.size()) == nullptr ||
      zmq_curve_public(public_text.data(), secret_text.data()) != 0) {
    return fail(Errc::invalid, "key: no public key belongs to it");
  }
  return CurveKeyPair{from_z85(public_text), secret};
}

NodeId fingerprint(const CurveKey& public_key) {
  constexpr std::size_t digits = 16;
  return {to_hex(sha256(std::span<const std::uint8_t>(public_key))).substr(0, digits)};
}

std::string JoinToken::text() const {
  return std::string(token_prefix) + to_hex(server_public) + to_hex(node_secret) +
         to_hex(ledger_key.bytes);
}

Result<JoinToken> JoinToken::parse(std::string_view text) {
  // The text is a secret: no error repeats any of it.
  if (!text.starts_with(token_prefix)) {
    return fail(Errc::invalid, "join token: expected fr1. and 192 hex digits");
  }
  const auto bytes = from_hex(text.substr(token_prefix.size()));
  if (!bytes || bytes->size() != 3 * key_bytes) {
    return fail(Errc::invalid, "join token: expected fr1. and 192 hex digits");
  }
  return JoinToken{key_at<CurveKey>(*bytes, 0), key_at<CurveKey>(*bytes, key_bytes),
                   PublicKey{key_at<CurveKey>(*bytes, 2 * key_bytes)}};
}

KeyFolder::KeyFolder(fs::path folder, CurveKeyPair server, SigningKey ledger)
    : folder_(std::move(folder)), server_(server), ledger_(std::move(ledger)) {}

Result<KeyFolder> KeyFolder::open_or_create(const fs::path& data_directory) {
  fs::path folder = data_directory / "keys";
  if (auto made = make_folder(folder); !made) {
    return tl::unexpected(std::move(made.error()));
  }
  const auto locked = FolderLock::take(folder);
  if (!locked) {
    return tl::unexpected(locked.error());
  }
  const auto secret =
      key_file(folder / "server.key", [] { return CurveKeyPair::generate().secret; });
  if (!secret) {
    return tl::unexpected(secret.error());
  }
  const auto server = CurveKeyPair::from_secret(*secret);
  if (!server) {
    return fail(Errc::invalid, place(folder / "server.key") + ": " + server.error().message);
  }
  const auto seed = key_file(folder / "ledger.key", [] { return SigningKey::generate().seed(); });
  if (!seed) {
    return tl::unexpected(seed.error());
  }
  KeyFolder keys(std::move(folder), *server, SigningKey::from_seed(*seed));
  if (auto allowed = keys.allowed(); !allowed) {
    return tl::unexpected(std::move(allowed.error()));
  }
  return keys;
}

Result<std::vector<AllowedPeer>> KeyFolder::allowed() const {
  return read_allowed(folder_ / "allowed").map([](AllowedFile&& file) {
    return std::move(file.peers);
  });
}

Result<JoinToken> KeyFolder::add(const std::string& name) {
  return make(name, false);
}

Result<JoinToken> KeyFolder::renew(const std::string& name) {
  return make(name, true);
}

/// The list changes once: a node that is renewed is never without a line.
Result<JoinToken> KeyFolder::make(const std::string& name, bool replaces) {
  if (!is_peer_name(name)) {
    return fail(Errc::invalid, "keys: name: expected 1 to 63 of a-z, 0-9 and -");
  }
  const auto locked = FolderLock::take(folder_);
  if (!locked) {
    return tl::unexpected(locked.error());
  }
  const fs::path path = folder_ / "allowed";
  auto file = read_allowed(path);
  if (!file) {
    return tl::unexpected(std::move(file.error()));
  }
  const bool is_known =
      std::ranges::any_of(file->peers, [&](const AllowedPeer& peer) { return peer.name == name; });
  if (is_known && !replaces) {
    return fail(Errc::refused,
                "keys: " + name + ": the name is taken (keys renew gives it another key)");
  }
  if (!is_known && replaces) {
    return fail(Errc::not_found, "keys: " + name + ": not in " + path.string());
  }
  if (is_known) {
    file->text = without(name, file->text);
  } else if (file->peers.size() >= allowed_peers_max) {
    return fail(Errc::too_large,
                place(path) + ": expected at most " + std::to_string(allowed_peers_max) + " peers");
  }
  const CurveKeyPair node = CurveKeyPair::generate();
  if (!file->text.empty() && !file->text.ends_with('\n')) {
    file->text += '\n';
  }
  file->text += name + " " + to_hex(node.public_key) + "\n";
  return write_private_file(path, file->text).map([&] {
    return JoinToken{server_.public_key, node.secret, ledger_.public_key()};
  });
}

Result<void> KeyFolder::revoke(const std::string& name) {
  const auto locked = FolderLock::take(folder_);
  if (!locked) {
    return tl::unexpected(locked.error());
  }
  const fs::path path = folder_ / "allowed";
  const auto file = read_allowed(path);
  if (!file) {
    return tl::unexpected(file.error());
  }
  if (std::ranges::none_of(file->peers,
                           [&](const AllowedPeer& peer) { return peer.name == name; })) {
    return fail(Errc::not_found, "keys: " + name + ": not in " + path.string());
  }
  return write_private_file(path, without(name, file->text));
}

}  // namespace forerun
