#!/usr/bin/env bash
# What simulating Kimi K2's decoding takes, by ranks: benchmarks/simulate.sh. Wall-clock and processor time of whole
# commands, then what one step and one event take, as a difference of two runs; the least of three each, since other
# programs only add to it. Aims: 10,240 ranks with fresh draws in under 1 s, 1,024 ranks x 1,000 steps in under
# 60 s, a step of 256 ranks in under 10 ms, 5 x 10^8 jobs times ranks a second, memory by ranks and not by steps.
set -euo pipefail
cd "$(dirname "$0")/.."
epc=${EPC:-.build/release/epc}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for ranks in 256 1024 10240; do
  "$epc" compile models/k2.swift --phase decode --cluster h200:$ranks -o "$folder/$ranks.json" > /dev/null
done
"$epc" compile models/k2.swift --phase decode --cluster h200:256 --overlap 2 -o "$folder/two.json" > /dev/null

# Seconds of wall-clock and of processor time and KiB of memory, of a run.
run() {
  local best= seconds processor memory
  for _ in 1 2 3; do
    read -r seconds processor memory < <({ /usr/bin/time -f "%e %U %M" "$epc" exec "$@" > "$folder/out"; } 2>&1)
    if [ -z "$best" ] || awk "BEGIN { exit !($seconds < ${best%% *}) }"; then best="$seconds $processor $memory"; fi
  done
  echo "$best"
}
show() {
  local name=$1 seconds processor memory
  shift
  read -r seconds processor memory < <(run "$@")
  printf '%-44s %7.2f s  %7.2f s of processors  %5d MiB\n' "$name" "$seconds" "$processor" $((memory / 1024))
}
# Milliseconds of processor time that one more step takes, and how many events a second that is.
step() {
  local name=$1 plan=$2 more=$3 few many events
  shift 3
  few=$(run "$plan" --steps 1 --routing mean "$@")
  many=$(run "$plan" --steps $((more + 1)) --routing mean --format json "$@")
  events=$(grep -o '"job_events": [0-9]*' "$folder/out" | grep -o '[0-9]*$')
  awk -v few="${few#* }" -v many="${many#* }" -v more="$more" -v events="$events" -v name="$name" 'BEGIN {
    split(few, a, " "); split(many, b, " ")
    seconds = (b[1] - a[1]) / more
    printf "%-44s %7.2f ms a step  %.1e events a second\n", name, seconds * 1e3, events / (more + 1) / seconds }'
}
show "10,240 ranks, a step, fresh draws" "$folder/10240.json" --steps 1
show "10,240 ranks, a step, one thread" "$folder/10240.json" --steps 1 --threads 1
show "10,240 ranks, a step, even routing" "$folder/10240.json" --steps 1 --routing mean
show "1,024 ranks, 1,000 steps" "$folder/1024.json" --steps 1000
show "1,024 ranks, 10 steps" "$folder/1024.json" --steps 10
step "256 ranks, decode step" "$folder/256.json" 1000
step "256 ranks, decode step, two micro-batches" "$folder/two.json" 200
step "10,240 ranks, decode step" "$folder/10240.json" 50
