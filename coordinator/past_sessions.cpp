#include "coordinator/past_sessions.hpp"

#include <algorithm>
#include <cmath>

#include "base/real.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t match_max = 3;
/// How much more a neighbour says that took the same last two or three steps.
constexpr double match_weight[match_max + 1] = {0, 1, 3, 6};

}  // namespace

double PastSessions::rarity(Key word) const {
  const auto found = holders_.find(word);
  const double holders = found == holders_.end() ? 0 : found->second;
  return real::log((static_cast<double>(sessions_.size()) + 1) / (holders + 0.5));
}

void PastSessions::add(PastSession session, std::size_t limit) {
  if (session.words.size() > words_max) {
    session.words.resize(words_max);
  }
  for (const Key word : session.words) {
    ++holders_[word];
  }
  sessions_.push_back(std::move(session));
  while (sessions_.size() > std::clamp<std::size_t>(limit, 1, sessions_max)) {
    for (const Key word : sessions_.front().words) {
      const auto at = holders_.find(word);
      if (--at->second == 0) {
        holders_.erase(at);
      }
    }
    sessions_.pop_front();
    ++forgotten_;
  }
}

std::vector<PastSessions::Neighbour> PastSessions::nearest(const std::vector<Key>& words) const {
  std::vector<double> rarities;
  double length = 0;
  for (const Key word : words) {
    rarities.push_back(std::max(rarity(word), 0.0));
    length += rarities.back() * rarities.back();
  }
  std::vector<Neighbour> near;
  for (std::size_t n = 0; n < sessions_.size(); ++n) {
    const std::vector<Key>& theirs = sessions_[n].words;
    double common = 0;
    std::size_t a = 0;
    std::size_t b = 0;
    while (a < words.size() && b < theirs.size()) {
      if (words[a] == theirs[b]) {
        common += rarities[a] * rarities[a];
        ++a;
        ++b;
      } else if (words[a] < theirs[b]) {
        ++a;
      } else {
        ++b;
      }
    }
    if (common > 0) {
      near.push_back(
          {forgotten_ + n, common / std::sqrt(length * static_cast<double>(theirs.size() + 8))});
    }
  }
  const auto better = [](const Neighbour& a, const Neighbour& b) {
    return a.likeness != b.likeness ? a.likeness > b.likeness : a.number > b.number;
  };
  const std::size_t kept = std::min(near.size(), neighbours);
  std::partial_sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(kept), near.end(),
                    better);
  near.resize(kept);
  return near;
}

std::vector<Likely> PastSessions::likely(const std::vector<Neighbour>& near,
                                         const std::vector<Key>& tasks) const {
  std::vector<Likely> votes;
  double sum = 0;
  for (const Neighbour& neighbour : near) {
    if (neighbour.number < forgotten_) {
      continue;
    }
    const PastSession& past = sessions_[neighbour.number - forgotten_];
    for (std::size_t i = 0; i < past.forms.size(); ++i) {
      // How many of the last steps before it are ours.
      std::size_t match = 0;
      while (match < match_max && match < i && match < tasks.size() &&
             past.tasks[i - 1 - match] == tasks[tasks.size() - 1 - match]) {
        ++match;
      }
      if (i == 0 && tasks.empty()) {
        match = match_max;
      } else if (match == i && match == tasks.size()) {
        match = match_max;
      }
      if (match == 0) {
        continue;
      }
      const double weight = match_weight[match] * neighbour.likeness * neighbour.likeness;
      sum += weight;
      const auto found = std::find_if(votes.begin(), votes.end(), [&](const Likely& each) {
        return each.symbol == past.forms[i];
      });
      if (found == votes.end()) {
        votes.push_back({past.forms[i], weight});
      } else {
        found->probability += weight;
      }
    }
  }
  for (Likely& vote : votes) {
    vote.probability /= sum;
  }
  return votes;
}

}  // namespace forerun::prediction
