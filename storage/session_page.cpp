#include "storage/session_page.hpp"

#include <optional>
#include <utility>

#include "speculation/explanation.hpp"
#include "speculation/step_answer.hpp"

namespace forerun {

namespace {

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
    if (!answer) {
      return std::nullopt;
    }
    answers.steps.push_back(std::move(*answer));
  }
  return answers;
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
    return answers ? ResponseBody(std::move(*answers)) : failed("its steps cannot be read back");
  }
  const auto* explanation = std::get_if<ServeSession::Explanation>(&request.what);
  const SessionPage page =
      explanation != nullptr ? explanation->page : std::get<ServeSession::View>(request.what).page;
  const auto record =
      store.session(request.run_id, {StepNumber{page.first}, page.count, session_page_bytes_max});
  if (!record) {
    return failed("its steps cannot be read back");
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
