#include "cluster/keys.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <numeric>
#include <sstream>

#include "base/hex.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
namespace fs = std::filesystem;

namespace {

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777U;
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void put(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::trunc) << text;
}

bool mentions(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a secret gives its public key again, and no two pairs are alike", "[keys]") {
  const auto a = CurveKeyPair::generate();
  const auto b = CurveKeyPair::generate();
  REQUIRE(a.secret != b.secret);
  REQUIRE(CurveKeyPair::from_secret(a.secret)->public_key == a.public_key);
  REQUIRE(CurveKeyPair::from_secret(b.secret)->public_key == b.public_key);
  REQUIRE(CurveKeyPair::from_secret({}).error().code == Errc::invalid);
}

TEST_CASE("a public key is what another program computes", "[keys]") {
  CurveKey secret{};
  std::iota(secret.begin(), secret.end(), std::uint8_t{1});
  // openssl pkey -pubout, of the same X25519 secret.
  REQUIRE(to_hex(CurveKeyPair::from_secret(secret)->public_key) ==
          "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c");
}

TEST_CASE("a fingerprint is sixteen hex digits of the key's hash", "[keys]") {
  REQUIRE(fingerprint(CurveKey{}).name == "66687aadf862bd77");  // SHA-256 of 32 zero bytes.
}

TEST_CASE("a join token is one line that gives itself back", "[keys]") {
  const JoinToken token{CurveKeyPair::generate().public_key, CurveKeyPair::generate().secret,
                        SigningKey::generate().public_key()};
  const std::string text = token.text();
  REQUIRE(text.size() == 4 + 192);
  const auto back = JoinToken::parse(text);
  REQUIRE(back->server_public == token.server_public);
  REQUIRE(back->node_secret == token.node_secret);
  REQUIRE(back->ledger_key == token.ledger_key);
  for (const std::string& wrong : {std::string(), text.substr(1), text + "00", text.substr(0, 100),
                                   "fr2." + text.substr(4), text.substr(0, 195) + "g"}) {
    const auto error = JoinToken::parse(wrong).error();
    REQUIRE(error.code == Errc::invalid);
    REQUIRE_FALSE(mentions(error.message, text.substr(68, 32)));
  }
}

TEST_CASE("missing keys are made once, for their owner alone", "[keys]") {
  const test::TempDirectory folder;
  const auto first = KeyFolder::open_or_create(folder.path() / "data");
  REQUIRE(first);
  const fs::path keys = folder.path() / "data" / "keys";
  REQUIRE(mode_of(keys) == 0700);
  REQUIRE(mode_of(keys / "server.key") == 0600);
  REQUIRE(mode_of(keys / "ledger.key") == 0600);
  REQUIRE(first->allowed()->empty());
  const auto again = KeyFolder::open_or_create(folder.path() / "data");
  REQUIRE(again->server().secret == first->server().secret);
  REQUIRE(again->ledger().public_key() == first->ledger().public_key());
  REQUIRE(text_of(keys / "server.key") == to_hex(first->server().secret) + "\n");
}

TEST_CASE("a node is added once, allowed by its token's key, and revoked by name", "[keys]") {
  const test::TempDirectory folder;
  auto keys = KeyFolder::open_or_create(folder.path());
  const auto token = keys->add("rack-7");
  REQUIRE(token);
  REQUIRE(token->server_public == keys->server().public_key);
  REQUIRE(token->ledger_key == keys->ledger().public_key());
  REQUIRE(keys->add("rack-8"));
  const auto allowed = keys->allowed();
  REQUIRE(allowed->size() == 2);
  REQUIRE(allowed->at(0).name == "rack-7");
  REQUIRE(allowed->at(0).public_key == CurveKeyPair::from_secret(token->node_secret)->public_key);
  REQUIRE(keys->add("rack-7").error().code == Errc::refused);
  REQUIRE(mode_of(folder.path() / "keys" / "allowed") == 0600);
  REQUIRE_FALSE(mentions(text_of(folder.path() / "keys" / "allowed"), to_hex(token->node_secret)));

  REQUIRE(keys->revoke("rack-7"));
  REQUIRE(keys->allowed()->size() == 1);
  REQUIRE(keys->revoke("rack-7").error().code == Errc::not_found);
  REQUIRE(keys->add("rack-7")->node_secret != token->node_secret);
}

TEST_CASE("a name that would break the list is refused", "[keys]") {
  const test::TempDirectory folder;
  auto keys = KeyFolder::open_or_create(folder.path());
  for (const std::string& name : {std::string(), std::string("A"), std::string("a b"),
                                  std::string("a\nb"), std::string("../x"), std::string(64, 'a')}) {
    REQUIRE(keys->add(name).error().code == Errc::invalid);
  }
  REQUIRE(keys->add(std::string(63, 'a')));
}

TEST_CASE("an operator's comments survive what the program writes", "[keys]") {
  const test::TempDirectory folder;
  auto keys = KeyFolder::open_or_create(folder.path());
  const fs::path list = folder.path() / "keys" / "allowed";
  REQUIRE(keys->add("a"));
  put(list, "# first rack\n\n" + text_of(list) + "# end");
  REQUIRE(keys->add("b"));
  REQUIRE(keys->revoke("a"));
  REQUIRE(text_of(list).starts_with("# first rack\n\n# end\nb "));
}

TEST_CASE("a file that others may read, or that is no key, is named with what to do", "[keys]") {
  const test::TempDirectory folder;
  REQUIRE(KeyFolder::open_or_create(folder.path()));
  const fs::path key = folder.path() / "keys" / "server.key";
  const std::string good = text_of(key);
  const auto error = [&] { return KeyFolder::open_or_create(folder.path()).error(); };

  REQUIRE(::chmod(key.c_str(), 0640) == 0);
  REQUIRE(error().code == Errc::refused);
  REQUIRE(mentions(error().message, key.string()));
  REQUIRE(mentions(error().message, "chmod 600"));
  REQUIRE(::chmod(key.c_str(), 0600) == 0);

  for (const std::string& wrong :
       {std::string(), good.substr(2), "x" + good.substr(1), good + "00"}) {
    put(key, wrong);
    REQUIRE(error().code == Errc::invalid);
    REQUIRE(mentions(error().message, key.string() + ": not a key, expected 64 hex digits"));
    REQUIRE_FALSE(mentions(error().message, good.substr(8, 40)));
  }
  put(key, std::string(64, '0'));
  REQUIRE(error().code == Errc::invalid);
  put(key, std::string(2U << 20U, '0'));
  REQUIRE(error().code == Errc::too_large);
  put(key, good);

  REQUIRE(::chmod((folder.path() / "keys").c_str(), 0755) == 0);
  REQUIRE(error().code == Errc::refused);
  REQUIRE(mentions(error().message, "chmod 700"));
  REQUIRE(::chmod((folder.path() / "keys").c_str(), 0700) == 0);

  fs::remove(key);
  fs::create_symlink("/dev/null", key);
  REQUIRE(error().code == Errc::io);
}

TEST_CASE("a list with a broken or doubled line is refused by line number", "[keys]") {
  const test::TempDirectory folder;
  const auto keys = KeyFolder::open_or_create(folder.path());
  const fs::path list = folder.path() / "keys" / "allowed";
  const std::string key_a(64, 'a');
  const std::string key_b(64, 'b');
  const auto refused = [&](const std::string& text, const std::string& line) {
    put(list, text);
    REQUIRE(::chmod(list.c_str(), 0600) == 0);
    const auto allowed = keys->allowed();
    return !allowed && allowed.error().code == Errc::invalid &&
           mentions(allowed.error().message, "line " + line);
  };
  REQUIRE(refused("a " + key_a + "\nb\n", "2"));
  REQUIRE(refused("A " + key_a, "1"));
  REQUIRE(refused("a " + key_a.substr(1) + "\n", "1"));
  REQUIRE(refused("a " + key_a + "\na " + key_b + "\n", "2"));
  REQUIRE(refused("a " + key_a + "\n#\nb " + key_a + "\n", "3"));
  put(list, "a " + key_a + "\nb " + key_b);
  REQUIRE(keys->allowed()->size() == 2);
  REQUIRE(::chmod(list.c_str(), 0620) == 0);
  REQUIRE(keys->allowed().error().code == Errc::refused);
}
