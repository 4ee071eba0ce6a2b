#include "files/file_bytes.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace forerun {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

Result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max) {
  const std::unique_ptr<std::FILE, CloseFile> open(std::fopen(file.c_str(), "rbe"));
  if (open == nullptr) {
    const int cause = errno;
    return fail(cause == ENOENT ? Errc::not_found : Errc::io,
                file.string() + ": " + std::strerror(cause));
  }
  std::string text;
  std::array<char, 1U << 16U> chunk;
  while (true) {
    const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), open.get());
    if (got == 0) {
      break;
    }
    if (text.size() + got > bytes_max) {
      return fail(Errc::too_large, file.string() + ": more than " + std::to_string(bytes_max) +
                                       " bytes, the most that is read");
    }
    text.append(chunk.data(), got);
  }
  if (std::ferror(open.get()) != 0) {
    return fail(Errc::io, file.string() + ": " + std::strerror(errno));
  }
  return text;
}

}  // namespace forerun
