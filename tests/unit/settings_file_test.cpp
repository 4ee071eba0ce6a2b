#include "files/settings_file.hpp"

#include <catch2/catch.hpp>

using namespace forerun;

TEST_CASE("a settings file gives its keys by table, as text", "[settings_file]") {
  const auto settings = read_settings(
      "[coordinator]\nport = 7401 # the bus\nshare = 0.25\ndurable = false\nnames = [\"a\", 2]\n"
      "[ledger.prove]\nurl = \"http://x\"\n",
      "forerun.toml");
  REQUIRE(settings.has_value());
  REQUIRE(settings->size() == 5);
  const auto of = [&](const std::string& key) {
    for (const FileSetting& setting : *settings) {
      if (setting.key == key) {
        return setting;
      }
    }
    return FileSetting{};
  };
  CHECK(of("port").values == std::vector<std::string>{"7401"});
  CHECK(of("port").tables == std::vector<std::string>{"coordinator"});
  CHECK(of("port").place == "forerun.toml:2");
  CHECK(of("share").values == std::vector<std::string>{"0.25"});
  CHECK(of("durable").values == std::vector<std::string>{"false"});
  CHECK(of("names").values == std::vector<std::string>{"a", "2"});
  CHECK(of("url").tables == std::vector<std::string>{"ledger", "prove"});
}

TEST_CASE("what is no settings file says where and why", "[settings_file]") {
  const auto error = [](const std::string& text) {
    const auto settings = read_settings(text, "f");
    return settings ? std::string() : settings.error().message;
  };
  CHECK(error("a = 1\n[coordinator\n").find("f:2: not TOML: ") == 0);
  CHECK(error("\na = 2020-01-01").find("f:2: a: found a value that no flag takes, expected") == 0);
  CHECK(error("a = nan").find("f:1: a: found") == 0);
  CHECK(error("a = [[1]]").find("f:1: a: found") == 0);
  CHECK(error(std::string(settings_bytes_max + 1, '#')).find("the limit of a settings file") !=
        std::string::npos);
}
