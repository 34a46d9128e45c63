#!/usr/bin/env bash
# Reads 4 MiB pieces of a file at random, three times: by plain O_DIRECT preads of four threads, which is
# the disk's rate, and by the reader that streams checkpoints. The file should be larger than what the
# disk itself caches.
set -euo pipefail
file=$(realpath "${1:?usage: reads.sh FILE}")
cd "$(dirname "$0")/.."
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cc -O2 -Wall -Wextra -ISources/CEPCheckpoint/include -o "$program" \
  benchmarks/reads.c Sources/CEPCheckpoint/reader.c -lpthread
"$program" "$file"
