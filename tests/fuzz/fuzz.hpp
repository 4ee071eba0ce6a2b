#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

/// What the fuzz targets of this folder share. Each is one libFuzzer program (a file
/// `NAME_fuzz.cpp` with LLVMFuzzerTestOneInput) and one folder `corpus/NAME`.
namespace forerun::fuzz {

/// A property that a parser owes whatever it reads; libFuzzer keeps the input that broke it.
inline void require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
  }
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// What lies between the lines that hold "--" alone: several files in one input.
inline std::vector<std::string_view> parts_of(std::string_view text) {
  constexpr std::string_view divider = "\n--\n";
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at != std::string_view::npos;) {
    const std::size_t end = text.find(divider, at);
    parts.push_back(text.substr(at, end == std::string_view::npos ? end : end - at + 1));
    at = end == std::string_view::npos ? end : end + divider.size();
  }
  return parts;
}

/// A file in memory, for readers that open one.
class MemoryFile {
public:
  explicit MemoryFile(std::string_view text) : descriptor_(memfd_create("input", MFD_CLOEXEC)) {
    require(descriptor_ >= 0, "a file can be made in memory");
    require(write(descriptor_, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
            "a file in memory can be written");
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(descriptor_); }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
  int descriptor_;
};

/// Gone when the program ends by itself.
class Folder {
public:
  Folder() : path_(std::filesystem::temp_directory_path() / "forerun-fuzz-XXXXXX") {
    require(mkdtemp(path_.data()) != nullptr, "a folder can be made");
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code problem;
    std::filesystem::remove_all(path_, problem);
  }
  std::filesystem::path path() const { return path_; }

private:
  std::string path_;
};

}  // namespace forerun::fuzz
