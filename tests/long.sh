#!/usr/bin/env bash
# After tests/run.sh: what takes longer, or a second build. 20,000 seeds, 50 rounds of kills, sanitizers, fuzzing.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh fuzz
scripts/build.sh release
ctest --preset release -L long
sanitized() { # PRESET TEST...
  local preset=$1
  shift
  scripts/build.sh "$preset" "$@"
  ctest --preset "$preset" -R "^($(IFS='|'; echo "$*"))\$"
}
# Memory errors and undefined behaviour: the brains, the formats and the codec, instrumented.
sanitized asan speculation_tests coordinator_tests node_tests messages_tests
# Data races, where the tool can judge: no foreign threads, actors only under CAF's test scheduler.
sanitized tsan gateway_tests executors_tests actors_tests
# What reads foreign bytes, each parser for some seconds.
scripts/fuzz.sh
