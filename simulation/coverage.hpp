#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"
#include "speculation/protocol.hpp"

namespace forerun::simulation {

/// What may happen to a message.
enum class MessageFault : std::uint8_t {
  unsent,  ///< Its sender ended before it was sent.
  lost,    ///< Dropped on its way.
  duplicated,
  overtaken,      ///< By later ones.
  cut_off,        ///< Its connection broke while it was on its way.
  held,           ///< By a cut, and delivered after it.
  receiver_down,  ///< Its receiver ended while it was on its way.
};
inline constexpr std::size_t message_fault_count = 7;

/// What may happen to a client's request.
enum class RequestFault : std::uint8_t {
  not_arrived,  ///< The coordinator ended first.
  left,         ///< The client went before the answer.
  unanswered,   ///< The coordinator ended before the answer.
};
inline constexpr std::size_t request_fault_count = 3;

/// What may happen to what must become durable.
enum class WriteFault : std::uint8_t {
  crash_before,  ///< The process ended before the write.
  failed_lost,   ///< The write failed, and nothing of it is there.
  failed_kept,   ///< The write failed, and all of it is there.
  disk_full,
  crash_after,  ///< It was durable, and the process ended before it heard so.
};
inline constexpr std::size_t write_fault_count = 5;

/// The durable steps of the protocol.
enum class DurableStep : std::uint8_t {
  term,
  session_opened,
  session_ended,
  intent,
  commit,
  discard,
  run_id_block,
  effect,
  effect_ended,  ///< Delivered, or given up.
  key,           ///< An idempotency key.
  session_text,
  worker_owner,
  quarantine,
  history_taught,
  history_forgotten,
  signed_head,
  replica,      ///< At a node.
  run_id_mark,  ///< At a node.
};
inline constexpr std::size_t durable_step_count = 18;

/// Which fault struck at which step of the protocol, and how often: the table of what the
/// simulation has tried. Trivially copyable.
class Coverage {
public:
  void message(const NodeMessage& message, MessageFault fault);
  void message(const CoordinatorMessage& message, MessageFault fault);
  void publication(MessageFault fault);
  void request(const ClientRequest& request, RequestFault fault);
  void write(DurableStep step, WriteFault fault) { ++at(writes_, step, fault); }
  void write(const CoordinatorBatch& batch, WriteFault fault);

  void add(const Coverage& other);
  /// A table in plain text.
  std::string table() const;
  /// "step: fault" of each that never happened.
  std::vector<std::string> missing() const;

private:
  static constexpr std::size_t node_messages = std::variant_size_v<NodeMessage>;
  static constexpr std::size_t coordinator_messages = std::variant_size_v<CoordinatorMessage>;
  static constexpr std::size_t message_count = node_messages + coordinator_messages + 1;
  static constexpr std::size_t request_count = std::variant_size_v<decltype(ClientRequest::body)>;
  template <std::size_t Width>
  using Row = std::array<std::uint64_t, Width>;
  template <class Table, class Step, class Strike>
  static std::uint64_t& at(Table& table, Step step, Strike fault) {
    return table[static_cast<std::size_t>(step)][static_cast<std::size_t>(fault)];
  }

  std::array<Row<message_fault_count>, message_count> messages_{};
  std::array<Row<request_fault_count>, request_count> requests_{};
  std::array<Row<write_fault_count>, durable_step_count> writes_{};
};

}  // namespace forerun::simulation
