#!/usr/bin/env bash
# Builds llama.cpp's server, benchmark and quantizer into $1, out of the source that llama-cpp-python carries.
# Needs a C++ compiler (apt-get install build-essential). Ten minutes on two cores.
set -euo pipefail
out=$(realpath -m "$1")
version=0.3.16
python=.venv/bin/python

command -v c++ > /dev/null || { echo "a C++ compiler is missing: apt-get install build-essential"; exit 1; }
mkdir -p "$out/source"
$python -m pip install --quiet --disable-pip-version-check cmake gguf
$python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
    --dest "$out" "llama-cpp-python==$version"
tar --extract --file "$out"/llama_cpp_python-*.tar.gz --directory "$out/source" --strip-components 1
.venv/bin/cmake -S "$out/source/vendor/llama.cpp" -B "$out" -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF \
    -DBUILD_SHARED_LIBS=OFF > "$out/configure.log"
.venv/bin/cmake --build "$out" --parallel 2 --target llama-server llama-bench llama-quantize > "$out/build.log"
ls "$out/bin"
