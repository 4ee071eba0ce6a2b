#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Each check prints one line; its log only when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh
scripts/check_layers.py
scripts/build.sh release
ctest --preset release -j2
# Memory errors and undefined behaviour: the brains, the formats and the codec, instrumented.
sanitized=(speculation_tests coordinator_tests node_tests messages_tests)
scripts/build.sh asan "${sanitized[@]}"
ctest --preset asan -R "^($(IFS='|'; echo "${sanitized[*]}"))\$"
