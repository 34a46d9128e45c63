#!/usr/bin/env bash
# How long compiling Kimi K2 for 320 ranks takes with experts placed for measured loads and overlap
# decided, part by part: benchmarks/overlap.sh LOADS [epc]. LOADS is a CSV or JSON file with 60 rows of 384
# loads. Aim: under 1 s. Build first: swift build -c release
set -euo pipefail
cd "$(dirname "$0")/.."
loads=$(realpath "${1:?a file of expert loads}")
epc=${2:-.build/release/epc}
plan=$(mktemp)
trap 'rm -f "$plan"' EXIT
compile() {
  "$epc" compile models/k2.swift --ep 320 --phase decode --batch 128 --loads "$loads" -o "$plan" \
    --timings "$@"
}
# The model file is compiled once and cached.
compile >/dev/null 2>&1
for overlap in none auto; do
  echo "--overlap $overlap"
  compile --overlap "$overlap" 2>&1 >/dev/null | sed 's/^/  /'
done
