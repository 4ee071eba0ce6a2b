#include "files/recorded_world.hpp"

#include "node/executors/timed_executor.hpp"

namespace forerun {

std::unique_ptr<Executor> make_world_executor(std::shared_ptr<const RecordedWorld> world) {
  return make_timed_executor([world = std::move(world)](const Run& run) -> Result<TimedAnswer> {
    if (!run.world) {
      return fail(Errc::invalid,
                  "world: the session has no recorded world, expected one of its own");
    }
    const auto answer = world->answer(run.call, *run.world);
    if (!answer) {
      return tl::unexpected<Error>(answer.error());
    }
    return TimedAnswer{json::canonical(answer->output), answer->latency};
  });
}

}  // namespace forerun
