#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// A folder of its own under the system's temporary one, removed with all that is in it when this
/// object goes.
class TemporaryFolder {
public:
  /// `prefix` begins the folder's name. Errors: io.
  static Result<TemporaryFolder> make(const std::string& prefix);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

private:
  explicit TemporaryFolder(std::filesystem::path path);
  std::filesystem::path path_;
};

}  // namespace forerun
