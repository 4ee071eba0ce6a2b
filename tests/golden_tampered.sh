#!/usr/bin/env bash
# A selftest that cannot fail proves nothing: one changed digit in each file of vectors must be found.
set -euo pipefail
forerun=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for file in jcs.jsonl merkle.jsonl tie_break.jsonl; do
  cp "$here"/golden/*.jsonl "$scratch"
  case $file in
    jcs.jsonl) sed -i '1s/"sha256": "9/"sha256": "8/' "$scratch/$file" ;;
    merkle.jsonl) sed -i '2s/"root": "c/"root": "d/' "$scratch/$file" ;;
    tie_break.jsonl) sed -i '1s/"ranked": 3/"ranked": 1/' "$scratch/$file" ;;
  esac
  cmp -s "$here/golden/$file" "$scratch/$file" && { echo "$file: nothing was changed"; exit 1; }
  code=0
  "$forerun" selftest --vectors "$scratch" >/dev/null 2>&1 || code=$?
  [ "$code" = 5 ] || { echo "$file: exit $code after a change, expected 5"; exit 1; }
done
