#!/usr/bin/env bash
# Makes the tables of docs/validation.md: published throughputs beside what the cost model says, and what runs on
# simulated devices come to.
set -euo pipefail
cd "$(dirname "$0")/.."
swift build -c release --product epc
.build/release/epc validate benchmarks/cases.csv --simulate --update docs/validation.md
