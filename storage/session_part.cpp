#include "storage/session_part.hpp"

#include <utility>

#include "speculation/planted.hpp"

namespace forerun {
namespace {

std::size_t bytes_of(const StoredEntry& entry) {
  return entry.leaf.size() + entry.call.size() + entry.output.size() + entry.writes.size() +
         entry.effects.size() + entry.story.size();
}

}  // namespace

bool SessionPartReader::add(Seq seq, std::optional<StepNumber> step) {
  if (!step) {
    discards_.push_back(seq);
    return true;
  }
  return add_commit(seq, *step);
}

bool SessionPartReader::add_commit(Seq seq, StepNumber step) {
  if (step < part_.first) {
    if (!planted(Bug::discards_on_every_page)) {
      discards_.clear();  // They came with the part of this step.
    }
    if (step.value + 1 == part_.first.value) {
      std::vector<StoredEntry> before;
      if (!read_into(before, seq)) {
        return false;
      }
      record_.before = std::move(before.front());
    }
    return true;
  }
  if (record_.commits.size() >= part_.count) {
    has_more_ = true;
    return false;
  }
  const std::size_t discards = record_.discards.size();
  if (!read_discards() || !read_into(record_.commits, seq)) {
    return false;
  }
  for (std::size_t i = discards; i < record_.discards.size(); ++i) {
    bytes_ += bytes_of(record_.discards[i]);
  }
  bytes_ += bytes_of(record_.commits.back());
  if (bytes_ > part_.bytes_max && record_.commits.size() > 1) {
    record_.commits.pop_back();
    record_.discards.resize(discards);
    has_more_ = true;
    return false;
  }
  return true;
}

bool SessionPartReader::read_into(std::vector<StoredEntry>& entries, Seq seq) {
  auto entry = read_(seq);
  if (!entry) {
    error_ = entry.error();
    return false;
  }
  entries.push_back(std::move(*entry));
  return true;
}

bool SessionPartReader::read_discards() {
  for (const Seq seq : discards_) {
    if (!read_into(record_.discards, seq)) {
      return false;
    }
  }
  discards_.clear();
  return true;
}

Result<CoordinatorStore::SessionRecord> SessionPartReader::take() {
  // Behind the last step: with the part that has it.
  const bool is_beyond = record_.commits.empty() && part_.first.value > 0;
  if (!error_ && !has_more_ && !is_beyond) {
    read_discards();
  }
  return error_ ? Result<CoordinatorStore::SessionRecord>(tl::unexpected(*error_))
                : std::move(record_);
}

}  // namespace forerun
