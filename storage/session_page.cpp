#include "storage/session_page.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "speculation/explanation.hpp"
#include "speculation/step_answer.hpp"

namespace forerun {

namespace {

RequestFailed unreadable_steps(const RunId& run_id) {
  return {Refusal::not_found,
          "session " + to_string(run_id) +
              ": its steps cannot be read back, ask `forerun verify` what the store has lost",
          {}};
}

/// Of a range that the session is known to have.
std::optional<StepAnswers> read_steps(CoordinatorStore& store, const RunId& run_id,
                                      const ServeSession::Steps& range) {
  const auto stored = store.steps(run_id, StepNumber{range.first}, range.count);
  if (!stored || stored->size() != range.count) {
    return std::nullopt;
  }
  StepAnswers answers;
  answers.is_list = range.is_list;
  for (const StoredEntry& entry : *stored) {
    auto answer = step_answer_of(entry);
    if (!answer || (!answer->failed && answer->output.empty())) {
      return std::nullopt;  // Damaged, or not there: nothing else may be answered.
    }
    answers.steps.push_back(std::move(*answer));
  }
  return answers;
}

/// As the coordinator answers for a session that it has in memory.
ResponseBody read_keyed(CoordinatorStore& store, const SessionRow& row,
                        const ServeSession::Keyed& asked) {
  const auto known = store.key(row.run_id, asked.key);
  if (!known) {
    return RequestFailed{
        Refusal::not_found,
        "session " + to_string(row.run_id) + ": its Idempotency-Keys cannot be read back",
        {}};
  }
  if (!*known) {
    return session_has_ended(row.run_id);
  }
  const KeyRow& key = **known;
  if (key.request_hash != asked.request_hash) {
    return key_came_with_another();
  }
  const std::uint32_t steps = row.next_step - std::min(key.first_step, row.next_step);
  if (steps < key.step_count) {
    return session_ended_within(row.run_id, steps, key.step_count);
  }
  auto answers = read_steps(store, row.run_id, {key.first_step, key.step_count, asked.is_list});
  return answers ? ResponseBody(std::move(*answers)) : unreadable_steps(row.run_id);
}

}  // namespace

ResponseBody read_session(CoordinatorStore& store, const ServeSession& request) {
  const auto failed = [&](const char* why) {
    return RequestFailed{
        Refusal::not_found, "session " + to_string(request.run_id) + ": " + why, {}};
  };
  const auto row = store.session_row(request.run_id);
  if (!row || row->tenant != request.tenant) {
    return failed("no such session");
  }
  if (const auto* range = std::get_if<ServeSession::Steps>(&request.what)) {
    auto answers = read_steps(store, request.run_id, *range);
    return answers ? ResponseBody(std::move(*answers)) : unreadable_steps(request.run_id);
  }
  if (const auto* keyed = std::get_if<ServeSession::Keyed>(&request.what)) {
    return read_keyed(store, *row, *keyed);
  }
  if (std::holds_alternative<ServeSession::Ended>(request.what)) {
    return row->ended ? ResponseBody(SessionEnded{row->run_id, row->next_step})
                      : failed("no such session");
  }
  const auto* explanation = std::get_if<ServeSession::Explanation>(&request.what);
  const SessionPage page =
      explanation != nullptr ? explanation->page : std::get<ServeSession::View>(request.what).page;
  const auto record =
      store.session(request.run_id, {StepNumber{page.first}, page.count, session_page_bytes_max});
  if (!record) {
    return unreadable_steps(request.run_id);
  }
  if (explanation != nullptr) {
    return JsonReport{explain(record->row, {record->commits, record->discards, page.first,
                                            record->before ? &*record->before : nullptr})};
  }
  auto view = session_view_of(record->row, page.first, record->commits);
  return view ? ResponseBody(std::move(*view))
              : failed("a step of this page cannot be read back, ask `forerun verify`");
}

}  // namespace forerun
