#include "files/catalog_file.hpp"
#include "files/settings_file.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto catalog = parse_catalog_file(text, "catalog.toml");
  fuzz::require(catalog.has_value() || catalog.error().message.starts_with("catalog.toml"),
                "an error names its file");
  const auto settings = read_settings(text, "forerun.toml");
  fuzz::require(settings.has_value() || settings.error().message.starts_with("forerun.toml:"),
                "an error names its file");
  return 0;
}
