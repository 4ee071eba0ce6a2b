#!/bin/sh
# A failure names the one line that shows it again, and --minimise a shorter scenario that breaks the same rule.
set -eu
sim=$1
out=$("$sim" --seeds 100 --plant repeated-run --minimise 2>&1) && { echo "no seed found repeated-run" >&2; exit 1; }
rule=$(printf '%s\n' "$out" | sed -n 's/^seed [0-9]*: \([^:]*\): .*/\1/p')
printf '%s\n' "$out" | sed -n 's/^replay: forerun-sim-planted //p' | while read -r arguments; do
  # shellcheck disable=SC2086
  again=$("$sim" $arguments 2>&1) && { echo "holds: $arguments" >&2; exit 1; }
  case $again in *": $rule: "*) ;; *) echo "$arguments: found $again, expected $rule" >&2; exit 1 ;; esac
done
events=$(printf '%s\n' "$out" | sed -n 's/^minimised, \([0-9]*\) events instead of \([0-9]*\).*/\1 \2/p')
[ "${events% *}" -lt "${events#* }" ] || { echo "not shorter: $events" >&2; exit 1; }
