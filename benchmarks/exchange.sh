#!/usr/bin/env bash
# What an exchange between processes takes over the board of docs/simgpu.md, beside one copy of the same blocks
# by as many processes as cores and Open MPI's Alltoall, in one run: benchmarks/exchange.sh [RANKS...]. Needs
# mpicc for the last, which copies twice; 'MECHANISM=cma benchmarks/exchange.sh' lets it read other processes'
# memory, and copy once. 'most' is how many times faster than MPI something is that takes what memcpy takes.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${CC:-clang} -O2 -I Sources/CEPSystem/include benchmarks/exchange.c Sources/CEPSystem/board.c \
  Sources/CEPSystem/shared.c -o "$folder/board"
if command -v mpicc > /dev/null; then mpicc -O2 -DEPC_MPI benchmarks/exchange.c -o "$folder/mpi"; fi
for ranks in ${@:-2 4 8}; do
  "$folder/board" "$ranks"
  [ -x "$folder/mpi" ] && mpirun -n "$ranks" --allow-run-as-root --oversubscribe --bind-to none \
    --mca btl self,vader --mca btl_vader_single_copy_mechanism "${MECHANISM:-none}" \
    --mca mpi_yield_when_idle 1 "$folder/mpi"
done | awk '
  $1 == "board" { key = $2 " " $3; order[++count] = key; board[key] = $4; copy[key] = $5 }
  $1 == "mpi" { mpi[$2 " " $3] = $4 }
  END {
    printf "%5s %9s %10s %10s %8s %10s %8s %8s\n", "ranks", "a pair", "board us", "memcpy us", "reach", "MPI us", "over MPI", "most"
    for (place = 1; place <= count; place++) {
      key = order[place]; split(key, part, " ")
      printf "%5d %9d %10.1f %10.1f %8.2f", part[1], part[2], board[key], copy[key], copy[key] / board[key]
      if (key in mpi) printf " %10.1f %7.1fx %7.1fx", mpi[key], mpi[key] / board[key], mpi[key] / (copy[key] + 0.01)
      printf "\n"
    }
  }'
