#!/usr/bin/env bash
# Installs what is missing, builds, and shows what running ahead saves: a coordinator and three nodes on loopback, with keys
# and encryption on, without and with speculation. Flags are passed on to `forerun demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh
[ -x build/release/forerun ] || echo "building (some minutes on two cores, once)"
scripts/build.sh release forerun
exec build/release/forerun demo "$@"
