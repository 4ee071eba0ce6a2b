#include "files/line_reader.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace forerun {

void LineReader::Close::operator()(gzFile_s* file) const {
  gzclose_r(file);
}

LineReader::LineReader(gzFile_s* file, std::string name, const LineLimits& limits)
    : file_(file), name_(std::move(name)), limits_(limits), chunk_(1U << 17U) {}

Result<LineReader> LineReader::open(const std::filesystem::path& file, const LineLimits& limits) {
  errno = 0;
  gzFile opened = gzopen(file.c_str(), "rbe");
  if (opened == nullptr) {
    const int cause = errno;
    return fail(cause == ENOENT ? Errc::not_found : Errc::io,
                file.string() + ": " + std::strerror(cause));
  }
  return LineReader(opened, file.string(), limits);
}

Result<bool> LineReader::next(std::string& line) {
  line.clear();
  ++number_;
  while (true) {
    if (at_ == filled_) {
      const Result<bool> more = fill();
      if (!more) {
        return more;
      }
      if (!*more) {
        return !line.empty();
      }
    }
    const char* begin = chunk_.data() + at_;
    const char* end = chunk_.data() + filled_;
    const char* newline = std::find(begin, end, '\n');
    if (line.size() + static_cast<std::size_t>(newline - begin) > limits_.line_bytes) {
      return fail(Errc::too_large, place() + ": a line of more than " +
                                       std::to_string(limits_.line_bytes) + " bytes");
    }
    line.append(begin, newline);
    at_ = static_cast<std::size_t>(newline - chunk_.data());
    if (newline != end) {
      ++at_;
      return true;
    }
  }
}

Result<bool> LineReader::fill() {
  const int got = gzread(file_.get(), chunk_.data(), static_cast<unsigned>(chunk_.size()));
  int code = Z_OK;
  const char* cause = gzerror(file_.get(), &code);
  // A .gz that ends in its middle is told only by Z_BUF_ERROR, with no bytes or with the last
  // ones.
  if (got < 0 || code != Z_OK) {
    const std::string why = code == Z_ERRNO       ? std::strerror(errno)
                            : code == Z_BUF_ERROR ? "the gzip stream ends in its middle"
                                                  : cause;
    return fail(Errc::io, place() + ": " + why);
  }
  at_ = 0;
  filled_ = static_cast<std::size_t>(got);
  total_ += filled_;
  if (total_ > limits_.file_bytes) {
    return fail(Errc::too_large,
                place() + ": more than " + std::to_string(limits_.file_bytes) + " bytes unpacked");
  }
  return filled_ != 0;
}

std::string_view kind_of(const json::Value* value) {
  if (value == nullptr) {
    return "nothing";
  }
  if (value->is_null()) {
    return "null";
  }
  if (value->boolean() != nullptr) {
    return "a flag";
  }
  if (value->number() != nullptr) {
    return "a number";
  }
  if (value->string() != nullptr) {
    return "a text";
  }
  return value->array() != nullptr ? "a list" : "an object";
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace forerun
