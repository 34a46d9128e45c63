#!/usr/bin/env bash
# Places the experts of every recorded configuration, rebalances every drift case, splits batches, and
# prints it beside the recorded results and the lower bound: the tables of docs/placement.md.
# Arguments pick tables: configurations, drift, batches.
# EPC_NUMBERS names the folder with results.json, drift.json, perbatch.json, loads/ and drift/.
# Build first: swift build -c release --product epc-bench-placement
set -euo pipefail
cd "$(dirname "$0")/.."
: "${EPC_NUMBERS:?must name the folder with results.json and loads/}"
export EPC_NUMBERS
exec "${EPC_BUILD:-.build}/release/epc-bench-placement" "$@"
