#!/usr/bin/env bash
# Runs the simulator for long, in blocks, and adds a line for each to docs/long_runs.md: commit, seeds, failures. What a commit
# has done is not done again, so it may be stopped at any moment and called once more.
# scripts/long.sh [SEEDS [JOBS]]: up to 1,000,000 seeds on all cores if nothing is said.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-1000000}
jobs=${2:-$(nproc)}
block=20000
log=docs/long_runs.md
sim=build/release/forerun-sim
[ -x "$sim" ] || scripts/build.sh release forerun-sim
commit=$(git rev-parse --short=12 HEAD)
git diff --quiet HEAD -- . ":!$log" || commit="$commit, changed"
rounds_done() { { grep -F "| $commit |" "$log" || true; } | awk -F'|' '{ split($3, range, " to "); if (range[2] + 1 > next_seed) next_seed = range[2] + 1 } END { print next_seed + 0 }'; }
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for ((from = $(rounds_done); from < seeds; from += count)); do
  count=$((seeds - from < block ? seeds - from : block))
  began=$SECONDS
  "$sim" --seeds "$count" --from "$from" --jobs "$jobs" --all > "$out" 2>&1 || true
  failures=$(awk '/^seed [0-9]+: / { printf "%s`%s`", sep, substr($2, 1, length($2) - 1); sep = ", " }' "$out")
  grep -q "seeds: \|seeds broke a rule" "$out" || { cat "$out" >&2; exit 1; }
  echo "| $commit | $from to $((from + count - 1)) | $((SECONDS - began)) | ${failures:-none} |" >> "$log"
  tail -n 1 "$log"
done
