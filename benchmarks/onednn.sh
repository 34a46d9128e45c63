#!/usr/bin/env bash
# oneDNN beside 'epc bench': the same products, and layers of experts as a loop of products with packed weights;
# how many times as fast the kernels are.
# benchmarks/onednn.sh [EPC]. Needs libdnnl-dev, g++ and python3; says so where oneDNN is absent.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
epc=${1:-$here/../.build/release/epc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! g++ -O3 -march=native -ffast-math -fopenmp "$here/onednn.cpp" -ldnnl -o "$work/onednn" 2>"$work/errors"; then
  grep -q 'dnnl.hpp' "$work/errors" || cat "$work/errors" >&2
  echo 'oneDNN is absent: there is no libdnnl-dev'
  exit 0
fi
# Version 2.6 dies of an illegal instruction where a virtual machine has bf16 tiles but not all that came
# with them.
if ! "$work/onednn" > "$work/peer" 2>/dev/null; then
  echo 'oneDNN dies with tiles here: without them'
  DNNL_MAX_CPU_ISA=AVX512_CORE_BF16 "$work/onednn" > "$work/peer"
fi
for weights in fp32 bf16; do
  "$epc" bench --dtype $weights --format json > "$work/$weights"
done
python3 - "$work/peer" "$work/fp32" "$work/bf16" <<'PYTHON'
import json, statistics, sys
peer, layers = {}, {}
for line in open(sys.argv[1]):
    row = json.loads(line)
    if "tokens" in row:
        layers[row["tokens"]] = row["seconds"]
    else:
        peer[row["weights"], row["rows"], row["out"], row["in"]] = row["seconds"]
ratios = {}
print("weights  rows  out x in      epc ms  oneDNN ms  times as fast")
for path in sys.argv[2:]:
    for row in json.load(open(path))["products"]:
        key = row["weights"], row["rows"], row["out"], row["in"]
        if key not in peer:
            continue
        shape = f"{key[2]} x {key[3]}"
        ratio = peer[key] / row["seconds"]
        rows = "1 to 4" if key[1] <= 4 else "16 to 64" if key[1] <= 64 else "512 to 1024"
        ratios.setdefault((key[0], rows), []).append(ratio)
        print(f"{key[0]:7} {key[1]:5}  {shape:11} {row['seconds'] * 1e3:8.3f} "
              f"{peer[key] * 1e3:10.3f} {ratio:14.2f}")
print("\nlayers of 64 experts of 1024 x 512, 8 a token\ntokens   epc ms  oneDNN ms  times as fast")
for row in json.load(open(sys.argv[3]))["expert_layers"]:
    seconds = layers[row["rows"]]
    print(f"{row['rows']:6} {row['seconds'] * 1e3:8.3f} {seconds * 1e3:10.3f} {seconds / row['seconds']:14.2f}")
print("\ntimes as fast: least and middle")
for (weights, rows), all in ratios.items():
    print(f"{weights:7} {rows:>11} rows  {min(all):6.2f} {statistics.median(all):6.2f}")
PYTHON
