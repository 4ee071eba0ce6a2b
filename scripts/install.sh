#!/usr/bin/env bash
# Installs what building Forerun needs on Debian 12, and only what is missing.
set -euo pipefail
packages=(g++ cmake ninja-build libssl-dev nlohmann-json3-dev libexpected-dev catch2)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing ${missing[*]}: needed to build Forerun"
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
