#!/usr/bin/env bash
# Runs simulated clusters and kill rounds for long, in blocks by turns, and adds a line for each block to docs/long_runs.md:
# commit, range, failures. What a commit has done is not done again, so it may be stopped at any moment and called once more.
# scripts/long.sh [SEEDS [ROUNDS [JOBS]]]: up to 1,000,000 seeds and 1,000 kill rounds, on all cores, if nothing is said.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-1000000}
rounds=${2:-1000}
jobs=${3:-$(nproc)}
seeds_of_block=20000
rounds_of_block=50
log=docs/long_runs.md
sim=build/release/forerun-sim
scripts/build.sh release forerun-sim forerun
commit=$(git rev-parse --short=12 HEAD)
git diff --quiet HEAD -- . ":!$log" || commit="$commit, changed"
next_of() { # KIND: the first one that this commit has not done
  { grep -F "| $commit | $1 " "$log" || true; } | awk -F'|' '{ sub(/^ *[a-z ]* /, "", $3); split($3, range, " to "); if (range[2] + 1 > next_one) next_one = range[2] + 1 } END { print next_one + 0 }'
}
add() { # KIND FROM COUNT SECONDS FAILURES
  echo "| $commit | $1 $2 to $(($2 + $3 - 1)) | $4 | ${5:-none} |" >> "$log"
  tail -n 1 "$log"
}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
seed=$(next_of seeds)
round=$(next_of "kill rounds")
while ((seed < seeds || round < rounds)); do
  if ((seed < seeds)); then
    count=$((seeds - seed < seeds_of_block ? seeds - seed : seeds_of_block))
    began=$SECONDS
    "$sim" --seeds "$count" --from "$seed" --jobs "$jobs" --all > "$out" 2>&1 || true
    failures=$(awk '/^seed [0-9]+: / { printf "%s`%s`", sep, substr($2, 1, length($2) - 1); sep = ", " }' "$out")
    grep -q "seeds: \|seeds broke a rule" "$out" || { cat "$out" >&2; exit 1; }
    add seeds "$seed" "$count" $((SECONDS - began)) "$failures"
    seed=$((seed + count))
  fi
  if ((round < rounds)); then
    count=$((rounds - round < rounds_of_block ? rounds - round : rounds_of_block))
    began=$SECONDS
    failures=
    # Its seed is the block's number, so that each block draws other victims.
    block=$((round / rounds_of_block + 1))
    python3 tests/cluster/kill_rounds.py --rounds "$count" --seed "$block" > "$out" 2>&1 || {
      failures="seed $block: $(tail -n 1 "$out" | tr '|\n' '/ ')"
      cat "$out" >&2
    }
    add "kill rounds" "$round" "$count" $((SECONDS - began)) "$failures"
    round=$((round + count))
  fi
done
