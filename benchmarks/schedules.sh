#!/usr/bin/env bash
# The schedules and arenas of all models in both phases, and of a few loads more: the decision, how far the
# period lies above the least possible one, what parts of unequal size would take at least, how much communication
# shows, and the arena beside the most bytes alive at once. Prints the table of docs/overlap.md.
# Build first: swift build -c release
set -euo pipefail
cd "$(dirname "$0")/.."
epc=${1:-.build/release/epc}
plan=$(mktemp)
trap 'rm -f "$plan"' EXIT
echo "| model | flags | decision | above the bound | uneven parts | communication that shows | arena above the least |"
echo "|---|---|---|--:|--:|--:|--:|"
row() {
  local model=$1
  shift
  if ! text=$("$epc" compile "models/$model.swift" "$@" -o "$plan" 2>&1); then
    echo "$model $*: $(tail -1 <<<"$text")" >&2
    return
  fi
  text=$(tr -s ' \n' ' ' <<<"$text")
  decision=$(sed -nE 's/.*- (decode|prefill): (no overlap|one batch|two micro-batches|three micro-batches).*/\2/p' <<<"$text")
  gap=$(sed -nE 's/.* ([0-9.]+ %) above the least possible.*/\1/p' <<<"$text")
  uneven=$(sed -nE 's/.*unequal size would take ([0-9.]+ %) longer.*/+\1/p; s/.*unequal size would save ([0-9.]+ %) at most.*/-\1/p' <<<"$text")
  shows=$(sed -nE 's/.* ([0-9.]+ %) of the step is communication that shows.*/\1/p' <<<"$text")
  arena=$(sed -nE 's/.* arena [^,]*, that of [^,]*, (([0-9<. ]+ %) above|the) most bytes.*/\2/p' <<<"$text")
  echo "| $model | \`$*\` | ${decision:-nothing to overlap} | ${gap:--} | ${uneven:--} | ${shows:--} | ${arena:-0 %} |"
}
for file in models/*.swift; do
  model=$(basename "$file" .swift)
  cluster=h800:32 batch=() tokens=()
  case $model in
    kimi-k3) cluster=h200:64 batch=(--batch 4) tokens=(--tokens-per-gpu 4096) ;;
    longcat-flash) batch=(--batch 16) ;;
    minimax-m2.5 | qwen3-235b-a22b) batch=(--batch 32) ;;
  esac
  row "$model" --cluster "$cluster" --phase decode "${batch[@]}"
  row "$model" --cluster "$cluster" --phase prefill "${tokens[@]}"
done
row k2 --cluster h800:320 --ep 320 --phase decode --batch 64
row k2 --cluster h800:320 --ep 320 --phase decode --batch 128
row deepseek-v3 --cluster h800:128 --ep 128 --phase decode --batch 32
row deepseek-v3 --cluster h800:128 --ep 128 --phase decode --batch 128
row deepseek-v3 --cluster h800:128 --ep 128 --phase decode --batch 256 --context 2000
row deepseek-v3 --cluster h800:128 --ep 128 --phase decode --batch 256 --context 2000 --overlap 2
row deepseek-v3 --cluster h800:32 --ep 32 --phase prefill --tokens-per-gpu 16384
row deepseek-v3 --cluster h800:32 --ep 32 --phase prefill --tokens-per-gpu 16384 --overlap 2
row deepseek-v3.2 --cluster h800:128 --ep 128 --phase decode --batch 128
