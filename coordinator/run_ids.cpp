#include "coordinator/run_ids.hpp"

#include <algorithm>

#include "speculation/planted.hpp"

namespace forerun {

void RunIdAllocator::restore(const MarkRow& row) {
  Space& space = spaces_[row.worker];
  space.here = std::max(space.here, row.mark);
  space.requested = std::max(space.requested, row.mark);
  space.next =
      planted(Bug::run_id_reused)
          ? space.next
          : std::max(space.next, row.mark + 1);  // Whatever lay below the mark may have been used.
}

std::optional<RunIdAllocator::Reservation> RunIdAllocator::joined(WorkerId worker,
                                                                  std::uint64_t mark) {
  Space& space = spaces_[worker];
  if (!space.is_joined) {
    space.is_joined = true;
    space.next = planted(Bug::run_id_reused) ? space.next : std::max(space.next, mark + 1);
    space.requested = std::max(space.requested, mark);
  }
  space.home = std::max(space.home, mark);
  const std::uint64_t usable = std::min(space.here, space.home);
  if (usable < space.requested && space.requested >= space.next) {
    return Reservation{worker,
                       space.requested};  // A cut swallowed the question or its answer: ask again.
  }
  if (usable >= space.next) {
    return std::nullopt;
  }
  space.requested = space.next - 1 + block_;
  return Reservation{worker, space.requested};
}

void RunIdAllocator::stored_here(WorkerId worker, std::uint64_t mark) {
  Space& space = spaces_[worker];
  space.here = std::max(space.here, mark);
}

void RunIdAllocator::stored_at_home(WorkerId worker, std::uint64_t mark) {
  Space& space = spaces_[worker];
  space.home = std::max(space.home, std::min(mark, space.requested));
}

std::optional<std::uint64_t> RunIdAllocator::awaited_at_home(WorkerId worker) const {
  const auto at = spaces_.find(worker);
  return at == spaces_.end() || at->second.home >= at->second.requested
             ? std::nullopt
             : std::optional(at->second.requested);
}

std::vector<WorkerId> RunIdAllocator::unseen() const {
  std::vector<WorkerId> workers;
  for (const auto& [worker, space] : spaces_) {
    if (!space.is_joined) {
      workers.push_back(worker);
    }
  }
  return workers;
}

std::optional<RunId> RunIdAllocator::take(WorkerId worker) {
  const auto at = spaces_.find(worker);
  if (at == spaces_.end() || std::min(at->second.here, at->second.home) < at->second.next) {
    return std::nullopt;
  }
  return RunId{worker, at->second.next++};
}

std::optional<RunIdAllocator::Reservation> RunIdAllocator::refill(WorkerId worker) {
  const auto at = spaces_.find(worker);
  if (at == spaces_.end() || !at->second.is_joined) {
    return std::nullopt;
  }
  Space& space = at->second;
  const bool is_on_its_way = std::min(space.here, space.home) < space.requested;
  if (is_on_its_way || space.requested + 1 - space.next >= std::max<std::uint64_t>(1, block_ / 2)) {
    return std::nullopt;
  }
  space.requested += block_;
  return Reservation{worker, space.requested};
}

}  // namespace forerun
