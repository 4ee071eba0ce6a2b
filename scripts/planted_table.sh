#!/usr/bin/env bash
# Writes the table of planted bugs into docs/simulation.md: for each, the rule that finds it and the seeds that it takes.
# scripts/planted_table.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release forerun-sim-planted
page=docs/simulation.md
table=$(mktemp)
trap 'rm -f "$table"' EXIT
{ echo; build/release/forerun-sim-planted --plants --jobs "${1:-$(nproc)}"; } > "$table"
sed -i -e '/<!-- planted bugs -->/,/<!-- end -->/{/<!-- planted bugs -->/{p;r '"$table"'
};/<!-- end -->/p;d}' "$page"
