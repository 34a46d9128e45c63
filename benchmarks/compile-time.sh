#!/usr/bin/env bash
# How long `epc compile models/k2.swift --ep 320 --phase decode` takes: CPU time with an empty cache,
# wall time with a full one, and the compiler's own part. Build first: swift build -c release
set -euo pipefail
cd "$(dirname "$0")/.."
epc=.build/release/epc
export EPC_CACHE_DIR
EPC_CACHE_DIR=$(mktemp -d)
trap 'rm -rf "$EPC_CACHE_DIR"' EXIT
compile() { "$epc" compile models/k2.swift --ep 320 --phase decode -o "$EPC_CACHE_DIR/plan.json" "$@"; }
TIMEFORMAT='%U user + %S system = CPU seconds, %R wall'
echo "cold, with an empty cache (aim: under 1 CPU second):"
time compile >/dev/null
echo "cold again, the compiler's own caches warm:"
time compile --no-cache >/dev/null
echo "cached (aim: under 50 ms wall, of which the compiler under 30 ms):"
for _ in 1 2 3 4 5; do
  time compile --timings >/dev/null
done
