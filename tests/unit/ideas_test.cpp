#include "coordinator/ideas.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

using namespace forerun;

TEST_CASE("each idea has a name of its own, by which it is found", "[ideas]") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < ideas; ++i) {
    const auto idea = static_cast<Idea>(i);
    CHECK(parse_idea(to_string(idea)) == idea);
    names.insert(to_string(idea));
  }
  CHECK(names.size() == ideas);
  CHECK_FALSE(parse_idea("?"));
  CHECK(to_string(static_cast<Idea>(ideas)) == std::string("?"));
}

TEST_CASE("an idea that is said to the rankers names features, another none", "[ideas]") {
  CHECK_FALSE(value_features_of(Idea::corrected_texts).empty());
  CHECK_FALSE(call_features_of(Idea::corrected_texts).empty());
  CHECK(value_features_of(Idea::trust).empty());
  CHECK(call_features_of(Idea::trust).empty());
  CHECK(call_features_of(static_cast<Idea>(ideas)).empty());
}
