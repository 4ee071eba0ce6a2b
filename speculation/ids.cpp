#include "speculation/ids.hpp"

#include <algorithm>
#include <charconv>

namespace forerun {

std::string to_string(const WorkerId& worker) {
  return to_string(worker.uuid);
}

Result<RunId> RunId::parse(std::string_view text) {
  const auto refused = [&](const std::string& why) {
    return fail(Errc::invalid, "run ID \"" + std::string(text.substr(0, 64)) + "\": " + why);
  };
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return refused("no slash, expected UUID/COUNTER");
  }
  const auto uuid = Uuid::parse(text.substr(0, slash));
  if (!uuid) {
    return refused(uuid.error().message);
  }
  const std::string_view digits = text.substr(slash + 1);
  RunId run_id{WorkerId{*uuid}, 0};
  const auto [end, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), run_id.counter);
  // One text for one ID: no sign, no leading zero, nothing behind the number.
  const bool is_plain = !digits.empty() && digits.front() >= '0' && digits.front() <= '9' &&
                        (digits.front() != '0' || digits.size() == 1);
  if (!is_plain || problem != std::errc() || end != digits.data() + digits.size()) {
    return refused("counter \"" + std::string(digits.substr(0, 32)) +
                   "\", expected a decimal number without leading zeros");
  }
  return run_id;
}

std::string to_string(const RunId& run_id) {
  return to_string(run_id.home) + "/" + std::to_string(run_id.counter);
}

}  // namespace forerun
