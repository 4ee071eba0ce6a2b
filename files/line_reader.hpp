#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

struct gzFile_s;

namespace forerun {

struct LineLimits {
  std::size_t line_bytes = 0;
  std::size_t file_bytes = 0;  ///< Unpacked: a small .gz must not fill memory.
};

/// Reads lines of a plain or gzipped file (told by its first bytes), never holding more than one
/// line and one chunk. Errors: not_found, io (also a broken .gz), too_large; they name file and
/// line.
class LineReader {
public:
  static Result<LineReader> open(const std::filesystem::path& file, const LineLimits& limits);

  /// False at the end of the file.
  Result<bool> next(std::string& line);

  std::size_t number() const { return number_; }
  /// "FILE:LINE" of the line read last.
  std::string place() const { return name_ + ":" + std::to_string(number_); }

private:
  struct Close {
    void operator()(gzFile_s* file) const;
  };

  LineReader(gzFile_s* file, std::string name, const LineLimits& limits);
  Result<bool> fill();

  std::unique_ptr<gzFile_s, Close> file_;
  std::string name_;
  LineLimits limits_;
  std::vector<char> chunk_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::size_t total_ = 0;
  std::size_t number_ = 0;
};

/// What a value is, for messages: "a text", "nothing" (null pointer).
std::string_view kind_of(const json::Value* value);

/// Only spaces, tabs and line ends.
bool is_blank(std::string_view line);

}  // namespace forerun
