#!/usr/bin/env bash
# Configures and builds a preset, quietly: build.sh PRESET [TARGET …]. Does nothing when all is built.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
targets=()
[ $# -eq 0 ] || targets=(--target "$@")
log=build/$preset.log
mkdir -p build
started=$SECONDS
if ! { cmake --preset "$preset" && cmake --build --preset "$preset" "${targets[@]}"; } >"$log" 2>&1; then
  grep -E 'error|FAILED|CMake Error' -A 5 "$log" | head -60 >&2
  echo "build: preset $preset failed; all of it is in $log" >&2
  exit 1
fi
if ! grep -q 'no work to do' "$log"; then echo "built $preset in $((SECONDS - started)) s"; fi
