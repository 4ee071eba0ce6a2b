#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// A folder of its own under the system's temporary one, removed with all that is in it when this
/// object goes. What a killed process left behind is removed by the next one that makes a folder
/// with the same prefix: a file `LOCK` in it tells whether its owner lives.
class TemporaryFolder {
public:
  /// A folder that is younger may not be locked by its owner yet.
  static constexpr std::chrono::seconds stale_after{60};

  /// `prefix` begins the folder's name. Errors: io.
  static Result<TemporaryFolder> make(const std::string& prefix,
                                      std::chrono::seconds stale_age = stale_after);
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

private:
  TemporaryFolder(std::filesystem::path path, int lock);
  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace forerun
