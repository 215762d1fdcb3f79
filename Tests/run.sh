#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Arguments go to `swift test`.
set -eu
cd "$(dirname "$0")/.."
bash .ci/install
swift build -c release --build-tests
# Some tests force a CPU level, which is one setting for the whole process: one test at a time.
swift test -c release --skip-build --no-parallel "$@"
