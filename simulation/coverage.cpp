#include "simulation/coverage.hpp"

#include <algorithm>
#include <functional>
#include <span>
#include <string_view>
#include <variant>

namespace forerun::simulation {
namespace {

/// In the order of the variants; without a name: never sent in a cluster that keeps its rules and
/// its disk.
constexpr std::array<std::string_view, std::variant_size_v<NodeMessage>> node_message_names{
    "Join",       "Heartbeat", "BranchEnded",    "FetchEntries",
    "MarkStored", "",          "ReplicaAudited", "ReplicaEntries"};
constexpr std::array<std::string_view, std::variant_size_v<CoordinatorMessage>>
    coordinator_message_names{"Welcome",       "",
                              "JoinAgain",     "Dispatch",
                              "ConfirmBranch", "CancelBranch",
                              "ResendResult",  "ReserveRunIds",
                              "Entries",       "AuditReplica",
                              "FetchReplica"};
constexpr std::string_view publication_name = "publication";
constexpr std::array<std::string_view, std::variant_size_v<decltype(ClientRequest::body)>>
    request_names{"OpenSession", "AddText",      "ConfirmCalls",    "ShowSession",
                  "EndSession",  "ShowStatus",   "ShowPredictions", "ShowExplanation",
                  "StartAudit",  "ShowLedger",   "LearnHistory",    "ForgetHistory",
                  "ShowEffects", "ChangeEffects"};
constexpr std::array<std::string_view, durable_step_count> durable_names{
    "term",         "session opened", "session ended", "intent",         "commit",
    "discard",      "run-ID block",   "effect",        "effect ended",   "key",
    "session text", "worker owner",   "quarantine",    "history taught", "history forgotten",
    "signed head",  "replica",        "run-ID mark"};

constexpr std::array<std::string_view, message_fault_count> message_faults{
    "unsent", "lost", "duplicated", "overtaken", "cut off", "held", "receiver down"};
constexpr std::array<std::string_view, request_fault_count> request_faults{"not arrived", "left",
                                                                           "unanswered"};
constexpr std::array<std::string_view, write_fault_count> write_faults{
    "crash before", "failed, lost", "failed, kept", "disk full", "crash after"};

constexpr std::size_t name_width = 18;
constexpr std::size_t column_width = 15;

/// What cannot happen: a publication is not held back.
bool is_possible(std::string_view step, std::string_view fault) {
  if (step == publication_name) {
    return fault != "held";
  }
  return true;
}

using Visit = std::function<void(std::string_view step, std::string_view fault, std::uint64_t)>;

template <class Rows, std::size_t Columns>
void visit_rows(const Rows& rows, std::span<const std::string_view> steps,
                const std::array<std::string_view, Columns>& faults, const Visit& visit) {
  for (std::size_t step = 0; step < steps.size(); ++step) {
    if (!steps[step].empty()) {
      for (std::size_t fault = 0; fault < Columns; ++fault) {
        visit(steps[step], faults[fault], rows[step][fault]);
      }
    }
  }
}

std::string padded(std::string_view text, std::size_t width) {
  std::string cell(text);
  cell.resize(std::max(width, cell.size()), ' ');
  return cell;
}

std::string aligned(std::string_view text) {
  return std::string(column_width > text.size() ? column_width - text.size() : 1, ' ') +
         std::string(text);
}

/// Cells row by row, each row named once, under a header of the faults.
class Lines {
public:
  explicit Lines(std::span<const std::string_view> faults) {
    text_ = padded("", name_width);
    for (const std::string_view fault : faults) {
      text_ += aligned(fault);
    }
  }
  void cell(std::string_view step, std::string_view fault, std::uint64_t count) {
    if (step != step_) {
      step_ = step;
      text_ += '\n' + padded(step, name_width);
    }
    text_ += aligned(is_possible(step, fault) ? std::to_string(count) : "-");
  }
  std::string take() { return std::move(text_) + "\n"; }

private:
  std::string_view step_;
  std::string text_;
};

std::vector<std::string_view> message_names() {
  std::vector<std::string_view> names(node_message_names.begin(), node_message_names.end());
  names.insert(names.end(), coordinator_message_names.begin(), coordinator_message_names.end());
  names.push_back(publication_name);
  return names;
}

}  // namespace

void Coverage::message(const NodeMessage& message, MessageFault fault) {
  ++at(messages_, message.index(), fault);
}

void Coverage::message(const CoordinatorMessage& message, MessageFault fault) {
  ++at(messages_, node_messages + message.index(), fault);
}

void Coverage::publication(MessageFault fault) {
  ++at(messages_, message_count - 1, fault);
}

void Coverage::request(const ClientRequest& request, RequestFault fault) {
  ++at(requests_, request.body.index(), fault);
}

void Coverage::write(const CoordinatorBatch& batch, WriteFault fault) {
  const auto note = [&](DurableStep step, bool is_in) {
    if (is_in) {
      write(step, fault);
    }
  };
  bool is_term = false;
  bool has_discard = false;
  bool has_commit = false;
  for (const StoredEntry& entry : batch.entries) {
    is_term = is_term || !entry.run_id;
    has_commit = has_commit || entry.step.has_value();
    has_discard = has_discard || (entry.run_id && !entry.step);
  }
  bool opens = false;
  bool ends = false;
  for (const SessionRow& row : batch.sessions) {
    ends = ends || row.ended;
    opens = opens || (!row.ended && row.next_step == 0);
  }
  note(DurableStep::term, is_term);
  note(DurableStep::session_opened, opens);
  note(DurableStep::session_ended, ends);
  note(DurableStep::intent, !batch.intents.empty());
  note(DurableStep::commit, has_commit);
  note(DurableStep::discard, has_discard);
  note(DurableStep::run_id_block, !batch.marks.empty());
  note(DurableStep::effect, !batch.effects.empty());
  note(DurableStep::effect_ended, !batch.effects_ended.empty());
  note(DurableStep::key, !batch.keys.empty());
  note(DurableStep::session_text, !batch.texts.empty());
  note(DurableStep::worker_owner, !batch.owners.empty());
  note(DurableStep::quarantine, !batch.quarantined.empty());
  note(DurableStep::history_taught, !batch.history.empty());
  note(DurableStep::history_forgotten, !batch.forgotten.empty());
  note(DurableStep::signed_head, batch.signed_head.has_value());
}

void Coverage::add(const Coverage& other) {
  const auto sum = [](auto& table, const auto& more) {
    for (std::size_t row = 0; row < table.size(); ++row) {
      for (std::size_t column = 0; column < table[row].size(); ++column) {
        table[row][column] += more[row][column];
      }
    }
  };
  sum(messages_, other.messages_);
  sum(requests_, other.requests_);
  sum(writes_, other.writes_);
}

std::string Coverage::table() const {
  const std::vector<std::string_view> messages = message_names();
  Lines message_lines(message_faults);
  visit_rows(messages_, messages, message_faults,
             [&](auto step, auto fault, auto count) { message_lines.cell(step, fault, count); });
  Lines request_lines(request_faults);
  visit_rows(requests_, request_names, request_faults,
             [&](auto step, auto fault, auto count) { request_lines.cell(step, fault, count); });
  Lines write_lines(write_faults);
  visit_rows(writes_, durable_names, write_faults,
             [&](auto step, auto fault, auto count) { write_lines.cell(step, fault, count); });
  return message_lines.take() + "\n" + request_lines.take() + "\n" + write_lines.take();
}

std::vector<std::string> Coverage::missing() const {
  std::vector<std::string> missing;
  const Visit visit = [&](std::string_view step, std::string_view fault, std::uint64_t count) {
    if (count == 0 && is_possible(step, fault)) {
      missing.push_back(std::string(step) + ": " + std::string(fault));
    }
  };
  const std::vector<std::string_view> messages = message_names();
  visit_rows(messages_, messages, message_faults, visit);
  visit_rows(requests_, request_names, request_faults, visit);
  visit_rows(writes_, durable_names, write_faults, visit);
  return missing;
}

}  // namespace forerun::simulation
