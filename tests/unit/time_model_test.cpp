#include "files/time_model.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "files/costs_file.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

std::string write(const test::TempDirectory& directory, const std::string& name,
                  const std::string& text) {
  const auto file = directory.path() / name;
  std::ofstream(file, std::ios::binary) << text;
  return file.string();
}

std::string refused_model(const std::string& text) {
  const auto model = TimeModel::parse(text, "tool_s");
  REQUIRE_FALSE(model.has_value());
  return model.error().message;
}

std::string refused_costs(const std::string& file) {
  const auto costs = read_costs(file);
  REQUIRE_FALSE(costs.has_value());
  return costs.error().message;
}

}  // namespace

TEST_CASE("a constant time model always draws its time", "[time_model]") {
  const auto model = TimeModel::parse("constant:12.5", "tool_s");
  REQUIRE(model.has_value());
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    CHECK(model->draw(Prng(seed)) == Duration(12'500));
  }
}

TEST_CASE("a lognormal time model has its median", "[time_model]") {
  const auto model = TimeModel::parse("lognormal:1000:0.6", "tool_s");
  REQUIRE(model.has_value());
  int below = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const Duration drawn = model->draw(Prng(seed));
    CHECK(drawn == TimeModels().latency.draw(Prng(seed)));
    below += drawn < std::chrono::seconds(1) ? 1 : 0;
  }
  CHECK(below > 900);
  CHECK(below < 1100);
}

TEST_CASE("quantiles are joined by straight lines and end with their ends", "[time_model]") {
  const test::TempDirectory directory;
  const std::string file =
      write(directory, "t.json", R"({"p": {"tool_s": {"0.1": 1, "0.5": 2, "0.9": 10}}})");
  const auto model = TimeModel::parse("quantiles:" + file + "#p", "tool_s");
  REQUIRE(model.has_value());
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const double share = Prng(seed).unit();
    const double expected = share < 0.1   ? 1
                            : share < 0.5 ? 1 + (share - 0.1) / 0.4
                            : share < 0.9 ? 2 + 8 * (share - 0.5) / 0.4
                                          : 10;
    CHECK(static_cast<double>(model->draw(Prng(seed)).count()) / 1e6 == Approx(expected));
  }
}

TEST_CASE("what is no time model is refused with what was expected", "[time_model]") {
  for (const char* text : {"", "constant", "constant:", "constant:-1", "constant:1e30",
                           "constant:1x", "constant:nan", "lognormal:1000", "lognormal:1000:-1",
                           "lognormal:1000:99", "normal:1:2", "quantiles:file", "quantiles:#p"}) {
    CHECK_THAT(refused_model(text), Contains("expected lognormal:MEDIAN_MS:SIGMA"));
  }
  CHECK_THAT(refused_model("quantiles:/nowhere#p"), Contains("/nowhere"));
  const test::TempDirectory directory;
  const std::string file =
      write(directory, "t.json",
            R"({"falls": {"tool_s": {"0.1": 2, "0.5": 1}}, "text": {"tool_s": {"0.1": "2"}},
          "share": {"tool_s": {"1.5": 2}}, "other": {"think_s": {"0.5": 1}}})");
  CHECK_THAT(refused_model("quantiles:" + file + "#p"),
             Contains("no profile \"p\", expected one of falls, other"));
  CHECK_THAT(refused_model("quantiles:" + file + "#falls"),
             Contains("falls.tool_s: the seconds fall"));
  CHECK_THAT(refused_model("quantiles:" + file + "#text"), Contains("text.tool_s[\"0.1\"]: \"2\""));
  CHECK_THAT(refused_model("quantiles:" + file + "#share"), Contains("share from 0 to 1"));
  CHECK_THAT(refused_model("quantiles:" + file + "#other"), Contains("other.tool_s: nothing"));
}

TEST_CASE("costs are read from TOML and from JSON", "[costs]") {
  const test::TempDirectory directory;
  for (const std::string& file :
       {write(directory, "c.toml", "dispatch_us = 200\nkill_us = 5000.0\n"),
        write(directory, "c.json", R"({"dispatch_us": 200, "kill_us": 5000})")}) {
    const auto costs = read_costs(file);
    REQUIRE(costs.has_value());
    CHECK(costs->dispatch == Duration(200));
    CHECK(costs->hit == Duration(0));
    CHECK(costs->kill == Duration(5000));
  }
}

TEST_CASE("a wrong cost is refused by file, key and what was expected", "[costs]") {
  const test::TempDirectory directory;
  CHECK_THAT(refused_costs(write(directory, "a.toml", "kil_us = 1\n")),
             Contains("a.toml: kil_us: unknown") && Contains("did you mean \"kill_us\"?"));
  CHECK_THAT(refused_costs(write(directory, "b.toml", "kill_us = -1\n")),
             Contains("b.toml: kill_us: -1, expected microseconds from 0 to"));
  CHECK_THAT(refused_costs(write(directory, "c.toml", "kill_us = nan\n")), Contains("kill_us"));
  CHECK_THAT(refused_costs(write(directory, "d.toml", "\nkill_us = =\n")), Contains("d.toml:2: "));
  CHECK_THAT(refused_costs(write(directory, "e.json", R"({"kill_us": "1"})")),
             Contains("e.json: kill_us: \"1\""));
  CHECK_THAT(refused_costs(write(directory, "f.json", "[]")), Contains("f.json: a list"));
  CHECK_THAT(refused_costs((directory.path() / "none.toml").string()), Contains("none.toml"));
}
