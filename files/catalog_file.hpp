#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

inline constexpr std::size_t catalog_bytes_max = 4U << 20U;

/// Reads catalog.toml (docs/catalog.md). Errors: invalid with "FILE:LINE: place: found, expected; did you mean …": TOML
/// syntax, unknown keys, wrong types, executors of later versions (http, mcp), and everything Catalog::make refuses.
Result<Catalog> parse_catalog(std::string_view text, std::string_view file_name);
struct CatalogFile {
  Catalog catalog;
  std::string text; ///< As read, for exports.
};
Result<CatalogFile> read_catalog(const std::filesystem::path& file);

} // namespace forerun
