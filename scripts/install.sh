#!/usr/bin/env bash
# Installs what building and testing Forerun needs on Debian 12, and only what is missing.
set -euo pipefail
declare -A why=(
  [g++]="compiles it" [cmake]="configures the build" [ninja-build]="runs the build" [ccache]="makes rebuilds short"
  [libcaf-dev]="the actors" [libzmq3-dev]="the wire" [cppzmq-dev]="the wire's C++ interface"
  [libprotobuf-dev]="what travels on the wire" [protobuf-compiler]="generates its code"
  [libssl-dev]="SHA-256, Ed25519, TLS" [libsqlite3-dev]="the ledger's store" [libboost1.81-dev]="HTTP (Beast)"
  [libcli11-dev]="the command line" [libtomlplusplus-dev]="catalog.toml" [zlib1g-dev]="compressed traces" [libjemalloc-dev]="a quicker malloc"
  [bubblewrap]="the sandbox of exec tasks" [libseccomp-dev]="its system call filter"
  [libcurl4-openssl-dev]="http tasks, effects, HTTP clients" [libexpected-dev]="results"
  [catch2]="the tests" [python3]="the Python package and the cluster tests" [iproute2]="the network namespaces of the kill rounds" [python3-cryptography]="the auditor of docs/proof.md, the tests of TLS" [curl]="the README's commands" [ca-certificates]="fetches packages safely"
)
# Those who only run it need none of this.
if [ "${1:-}" = fuzz ]; then
  why+=([clang-16]="the fuzz tests" [libclang-rt-16-dev]="libFuzzer and its sanitizers")
fi
missing=()
for package in "${!why[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
  echo "install: this script knows Debian 12 only; install by hand: ${missing[*]}" >&2
  exit 1
fi
echo "installing what is missing:"
for package in "${missing[@]}"; do echo "  $package: ${why[$package]}"; done
sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install: not root and no sudo: run as root once" >&2; exit 1; }
  sudo=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${sudo[@]}" apt-get update -qq &&
       "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -20 "$log" >&2
  echo "install: apt-get failed (above)" >&2
  exit 1
fi
