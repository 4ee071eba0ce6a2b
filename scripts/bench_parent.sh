#!/usr/bin/env bash
# Compares what a step costs in this tree's brains and codec with the last commit's, as a ratio of processor time: builds
# forerun-bench-step of HEAD~1 in a worktree of its own (ccache makes that short) and runs both in turns. Fails on a gross
# ratio only, which noise does not reach; says why where there is nothing to compare with.
# Usage: bench_parent.sh   (this tree's program: build/release/bench/forerun-bench-step, built before)
set -uo pipefail
cd "$(dirname "$0")/.."
gross=2.0        # Times the last commit's.
build_limit=480  # Seconds.
run_limit=60     # Seconds, of one run.
skipped() {
  echo "bench against the last commit: skipped: $*"
  exit 0
}
own=build/release/bench/forerun-bench-step
[[ -x $own ]] || skipped "$own is not built"
parent=$(git rev-parse --verify --quiet 'HEAD~1^{commit}') || skipped "no commit before this one (a shallow clone, or no clone)"
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/tree" >/dev/null 2>&1; git worktree prune; rm -rf "$folder"' EXIT
git worktree add --quiet --detach "$folder/tree" "$parent" 2>"$folder/log" || skipped "git worktree: $(tail -1 "$folder/log")"
started=$SECONDS
# Paths relative to the source, so that what both trees share is found in the cache.
if ! (cd "$folder/tree" && export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 &&
      timeout "$build_limit" sh -c 'cmake --preset release && cmake --build --preset release --target forerun-bench-step') \
    >"$folder/log" 2>&1; then
  grep -E 'error|FAILED|CMake Error' "$folder/log" | head -3
  skipped "$(git log -1 --format='%h' "$parent") did not build within $build_limit s"
fi
other=$folder/tree/$own
[[ -x $other ]] || skipped "$(git log -1 --format='%h' "$parent") has no forerun-bench-step"
built=$((SECONDS - started))
for run in 1 2 3 4 5; do
  timeout "$run_limit" "$own" 30000 >"$folder/own.$run" || { echo "bench against the last commit: $own failed"; exit 1; }
  timeout "$run_limit" "$other" 30000 >"$folder/other.$run" || skipped "the last commit's program failed"
done
python3 - "$folder" "$gross" "$(git log -1 --format=%h "$parent")" "$built" <<'PYTHON'
import pathlib, re, sys

def least(name):
    """The quickest run: what disturbs a run only makes it longer."""
    return min(float(re.search(r"([\d.]+) us each", file.read_text())[1]) for file in pathlib.Path(sys.argv[1]).glob(name + ".*"))

own, other, gross = least("own"), least("other"), float(sys.argv[2])
print(f"bench against the last commit ({sys.argv[3]}, built in {sys.argv[4]} s): {own:.2f} us a step, before {other:.2f}, "
      f"ratio {own / other:.2f}")
if own / other >= gross:
    sys.exit(f"bench against the last commit: a step costs {own / other:.1f} times as much; expected less than {gross:g} times: "
             "see docs/performance.md for how to find out why")
PYTHON
