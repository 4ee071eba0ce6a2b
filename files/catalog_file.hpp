#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

inline constexpr std::size_t catalog_bytes_max = 4U << 20U;
inline constexpr std::size_t catalog_list_max = 1'024;  ///< Items of one list.
inline constexpr std::uint32_t pool_in_flight_max = 1'000'000;
inline constexpr std::size_t catalog_problems_max = 20;  ///< Told in one message.

/// Reads catalog.toml (docs/catalog.md). Errors: too_large; invalid with one line "FILE:LINE:
/// place: found, expected; did you mean …" for each problem, in the file's order, up to
/// catalog_problems_max: unknown keys, wrong types, keys without effect, executors of later
/// versions (http, mcp), and everything Catalog::make refuses.
/// A TOML syntax error stands alone.
Result<Catalog> parse_catalog(std::string_view text, std::string_view file_name);

struct CatalogFile {
  Catalog catalog;
  std::string text;  ///< As read, for exports.
};
Result<CatalogFile> parse_catalog_file(std::string_view text, std::string_view file_name);
/// Errors: not_found and io of the file, and those of parse_catalog.
Result<CatalogFile> read_catalog(const std::filesystem::path& file);

}  // namespace forerun
