#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "coordinator/admission.hpp"
#include "coordinator/adoption.hpp"
#include "coordinator/effect_queue.hpp"
#include "coordinator/hedge_budget.hpp"
#include "coordinator/history_book.hpp"
#include "coordinator/membership.hpp"
#include "coordinator/rechecks.hpp"
#include "coordinator/run_times.hpp"
#include "coordinator/usefulness.hpp"
#include "speculation/catalog.hpp"
#include "speculation/ids.hpp"

namespace forerun {

struct CoordinatorSettings {
  std::string version;
  Catalog catalog;
  AdmissionSettings admission;
  UsefulnessSettings usefulness;
  EffectSettings effects;
  RunTimeSettings run_times;
  HedgeSettings hedge;
  RecheckSettings recheck;
  Membership::Settings membership;
  AdoptionSettings adoption;
  HistoryLimits history;
  std::uint32_t publish_port = 0;
  double race_log_share = 0.10;       ///< Of run IDs; see race_log.hpp.
  bool accept_given_run_ids = false;  ///< Only on a throw-away store.
  /// At replay, of `first` races by their step: decided by this order, whatever arrives when.
  std::map<std::pair<RunId, StepNumber>, std::vector<std::size_t>> recorded_arrivals;
  bool plant_skip_hazards =
      false;  ///< A planted bug: tests and `demo --plant` show that it is caught.
  std::uint64_t run_id_block = 1024;
  Duration head_interval = std::chrono::milliseconds(25);  ///< Between two signed heads.
  /// Between two publications: what became durable meanwhile goes out as one. Nobody waits for it.
  Duration publish_interval = std::chrono::milliseconds(1);
  Duration result_grace =
      std::chrono::seconds(2);  ///< Beyond a branch's deadline its node is not believed any more.
  std::uint32_t attempts_max = 3;  ///< Of one branch, when workers are lost under it.
  std::size_t sessions_open_max = 20'000;
  /// What contexts and states of open sessions may hold before no other is opened.
  std::size_t open_bytes_max = std::size_t{2} << 30U;
  /// A session without an open step that no client has asked for this long is ended.
  Duration session_idle_max = std::chrono::hours(24);
  std::size_t steps_per_session_max = 10'000;
  std::size_t confirmed_waiting_max = 50'000;  ///< Confirmed branches waiting for a slot.
  /// A call that would wait longer for a slot, at the pace of its pool, is refused at once.
  Duration confirmed_wait_max = std::chrono::seconds(10);
  std::size_t confirmed_waiting_free = 1'000;  ///< In one pool, whatever its pace.
  /// Of the texts of calls that are not committed and of sessions that wait to be opened.
  std::size_t waiting_bytes_max = std::size_t{256} << 20U;
  std::size_t openings_waiting_max = 10'000;
  std::size_t ended_kept_max = 1'000;  ///< Ended sessions answered from memory.
  std::size_t keys_per_session_max = 10'000;
  std::size_t opening_keys_max = 100'000;  ///< Of all tenants; the one with the most loses first.
  std::uint32_t predictions_per_event_max =
      12;  ///< Questions to the predictor after one event in a session.
  std::uint32_t predictions_wanted = 8;  ///< Calls asked for in one question.
  /// Of durable steps, kept in memory for an open session; older ones are read from the store.
  std::uint32_t answers_per_session_max = 16;
  /// Of the answers kept so, together with those that a request still waits for.
  std::size_t answer_bytes_per_session_max = std::size_t{64} << 10U;
  std::size_t shadow_calls_max = 1'000;  ///< Remembered in one `shadow` session.
};

}  // namespace forerun
