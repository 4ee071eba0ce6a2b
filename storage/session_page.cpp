#include "storage/session_page.hpp"

#include <utility>

#include "speculation/explanation.hpp"
#include "speculation/step_answer.hpp"

namespace forerun {

ResponseBody read_session(CoordinatorStore& store, const ServeSession& request) {
  const auto failed = [&](const char* why) {
    return RequestFailed{
        Refusal::not_found, "session " + to_string(request.run_id) + ": " + why, {}};
  };
  const auto row = store.session_row(request.run_id);
  if (!row || row->tenant != request.tenant) {
    return failed("no such session");
  }
  const auto record = store.session(request.run_id);
  if (!record) {
    return failed("no such session");
  }
  if (std::holds_alternative<ServeSession::Explanation>(request.what)) {
    return JsonReport{explain(record->row, record->commits, record->discards)};
  }
  SessionView view = session_view_of(record->row, record->commits);
  const auto* range = std::get_if<ServeSession::Steps>(&request.what);
  if (range == nullptr) {
    return view;
  }
  StepAnswers answers;
  answers.is_list = range->is_list;
  for (StepAnswer& step : view.steps) {
    if (step.step >= range->first && step.step - range->first < range->count) {
      answers.steps.push_back(std::move(step));
    }
  }
  if (answers.steps.size() != range->count) {
    return failed("its steps cannot be read back");
  }
  return answers;
}

}  // namespace forerun
