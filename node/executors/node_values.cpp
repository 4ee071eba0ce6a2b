#include "node/executors/node_values.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "node/executors/child_process.hpp"

namespace forerun {
namespace {

Result<std::string> text_of_file(const std::filesystem::path& path, const std::string& place) {
  // Without waiting for whoever writes into a pipe.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(Errc::refused, place + ": no file that this node can read");
  }
  std::string text(node_value_bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0) {
      return fail(Errc::refused, place + ": cannot be read");
    }
    if (count == 0) {
      break;
    }
    size += static_cast<std::size_t>(count);
  }
  if (size > node_value_bytes_max) {
    return fail(Errc::refused,
                place + ": larger than " + std::to_string(node_value_bytes_max) + " bytes");
  }
  text.resize(size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  return text;
}

}  // namespace

NodeValue node_values(const std::filesystem::path& folder) {
  return [folder](const TemplatePart& part) -> Result<std::string> {
    const std::string place = shown(part);
    Result<std::string> value = std::string();
    if (part.source == TemplatePart::Source::env) {
      const char* const found = std::getenv(part.text.c_str());
      value = found == nullptr ? "" : found;
      if (value->size() > node_value_bytes_max) {
        return fail(Errc::refused,
                    place + ": larger than " + std::to_string(node_value_bytes_max) + " bytes");
      }
    } else {
      value = text_of_file(folder / part.text, place);
    }
    if (value && value->empty()) {
      return fail(Errc::refused, place + ": not set on this node, or empty");
    }
    return value;
  };
}

}  // namespace forerun
