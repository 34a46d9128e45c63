#!/usr/bin/env bash
# The layers of experts of 'epc bench --dtype bf16' beside torch's grouped_mm and ggml's mul_mat_id.
# experts.sh PYTHON [FOLDER]: a python that has torch, and a folder that llama-cpp-python is below, as
# benchmarks/llama.sh makes it; what is absent is said and left out. Build first:
# swift build -c release --product epc
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:?usage: experts.sh PYTHON [FOLDER]}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$here/../.build/release/epc" bench --dtype bf16 --format json > "$work/epc"
peer() {
  # In a shell of its own, so that its end by a signal is not reported here.
  bash -c '"$@"; exit $?' - "$python" "$here/experts.py" "$@" > "$work/$1" 2> "$work/errors" && return
  # oneDNN's tiles, which torch takes, end with an illegal instruction on some virtual machines.
  ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 "$python" "$here/experts.py" "$@" > "$work/$1" 2> "$work/errors" \
    && echo "$1 runs without tiles" && return
  echo "$1 is absent: $(tail -1 "$work/errors")"
  : > "$work/$1"
}
peer torch
if [ $# -gt 1 ]; then peer ggml "$2"; else : > "$work/ggml"; fi
python3 - "$work" <<'PYTHON'
import json, sys
def peer(name):
    with open(f"{sys.argv[1]}/{name}") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["tokens"]: row["seconds"] for row in rows}
peers = {name: peer(name) for name in ["torch", "ggml"]}
print("tokens   epc ms" + "".join(f"  {name:>5} ms  times as fast" for name in peers))
with open(f"{sys.argv[1]}/epc") as file:
    layers = json.load(file)["expert_layers"]
for row in layers:
    text = f"{row['rows']:6} {row['seconds'] * 1e3:8.3f}"
    for seconds in (peer.get(row["rows"]) for peer in peers.values()):
        text += f"  {seconds * 1e3:8.3f} {seconds / row['seconds']:14.2f}" if seconds else " " * 25
    print(text)
PYTHON
