#include "storage/recovered_texts.hpp"

#include <catch2/catch.hpp>

namespace forerun {
namespace {

TextRow row(std::uint64_t session, std::uint32_t place, std::string text) {
  return {{WorkerId{}, session}, StepNumber{0}, place, std::move(text)};
}

TEST_CASE("a start holds the last texts, and knows of all how many there are", "[store]") {
  const std::size_t one = sizeof(TextRow) + 100;
  RecoveredTexts texts(3 * one);
  for (std::uint32_t place = 0; place < 4; ++place) {
    texts.add(row(1, place, std::string(100, 'a')));
  }
  texts.add(row(2, 0, std::string(100, 'b')));
  CoordinatorRecovery recovery;
  std::move(texts).put_into(recovery);
  REQUIRE(recovery.text_totals.size() == 2);
  CHECK(recovery.text_totals[0].count == 4);
  CHECK(recovery.text_totals[0].bytes == 400);
  CHECK(recovery.text_totals[1].count == 1);
  REQUIRE(recovery.texts.size() == 3);
  CHECK(recovery.texts[0].place == 2);
  CHECK(recovery.texts[2].text.front() == 'b');
}

TEST_CASE("one text of more than all may be is counted and not held", "[store]") {
  RecoveredTexts texts(10);
  texts.add(row(1, 0, "long enough"));
  CoordinatorRecovery recovery;
  std::move(texts).put_into(recovery);
  CHECK(recovery.texts.empty());
  CHECK(recovery.text_totals.front().bytes == 11);
}

}  // namespace
}  // namespace forerun
