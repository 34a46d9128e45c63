#!/usr/bin/env bash
#!/usr/bin/env bash
# Makes the tables of docs/validation.md: published throughputs and profiled layers beside what the cost model
# says, and what runs on simulated devices come to.
set -euo pipefail
cd "$(dirname "$0")/.."
swift build -c release --product epc
.build/release/epc validate benchmarks/cases.csv --layers benchmarks/layers.csv --simulate \
  --update docs/validation.md
