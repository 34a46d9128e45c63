#!/usr/bin/env bash
# Seeded fault schedules in runs with tensors over several processes: benchmarks/faults.sh [COUNT] [FIRST]
#
# Each seed draws up to three faults (slow rank or link, lost rank, hung collective, device error) for
# tiny-deepseek at EP 2, 4 or 8. A run must end by itself: with the tokens of the 'cpu' backend, or, where
# it may not or cannot recover, with the name of the rank. Afterwards no process and no shared memory may be
# left. Prints a line a failure and a summary; exits 1 if anything failed.
set -uo pipefail
cd "$(dirname "$0")/.."
epc=${EPC:-.build/release/epc}
count=${1:-1000}
first=${2:-0}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
run=(--weights synthetic:3 --tokens 1,2,3,4,5 --generate 6)
for ep in 2 4 8; do
  "$epc" compile models/tiny-deepseek.swift --ep $ep -o "$folder/plan$ep.json" > /dev/null || exit 1
  "$epc" exec "$folder/plan$ep.json" "${run[@]}" | sed -n 1p > "$folder/expected$ep" || exit 1
done
# Processes of these plans, zombies left out, and mappings of a run's shared memory among them.
left() {
  local id
  for id in /proc/[0-9]*; do
    if tr '\0' ' ' 2> /dev/null < "$id/cmdline" | grep -q "$folder/plan"; then echo "$id"; fi
  done
}
named() { find /dev/shm -maxdepth 1 -name '*epc*' -newer "$folder/start" 2> /dev/null; }
touch "$folder/start"
equal=0 ended=0 recovered=0 failed=0
for ((seed = first; seed < first + count; seed++)); do
  ep=$((2 << (seed % 3)))
  faults="$folder/faults.json"
  echo "{\"seed\": $seed, \"count\": $((1 + seed % 3)), \"timeout_ms\": 1500}" > "$faults"
  flags=(--backend simgpu --processes $((1 + seed % (ep < 4 ? ep : 4))) --faults "$faults")
  [ $((seed % 4)) -ne 0 ] && flags+=(--recover --spares $((seed % 3)))
  timeout -s KILL 60 "$epc" exec "$folder/plan$ep.json" "${run[@]}" "${flags[@]}" \
    > "$folder/out" 2> "$folder/err"
  status=$?
  why=
  if [ $status -eq 0 ]; then
    if head -1 "$folder/out" | cmp -s - "$folder/expected$ep"; then
      equal=$((equal + 1))
      grep -q 'took over' "$folder/out" && recovered=$((recovered + 1))
    else
      why="other tokens"
    fi
  elif [ $status -eq 1 ] && grep -qE 'rank [0-9]+|no other data group' "$folder/err"; then
    ended=$((ended + 1))
  else
    why="status $status: $(head -1 "$folder/err")"
  fi
  rest=$(left)
  [ -n "$rest" ] && why="$why; left behind: $rest"
  if [ -n "$why" ]; then
    failed=$((failed + 1))
    echo "seed $seed, EP $ep: $why"
  fi
done
memory=$(named | wc -l)
echo "$count schedules: $equal ended with the tokens of 'cpu' ($recovered of them after a recovery), $ended named what" \
  "was lost, $failed failed; processes left: $(left | wc -l), shared memory left: $memory"
[ $failed -eq 0 ] && [ -z "$(left)" ] && [ "$memory" -eq 0 ]
