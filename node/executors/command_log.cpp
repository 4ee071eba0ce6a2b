#include "node/executors/command_log.hpp"

#include <algorithm>

#include "speculation/protocol.hpp"

namespace forerun {

std::vector<std::string> CommandLog::take(Time now, Source source, std::string_view name,
                                          std::string_view text) {
  std::vector<std::string> lines;
  std::string& unfinished = unfinished_[source];
  const auto keep = [&](std::string_view part) {
    unfinished += part.substr(0, cause_bytes_max - std::min(cause_bytes_max, unfinished.size()));
  };
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    keep(text.substr(0, end));
    text.remove_prefix(end + 1);
    add(now, name, unfinished, lines);
    unfinished.clear();
  }
  keep(text);
  return lines;
}

std::vector<std::string> CommandLog::closed(Time now, Source source, std::string_view name) {
  std::vector<std::string> lines;
  if (const auto at = unfinished_.find(source); at != unfinished_.end()) {
    add(now, name, at->second, lines);
    unfinished_.erase(at);
  }
  return lines;
}

void CommandLog::add(Time now, std::string_view name, std::string_view line,
                     std::vector<std::string>& lines) {
  const std::string text = clean_cause(line);
  if (text.empty()) {
    return;
  }
  const double seconds = std::chrono::duration<double>(now - filled_at_).count();
  left_ = std::min(settings_.lines_burst, left_ + seconds * settings_.lines_per_s);
  filled_at_ = now;
  if (left_ < 1) {
    ++dropped_;
    return;
  }
  left_ -= 1;
  if (dropped_ > 0) {
    lines.push_back("commands: " + std::to_string(dropped_) +
                    " lines that they wrote are not here: too many at once");
    dropped_ = 0;
  }
  lines.push_back(std::string(name) + ": " + text);
}

}  // namespace forerun
