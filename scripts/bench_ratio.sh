#!/usr/bin/env bash
# Prints how this tree's steps compare with those of another build, from short runs in turns, so that
# both see the same machine. Noise never fails it; builds nothing.
# Usage: bench_ratio.sh [OTHER_BINARY]   (else FORERUN_BENCH_BASE; this tree's: FORERUN_BINARY or build/*/forerun)
set -uo pipefail
cd "$(dirname "$0")/.."
own=${FORERUN_BINARY:-}
for built in build/release/forerun build/dev/forerun; do
  [[ -z $own && -x $built ]] && own=$built
done
base=${1:-${FORERUN_BENCH_BASE:-}}
if [[ ! -x $own ]]; then
  echo "bench ratio: no built forerun; skipped"
  exit 0
fi
if [[ ! -x $base ]] || ! "$base" bench --help > /dev/null 2>&1; then
  echo "bench ratio: no other build with a bench to compare with; this tree alone"
  base=
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for run in 1 2; do
  timeout 40 "$own" bench --seconds 0.5 --output json > "$folder/own.$run" 2> /dev/null || true
  [[ -n $base ]] && { timeout 40 "$base" bench --seconds 0.5 --output json > "$folder/base.$run" 2> /dev/null || true; }
done
python3 - "$folder" << 'PYTHON' || echo "bench ratio: could not be told"
import json, pathlib, sys

def runs(name):
    found = []
    for file in sorted(pathlib.Path(sys.argv[1]).glob(name + ".*")):
        try:
            found.append(json.loads(file.read_text()))
        except ValueError:
            pass
    return found

def best(name, read):
    return max((read(run) for run in runs(name)), default=0)

def least(name, read):
    return min((read(run) for run in runs(name)), default=0)

figures = [("steps/s", best, lambda r: r["step"]["per_s"]), ("durable steps/s", best, lambda r: r["step"]["durable_per_s"]),
           ("CPU us/step", least, lambda r: sum(r["step"]["cpu"].values())),
           ("step/raw round trip", least, lambda r: r["step"]["raw_ratio"])]
for name, pick, read in figures:
    own, base = pick("own", read), pick("base", read)
    print(f"bench ratio: {name}: {own:g}" + (f", before {base:g}, ratio {own / base:.2f}" if base else ""))
PYTHON
exit 0
