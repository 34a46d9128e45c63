#!/usr/bin/env bash
# A model of 10.4 billion parameters (19.4 GiB as bf16) in 4 GiB of memory, and the rate of the disk it is
# read from: the figures of docs/streaming.md. FOLDER gets the checkpoint, and keeps it for the next run;
# further arguments go to 'epc exec'.
# Build first: swift build -c release --product epc
set -euo pipefail
folder=$(realpath "${1:?usage: streaming.sh FOLDER [ARGUMENTS]}")
shift
cd "$(dirname "$0")/.."
epc="${EPC_BUILD:-.build}/release/epc"
"$epc" compile benchmarks/streaming/config.json --ep 1 --tokens-per-gpu 64 --batch 2 \
  -o "$folder/plan.json" > "$folder/compiled.txt"
[ -f "$folder/weights/model.safetensors.index.json" ] \
  || "$epc" model synthesize "$folder/plan.json" --seed 1 --dtype bf16 -o "$folder/weights"
"$epc" exec "$folder/plan.json" --weights "$folder/weights" --dtype bf16 --memory 4GiB \
  --tokens 1,2,3 --generate 16 "$@"
benchmarks/reads.sh "$folder/weights/model-00001-of-00005.safetensors"
