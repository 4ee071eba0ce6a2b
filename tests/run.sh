#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Each check prints one line; its log only when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh fuzz
scripts/check_layers.py
scripts/build.sh release
ctest --preset release -j2
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
# What reads foreign bytes, each parser for some seconds (scripts/fuzz.sh runs them longer).
scripts/fuzz.sh
