#!/usr/bin/env bash
# Dispatch and combine over MPI beside MPI_Alltoallv of the same bytes, in one run: the table of
# docs/mpi.md. RANKS says how many processes; further flags go to the program (--hidden, --experts,
# --top-k, --tokens, --rounds).
# Build first: swift build -c release --product epc-bench-mpi
set -euo pipefail
cd "$(dirname "$0")/.."
export EPC_MPI_LIBRARY="${EPC_MPI_LIBRARY:-$PWD/plugins/mpi/lib/libepc-mpi.so}"
exec mpirun -n "${RANKS:-4}" --allow-run-as-root --oversubscribe --bind-to none \
  --mca btl self,vader --mca btl_vader_single_copy_mechanism none --mca mpi_yield_when_idle 1 \
  "${EPC_BUILD:-.build}/release/epc-bench-mpi" "$@"
