#!/usr/bin/env bash
# llama.cpp on the shapes of a model, with random weights, to compare 'epc bench --model' with:
# benchmarks/llama.sh FOLDER [CONFIG] [FLAGS of llama.py]. FOLDER keeps what is built, a quarter of an
# hour the first time, and the models, 5 GB of them for benchmarks/mid. Needs cmake, a C++ compiler and
# the Python package index.
set -euo pipefail
folder=${1:?"benchmarks/llama.sh FOLDER [CONFIG] [FLAGS of llama.py]"}
here=$(cd "$(dirname "$0")" && pwd)
config=${2:-$here/mid/config.json}
shift $(($# > 1 ? 2 : 1))
mkdir -p "$folder"
if ! "$folder/llama/bin/python" -c 'import llama_cpp, gguf' 2>/dev/null; then
  python3 -m venv "$folder/llama"
  CMAKE_ARGS='-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF' "$folder/llama/bin/pip" install --quiet \
    --no-binary llama-cpp-python llama-cpp-python==0.3.16 gguf >&2 || {
    echo '{"peer": "llama.cpp", "absent": "it could not be built"}'
    exit 0
  }
fi
exec "$folder/llama/bin/python" "$here/llama.py" "$config" --folder "$folder" "$@"
