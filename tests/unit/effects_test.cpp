#include "speculation/effects.hpp"

#include <catch2/catch.hpp>

#include "speculation/protocol.hpp"

using namespace forerun;

namespace {

Result<Catalog> catalog_of(EffectRules rules) {
  Task notify;
  notify.name = "notify";
  notify.executor = ExecutorKind::native;
  notify.idempotent = true;
  Task once = notify;
  once.name = "once";
  once.idempotent = false;
  return Catalog::make({notify, once}, {}, {}, std::move(rules));
}

Catalog open_catalog() {
  auto catalog =
      catalog_of({{"https://hooks.example/orders/", "http://127.0.0.1:8080"}, {"notify"}});
  REQUIRE(catalog.has_value());
  return std::move(*catalog);
}

}  // namespace

TEST_CASE("a URL is allowed when an entry is its beginning, whole segments only", "[effects]") {
  const std::vector<std::string> allow = {"https://hooks.example/orders", "http://127.0.0.1:8080",
                                          "https://[::1]:9/x/"};
  for (const char* url : {"https://hooks.example/orders", "https://hooks.example/orders/17?a=b",
                          "HTTPS://Hooks.Example/orders/%41", "http://127.0.0.1:8080",
                          "http://127.0.0.1:8080/any/p", "http://127.0.0.1:8080?q=1",
                          "https://[::1]:9/x/y", "https://hooks.example/orders?next=/.."}) {
    INFO(url);
    CHECK(is_allowed_url(url, allow));
  }
  for (const char* url : {"https://hooks.example/ordersX",
                          "https://hooks.example/",
                          "http://hooks.example/orders",
                          "https://hooks.example.evil/orders",
                          "https://hooks.example@evil/orders",
                          "https://evil/#https://hooks.example/orders",
                          "https://hooks.example:444/orders",
                          "https://hooks.example/orders/../secret",
                          "https://hooks.example/orders/%2e%2E/secret",
                          "https://hooks.example/orders/..%2fsecret",
                          "https://hooks.example/orders/a b",
                          "https://hooks.example/orders\\..\\x",
                          "http://127.0.0.1:80801/",
                          "http://127.0.0.1/",
                          "https://hooks.example/orders#x",
                          "https://hooks.example/orders/%zz",
                          "file:///etc/passwd",
                          "gopher://127.0.0.1:8080/",
                          "",
                          "https://",
                          "https://hooks.example/orders\r\nX: y",
                          "https://[::1]:9/y",
                          "https://[::1/x/"}) {
    INFO(url);
    CHECK_FALSE(is_allowed_url(url, allow));
  }
}

TEST_CASE("the catalog names where effects may go, and nothing is allowed without it",
          "[effects]") {
  CHECK(catalog_of({}).has_value());
  for (const char* prefix : {"hooks.example", "ftp://x/", "https://x/?q", "https://u@x/", ""}) {
    INFO(prefix);
    const auto refused = catalog_of({{prefix}, {}});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.starts_with("effects.allow: "));
  }
  CHECK(catalog_of({{}, {"once"}}).error().message ==
        "effects.tasks: \"once\": expected a task with effect \"write\" and idempotent = true: an "
        "effect is delivered at least once");
  CHECK(catalog_of({{}, {"notifi"}}).error().message ==
        "effects.tasks: no task \"notifi\"; did you mean \"notify\"?");
  const auto closed = catalog_of({});
  const auto request = effect_list_of(
      R"([{"http":{"method":"POST","url":"https://hooks.example/orders/1"}}])", *closed);
  REQUIRE_FALSE(request.has_value());
  CHECK(request.error().code == Errc::refused);
  CHECK(request.error().message.find("not allowed") != std::string::npos);
  const auto catalog = open_catalog();
  const auto again = Catalog::from_json(catalog.to_json());
  REQUIRE(again.has_value());
  CHECK(again->effects().allow == catalog.effects().allow);
  CHECK(again->effects().tasks == catalog.effects().tasks);
}

TEST_CASE("effects are read, and come back as requests and calls", "[effects]") {
  const Catalog catalog = open_catalog();
  CHECK_FALSE(effect_list_of("", catalog)->has_value());
  CHECK_FALSE(effect_list_of("[]", catalog)->has_value());
  const auto list = effect_list_of(
      R"([{"http":{"url":"https://hooks.example/orders/1","method":"POST","headers":{"X-A":"b"},)"
      R"("body":{"b":1,"a":2}}},{"task":"notify","input":{"n":1}}])",
      catalog);
  REQUIRE(list.has_value());
  REQUIRE(list->has_value());
  REQUIRE((*list)->items.size() == 2);
  CHECK((*list)->whole.hash() == sha256((*list)->whole.canonical()));
  const auto http = http_effect_of((*list)->items[0].value());
  REQUIRE(http.has_value());
  CHECK(http->method == "POST");
  CHECK(http->body == R"({"a":2,"b":1})");
  CHECK(http->headers.front().first == "X-A");
  CHECK_FALSE(task_effect_of((*list)->items[0].value()).has_value());
  const auto call = task_effect_of((*list)->items[1].value());
  REQUIRE(call.has_value());
  CHECK(call->canonical() == R"({"input":{"n":1},"task":"notify"})");
  CHECK_FALSE(http_effect_of((*list)->items[1].value()).has_value());
}

TEST_CASE("what is no effect is refused with its place and reason", "[effects]") {
  const Catalog catalog = open_catalog();
  const std::string url = R"("url":"http://127.0.0.1:8080/")";
  for (const std::string& text :
       {std::string("{}"), std::string("[1]"), std::string("[{}]"), std::string(R"([{"http":1}])"),
        "[{\"http\":{\"method\":\"TRACE\"," + url + "}}]",
        std::string(R"([{"http":{"method":"GET"}}])"),
        "[{\"http\":{\"method\":\"GET\"," + url + ",\"headers\":{\"Idempotency-Key\":\"mine\"}}}]",
        "[{\"http\":{\"method\":\"GET\"," + url + ",\"headers\":{\"A\":\"b\\r\\nc\"}}}]",
        "[{\"http\":{\"method\":\"GET\"," + url + ",\"headers\":{\"A b\":\"c\"}}}]",
        "[{\"http\":{\"method\":\"GET\"," + url + ",\"proxy\":1}}]",
        "[{\"http\":{\"method\":\"GET\"," + url + "},\"task\":\"notify\"}]",
        std::string(R"([{"task":"once","input":{}}])"), std::string(R"([{"task":"notify"}])"),
        std::string(R"([{"task":"notify","input":[]}])")}) {
    INFO(text);
    const auto refused = effect_list_of(text, catalog);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.starts_with("effects: "));
  }
  std::string many = "[";
  for (std::size_t i = 0; i <= effects_per_step_max; ++i) {
    many += std::string(i == 0 ? "" : ",") + R"({"task":"notify","input":{}})";
  }
  CHECK(effect_list_of(many + "]", catalog).error().code == Errc::too_large);
}

TEST_CASE("each effect has a key of its own, which follows from the step's chain value",
          "[effects]") {
  const ChainValue chain = sha256("chain");
  CHECK(effect_key(chain, 0) == to_hex(chain) + "-0");
  CHECK(effect_key(chain, 15) == to_hex(chain) + "-15");
}
