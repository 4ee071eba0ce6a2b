#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <sstream>

#include "base/hex.hpp"
#include "base/secrets.hpp"
#include "gateway/routes.hpp"
#include "gateway/tokens_file.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

const std::string session = "/v1/sessions/8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17";

std::string text_of(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TokenTable table_of(const std::vector<std::pair<std::string, Role>>& tokens) {
  std::string text;
  for (const auto& [token, role] : tokens) {
    text += token + " acme " + std::string(to_string(role)) + " " + to_hex(sha256(token)) + "\n";
  }
  return *TokenTable::parse(text, "tokens");
}

tl::expected<Route, Problem> ask(const TokenTable& tokens, std::string_view method,
                                 std::string_view target, const std::string& authorization) {
  std::vector<Header> headers = {{"Host", "localhost"}};
  if (!authorization.empty()) {
    headers.push_back({"Authorization", authorization});
  }
  HeadRules rules;
  rules.tokens = &tokens;
  return route_of({.method = method, .target = target, .headers = headers}, rules);
}

struct Asked {
  const char* method;
  std::string target;
  std::set<Role> roles;
};
const std::set<Role> sessions_roles = {Role::client, Role::tenant_operator};
const std::vector<Asked> everything = {
    {"POST", "/v1/sessions", sessions_roles},
    {"POST", session + "/text", sessions_roles},
    {"POST", session + "/steps", sessions_roles},
    {"GET", session, sessions_roles},
    {"GET", session + "/predictions", sessions_roles},
    {"GET", session + "/explanation", sessions_roles},
    {"DELETE", session, sessions_roles},
    {"GET", "/v1/effects", sessions_roles},
    {"POST", "/v1/effects/redrive", {Role::tenant_operator}},
    {"POST", "/v1/effects/drop", {Role::tenant_operator}},
    {"POST", "/v1/history", {Role::tenant_operator}},
    {"DELETE", "/v1/history", {Role::tenant_operator}},
    {"GET", "/v1/status", {Role::tenant_operator, Role::auditor}},
    {"GET", "/v1/ledger", {Role::auditor}},
    {"POST", "/v1/audits", {Role::auditor}},
};

}  // namespace

TEST_CASE("secrets are compared byte by byte, and no two are alike", "[tokens]") {
  const auto one = random_secret();
  CHECK(one != random_secret());
  CHECK(same_secret(one, std::array(one)));
  for (std::size_t i = 0; i < one.size(); ++i) {
    auto other = one;
    other[i] ^= 1U;
    CHECK_FALSE(same_secret(one, other));
  }
  CHECK_FALSE(same_secret(one, std::span(one).first(31)));
}

TEST_CASE("a token is made, kept as its hash alone, found and revoked", "[tokens]") {
  const test::TempDirectory folder;
  const auto file = folder.path() / "tokens";
  CHECK(read_tokens(file).error().code == Errc::not_found);
  const std::string token = *add_token(file, "agent-1", "acme", Role::client);
  const std::string other = *add_token(file, "ops", "acme", Role::tenant_operator);
  CHECK(token.size() == 5 + 64);
  CHECK(token.starts_with("frt1."));
  CHECK(token != other);
  struct stat status {};
  REQUIRE(::stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  CHECK(text_of(file).find(token.substr(5)) == std::string::npos);
  const auto tokens = *read_tokens(file);
  REQUIRE(tokens.find(token) != nullptr);
  CHECK(tokens.find(token)->name == "agent-1");
  CHECK(tokens.find(token)->tenant == "acme");
  CHECK(tokens.find(other)->role == Role::tenant_operator);
  CHECK(tokens.find(token + "0") == nullptr);
  CHECK(tokens.find("") == nullptr);
  CHECK(add_token(file, "ops", "acme", Role::client).error().code == Errc::refused);
  CHECK(add_token(file, "A", "acme", Role::client).error().code == Errc::invalid);
  CHECK(add_token(file, "a", "two words", Role::client).error().code == Errc::invalid);
  REQUIRE(revoke_token(file, "agent-1"));
  CHECK(read_tokens(file)->find(token) == nullptr);
  CHECK(read_tokens(file)->find(other) != nullptr);
  CHECK(revoke_token(file, "agent-1").error().code == Errc::not_found);
}

TEST_CASE("a tokens file that others may write is refused", "[tokens]") {
  const test::TempDirectory folder;
  const auto file = folder.path() / "tokens";
  REQUIRE(add_token(file, "a", "acme", Role::client));
  REQUIRE(::chmod(file.c_str(), 0620) == 0);
  CHECK(read_tokens(file).error().code == Errc::refused);
  CHECK(add_token(file, "b", "acme", Role::client).error().code == Errc::refused);
}

TEST_CASE("a tokens file is read strictly, and no message repeats a hash", "[tokens]") {
  const std::string hash = to_hex(sha256("t"));
  const auto read = [](const std::string& text) { return TokenTable::parse(text, "file"); };
  CHECK(read("").value().entries().empty());
  CHECK(read("# who\n\na acme client " + hash + "\n").value().entries().size() == 1);
  CHECK(read("a acme client " + hash).value().entries().size() == 1);
  const std::string good = "a acme client " + hash + "\n";
  for (const std::string& wrong :
       {"a acme client " + hash.substr(1), "a acme client " + hash + " more", "a acme " + hash,
        "a acme root " + hash, "A acme client " + hash, "a Acme client " + hash,
        "a  client " + hash, good + "a acme client " + to_hex(sha256("u")),
        good + "b acme client " + hash, "a acme client " + std::string(64, 'g')}) {
    const auto error = read(wrong).error();
    CHECK(error.code == Errc::invalid);
    CHECK_THAT(error.message, Contains("file: line "));
    CHECK(error.message.find(hash.substr(8, 16)) == std::string::npos);
  }
  std::string many;
  for (std::size_t i = 0; i <= tokens_max; ++i) {
    many += "a" + std::to_string(i) + " acme client " + to_hex(sha256(std::to_string(i))) + "\n";
  }
  CHECK(read(many).error().code == Errc::too_large);
}

TEST_CASE("each role may ask what it is for, and nothing else", "[tokens]") {
  const TokenTable tokens = table_of(
      {{"client", Role::client}, {"operator", Role::tenant_operator}, {"auditor", Role::auditor}});
  for (const Asked& asked : everything) {
    for (const TokenEntry& entry : tokens.entries()) {
      INFO(asked.method << ' ' << asked.target << " as " << entry.name);
      const auto route = ask(tokens, asked.method, asked.target, "Bearer " + entry.name);
      REQUIRE(route.has_value() == asked.roles.contains(entry.role));
      if (route) {
        CHECK(route->tenant == "acme");
        CHECK(route->token == entry.hash);
      } else {
        CHECK(route.error().status == 403);
        CHECK(route.error().name == "not-permitted");
      }
    }
    for (const char* none : {"", "Bearer", "Bearer ", "Bearer clien", "Basic client", "client",
                             "Bearer client client"}) {
      const auto route = ask(tokens, asked.method, asked.target, none);
      REQUIRE_FALSE(route);
      CHECK(route.error().status == 401);
      CHECK(route.error().name == "unauthenticated");
    }
  }
  CHECK(ask(tokens, "GET", "/v1/healthz", ""));
  CHECK(ask(tokens, "GET", session, "bEARER   client"));
}

TEST_CASE("two Authorization headers are refused, and an endless one", "[tokens]") {
  const TokenTable tokens = table_of({{"client", Role::client}});
  HeadRules rules;
  rules.tokens = &tokens;
  const std::vector<Header> twice = {{"Host", "localhost"},
                                     {"Authorization", "Bearer client"},
                                     {"authorization", "Bearer client"}};
  const auto route = route_of({.method = "GET", .target = session, .headers = twice}, rules);
  REQUIRE_FALSE(route);
  CHECK(route.error().status == 400);
  CHECK(ask(tokens, "GET", session, "Bearer " + std::string(5000, 'x')).error().status == 401);
}

TEST_CASE("a route is judged again under other tokens", "[tokens]") {
  const TokenTable tokens = table_of({{"a", Role::client}, {"b", Role::client}});
  const auto route = ask(tokens, "GET", session, "Bearer a");
  REQUIRE(route);
  CHECK_FALSE(check_again(*route, &tokens));
  const TokenTable without = table_of({{"b", Role::client}});
  CHECK(check_again(*route, &without)->status == 401);
  const TokenTable demoted = table_of({{"a", Role::auditor}});
  CHECK(check_again(*route, &demoted)->status == 403);
  const TokenTable moved = *TokenTable::parse("a other client " + to_hex(sha256("a")), "t");
  CHECK(check_again(*route, &moved)->status == 401);
}
