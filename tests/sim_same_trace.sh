#!/bin/sh
# The same seed gives the same trace hash, another seed another one, and the number of processes changes nothing.
set -eu
sim=$1
for seed in 3 4 5; do
  first=$("$sim" --seed "$seed" --trace-hash)
  second=$("$sim" --seed "$seed" --trace-hash)
  [ "$first" = "$second" ] || { echo "seed $seed: $first, then $second" >&2; exit 1; }
  [ "$first" != "${previous:-}" ] || { echo "seed $seed: the trace of the seed before" >&2; exit 1; }
  previous=$first
done
alone=$("$sim" --seeds 60)
together=$("$sim" --seeds 60 --jobs 3)
[ "$alone" = "$together" ] || { printf '%s\n' "one process:" "$alone" "three:" "$together" >&2; exit 1; }
# As on a processor without fused operations: there the C library's functions end in other bits.
older=$(GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA,-FMA_Usable,-AVX2,-AVX2_Usable "$sim" --seeds 60)
[ "$alone" = "$older" ] || { printf '%s\n' "this processor:" "$alone" "an older one:" "$older" >&2; exit 1; }
