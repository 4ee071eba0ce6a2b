#!/usr/bin/env bash
# Feeds every parser that reads foreign bytes from libFuzzer: scripts/fuzz.sh [SECONDS for each, 10] [TARGET...]. Starts from
# tests/fuzz/corpus; what it learns stays in build/fuzz/found, an input that breaks something in build/fuzz/broken.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in tests/fuzz/*_fuzz.cpp; do
    name=${file##*/}
    targets+=("${name%_fuzz.cpp}")
  done
fi
scripts/build.sh fuzz "${targets[@]/%/_fuzz}"
mkdir -p build/fuzz/broken
run() { # TARGET
  local found=build/fuzz/found/$1 log=build/fuzz/$1.log
  mkdir -p "$found"
  if ! "build/fuzz/tests/$1_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
       -artifact_prefix="build/fuzz/broken/$1-" "$found" "tests/fuzz/corpus/$1" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz: $1: failed; its input lies in build/fuzz/broken" >&2
    return 1
  fi
  echo "fuzz: $1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, coverage $(
    sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)"
}
export -f run
export seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run {}'
