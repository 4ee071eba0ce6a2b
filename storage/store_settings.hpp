#pragma once

#include <filesystem>
#include <memory>

#include "storage/disk.hpp"
#include "storage/store.hpp"

namespace forerun {

/// What the open_… functions of store.hpp choose, for tests and measurements that need it
/// otherwise.
struct StoreSettings {
  std::shared_ptr<Disk> disk = std::make_shared<Disk>();
  /// The write-ahead log is copied into the file each time it has grown by this much. 1,000 pages
  /// are 16 MB.
  int checkpoint_pages = 1000;
};

Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store(
    const std::filesystem::path& directory, const StoreSettings& settings);
Result<std::unique_ptr<ReplicaStore>> open_replica_store(const std::filesystem::path& directory,
                                                         const StoreSettings& settings);
Result<std::unique_ptr<IdentityStore>> open_identity_store(const std::filesystem::path& directory,
                                                           const StoreSettings& settings);

}  // namespace forerun
