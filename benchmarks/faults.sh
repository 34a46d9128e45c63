#!/usr/bin/env bash
# Seeded fault schedules in runs with tensors over several processes: benchmarks/faults.sh [COUNT] [FIRST]
#
# Each seed draws up to three faults (slow rank or link, lost rank, hung collective, device error) for
# tiny-deepseek at EP 2, 4 or 8. A run must end by itself: with the tokens of the 'cpu' backend, or, where
# it may not or cannot recover, with the name of the rank. Afterwards no process and no shared memory may be
# left. LANES runs (two unless set) go side by side. Prints a line a failure and a summary; exits 1 if anything
# failed.
set -uo pipefail
cd "$(dirname "$0")/.."
epc=${EPC:-.build/release/epc}
count=${1:-1000}
first=${2:-0}
lanes=${LANES:-2}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
run=(--weights synthetic:3 --tokens 1,2,3,4,5 --generate 6)
for ep in 2 4 8; do
  "$epc" compile models/tiny-deepseek.swift --ep $ep -o "$folder/plan$ep.json" > /dev/null || exit 1
  "$epc" exec "$folder/plan$ep.json" "${run[@]}" | sed -n 1p > "$folder/expected$ep" || exit 1
done
touch "$folder/start"

# One seed in a lane's own folder; writes what became of it.
try() {
  local seed=$1 own=$2 ep=$((2 << (seed % 3))) status why= rest
  local plan="$own/plan$ep.json"
  echo "{\"seed\": $seed, \"count\": $((1 + seed % 3)), \"timeout_ms\": 500}" > "$own/faults.json"
  local flags=(--backend simgpu --processes $((1 + seed % (ep < 4 ? ep : 4))) --faults "$own/faults.json")
  [ $((seed % 4)) -ne 0 ] && flags+=(--recover --spares $((seed % 3)))
  timeout -s KILL 60 "$epc" exec "$plan" "${run[@]}" "${flags[@]}" > "$own/out" 2> "$own/err"
  status=$?
  # At once: whoever is left behind for a while is left behind.
  rest=$(pgrep -f "$own/plan")
  if [ -n "$rest" ]; then
    why="processes left behind: $rest"
  elif [ $status -eq 0 ]; then
    if ! head -1 "$own/out" | cmp -s - "$folder/expected$ep"; then
      why="other tokens"
    elif grep -q 'took over' "$own/out"; then
      echo recovered
    else
      echo equal
    fi
  elif [ $status -eq 1 ] && grep -qE 'rank [0-9]+|no other data group' "$own/err"; then
    echo ended
  else
    why="status $status: $(head -1 "$own/err")"
  fi
  [ -n "$why" ] && echo "failed: seed $seed, EP $ep: $why"
}

for ((lane = 0; lane < lanes; lane++)); do
  own="$folder/lane$lane"
  mkdir "$own"
  cp "$folder"/plan*.json "$own"
  (for ((seed = first + lane; seed < first + count; seed += lanes)); do try $seed "$own"; done) > "$own/results" &
done
wait
results=$(cat "$folder"/lane*/results)
number() { grep -c "^$1" <<< "$results"; }
grep '^failed' <<< "$results"
processes=$(pgrep -fc "$folder/lane")
memory=$(find /dev/shm -maxdepth 1 -name '*epc*' -newer "$folder/start" 2> /dev/null | wc -l)
echo "$count schedules: $(($(number equal) + $(number recovered))) ended with the tokens of 'cpu'" \
  "($(number recovered) of them after a recovery), $(number ended) named what was lost, $(number failed) failed;" \
  "processes left: $processes, shared memory left: $memory"
[ $(($(number equal) + $(number recovered) + $(number ended))) -eq "$count" ] && [ "$processes" -eq 0 ] && [ "$memory" -eq 0 ]
