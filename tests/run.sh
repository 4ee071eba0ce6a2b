#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test but the long ones (tests/long.sh). Each check prints one line; its log
# only when it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh
scripts/check_layers.py
scripts/build.sh release
ctest --preset release -j2 -LE long
