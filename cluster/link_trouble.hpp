#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace forerun {

/// What an operator is told of a node that does not get through to its coordinator: what is wrong,
/// once, and then at growing intervals that it still is. Pure; not thread-safe.
class LinkTrouble {
public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Kind {
    refused,      ///< The coordinator does not allow our key.
    broken,       ///< Something answers, and the handshake breaks off.
    unreachable,  ///< Nothing answers.
  };
  /// A key that was added a moment ago is known to a running coordinator within a second; one that
  /// is refused for this long is not allowed.
  static constexpr std::chrono::seconds refused_for_max{5};
  /// Refusals further apart do not belong together.
  static constexpr std::chrono::seconds refusals_apart_max{3};
  /// A coordinator that ends breaks a handshake too, and one that does not know a new key yet
  /// refuses it: nothing is said before so many in a row.
  static constexpr std::size_t handshakes_min = 3;
  static constexpr std::chrono::seconds told_again_after{10};
  static constexpr std::chrono::seconds told_again_after_max{600};

  explicit LinkTrouble(std::string address) : address_(std::move(address)) {}

  struct Verdict {
    std::optional<std::string> line;  ///< For the log.
    bool is_final = false;            ///< The node must end: it is not allowed.
  };
  /// Says nothing more after a final verdict.
  Verdict happened(Kind kind, Time now);
  /// The connection stands: what comes next is new trouble.
  void connected() { troubles_ = {}; }

private:
  struct Trouble {
    std::size_t count = 0;
    Time since{};
    Time latest{};
    std::optional<Time> tell_at;
    std::chrono::seconds interval{};
  };
  std::string what(Kind kind) const;

  std::string address_;
  std::array<Trouble, 3> troubles_{};
  bool is_over_ = false;
};

}  // namespace forerun
