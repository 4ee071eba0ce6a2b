#include "cluster/link_trouble.hpp"

#include <algorithm>

namespace forerun {

std::string LinkTrouble::what(Kind kind) const {
  const std::string place = "coordinator at " + address_ + ": ";
  switch (kind) {
    case Kind::refused:
      return place +
             "it refuses this node's key: was the key revoked, or is the token another cluster's?";
    case Kind::broken:
      return place +
             "the encrypted handshake breaks off: is the token another cluster's, or is it no "
             "coordinator that listens there?";
    case Kind::unreachable:
      break;
  }
  return place + "cannot be reached: does it run, and is this its --listen address?";
}

LinkTrouble::Verdict LinkTrouble::happened(Kind kind, Time now) {
  if (is_over_) {
    return {};
  }
  Trouble& trouble = troubles_[static_cast<std::size_t>(kind)];
  if (kind == Kind::refused && trouble.count > 0 && now - trouble.latest > refusals_apart_max) {
    trouble = {};
  }
  if (trouble.count++ == 0) {
    trouble.since = now;
  }
  trouble.latest = now;
  Verdict verdict;
  if (kind == Kind::refused && now - trouble.since >= refused_for_max) {
    verdict.is_final = true;
    is_over_ = true;
    verdict.line = what(kind) +
                   " `forerun keys list` beside the coordinator shows who is allowed, "
                   "`forerun keys add NAME` gives a new token";
    return verdict;
  }
  if (kind != Kind::unreachable && trouble.count < handshakes_min) {
    return verdict;
  }
  if (!trouble.tell_at) {
    verdict.line = what(kind) + " Trying again";
    trouble.interval = told_again_after;
    trouble.tell_at = now + trouble.interval;
  } else if (now >= *trouble.tell_at) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - trouble.since);
    verdict.line = what(kind) + " Trying again for " + std::to_string(seconds.count()) + " s now";
    trouble.interval = std::min(2 * trouble.interval, told_again_after_max);
    trouble.tell_at = now + trouble.interval;
  }
  return verdict;
}

}  // namespace forerun
