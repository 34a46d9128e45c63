#!/usr/bin/env bash
# oneDNN beside 'epc bench': the same products, and how many times as fast the kernels are.
# benchmarks/onednn.sh [EPC]. Needs libdnnl-dev, g++ and python3; says so where oneDNN is absent.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
epc=${1:-$here/../.build/release/epc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! g++ -O2 "$here/onednn.cpp" -ldnnl -o "$work/onednn" 2>"$work/errors"; then
  grep -q 'dnnl.hpp' "$work/errors" || cat "$work/errors" >&2
  echo 'oneDNN is absent: there is no libdnnl-dev'
  exit 0
fi
"$work/onednn" > "$work/peer"
"$epc" bench --format json > "$work/own"
python3 - "$work/peer" "$work/own" <<'PYTHON'
import json, sys
peer = {}
for line in open(sys.argv[1]):
    row = json.loads(line)
    peer[row["weights"], row["rows"], row["out"], row["in"]] = row["seconds"]
print("weights  rows  out x in      epc ms  oneDNN ms  times as fast")
for row in json.load(open(sys.argv[2]))["products"]:
    key = row["weights"], row["rows"], row["out"], row["in"]
    if key in peer:
        shape = f"{key[2]} x {key[3]}"
        print(f"{key[0]:7} {key[1]:5}  {shape:11} {row['seconds'] * 1e3:8.3f} "
              f"{peer[key] * 1e3:10.3f} {peer[key] / row['seconds']:14.2f}")
PYTHON
