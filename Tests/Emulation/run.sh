#!/usr/bin/env bash
# The kernels' AVX-512 level on a machine that does not have it: the tests of what computes, with avx512.h before every C source.
# Slow, so in a build folder of its own and not part of CI. Arguments go to `swift test`.
set -eu
cd "$(dirname "$0")/../.."
bash .ci/install
# swift-system's C sources want their features named before the first header.
options=(-c release --scratch-path .build-avx512 -Xcc -D_GNU_SOURCE -Xcc -include -Xcc "$PWD/Tests/Emulation/avx512.h")
swift build "${options[@]}" --build-tests
[ $# -gt 0 ] || set -- --filter 'BytesTests|QuantizationTests|InspectionTests|ArchiveTests|InferenceTests'
swift test "${options[@]}" --skip-build --no-parallel "$@"
