#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Each check prints one line; its log only when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh
scripts/check_layers.py
scripts/build.sh release
ctest --preset release -j2
# Memory errors and undefined behaviour: the same unit tests, instrumented. The brains carry no thread of their own;
# sockets, stores and executors do, so they are judged here as well.
sanitized=(speculation_tests coordinator_tests node_tests messages_tests gateway_tests files_tests storage_tests)
scripts/build.sh asan "${sanitized[@]}"
ctest --preset asan -R "^($(IFS='|'; echo "${sanitized[*]}"))\$"
# Data races: code without actors, whose library is not instrumented and makes false reports.
racing=(gateway_tests)
scripts/build.sh tsan "${racing[@]}"
ctest --preset tsan -R "^($(IFS='|'; echo "${racing[*]}"))\$"
