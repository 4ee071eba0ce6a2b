#include "cluster/local/temporary_folder.hpp"

#include <stdlib.h>

#include <system_error>
#include <utility>

namespace forerun {

Result<TemporaryFolder> TemporaryFolder::make(const std::string& prefix) {
  std::error_code problem;
  std::string name =
      (std::filesystem::temp_directory_path(problem) / (prefix + "-XXXXXX")).string();
  if (problem || mkdtemp(name.data()) == nullptr) {
    return fail(Errc::io, "temporary folder " + name + ": cannot be made");
  }
  return TemporaryFolder(name);
}

TemporaryFolder::TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryFolder::~TemporaryFolder() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

}  // namespace forerun
