#!/usr/bin/env bash
# Prints the figures of Docs/Performance.md. Arguments go to bench.py: names of sections (carry, check, quantize,
# forward, archive, sizes, compare). BENCH_PYTHON names a Python with torch and zipnn (default: the one of
# `.ci/install --peers`), BENCH_STEPS a folder with checkpoints of one run, BENCH_DIR and BENCH_SOURCES where the outputs and
# the large checkpoints are made (default: /dev/shm), BENCH_ARCHIVE the types (bf16, f32) that archives are timed with.
# LLAMA_BIN names the folder with llama.cpp's programs, for the ratios; without it only Pannier is timed.
set -eu
cd "$(dirname "$0")/../.."
bash .ci/install
swift build -c release --product pannier 2>&1 | tail -n 1
swift build -c release --product pannier-synthesize 2>&1 | tail -n 1
exec python3 Tests/Benchmarks/bench.py "$@"
