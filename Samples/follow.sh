#!/usr/bin/env bash
# Follows a training run inside an archive: list, compare, timeline, extract, compare bytes. Builds what is missing.
#   bash Samples/follow.sh        leaves nothing behind
#   bash Samples/follow.sh OUT    keeps the pages and pictures, list, diff and timeline as .html and .svg, in the folder OUT
set -eu
if [ $# -gt 1 ]; then echo "usage: follow.sh [OUT]" >&2; exit 64; fi
pages=
if [ $# = 1 ]; then
  mkdir -p -- "$1"
  pages=$(cd -- "$1" && pwd)
fi
cd "$(dirname "$0")/.."
bash .ci/install
if [ ! -x .build/release/pannier ] || [ "${PANNIER_REBUILD:-yes}" = yes ]; then
  echo "Building pannier (a few minutes the first time)"
  swift build -c release --product pannier 2>&1 | tail -n 1
fi
pannier=.build/release/pannier
run=Samples/Steps/run.pannier
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pages=${pages:-$work}

say() { printf '\n\033[1m$ pannier %s\033[0m\n' "$*"; }
run() { say "$@"; "$pannier" "$@"; }
# `diff` ends with 1 when something differs, which here it should.
differs() { local status=0; run diff "$@" || status=$?; [ "$status" = 1 ]; }

run archive list $run --html "$pages/list.html" --svg "$pages/list.svg" --force
run archive verify $run
differs $run:150 $run:900 --top 3 --html "$pages/diff.html" --svg "$pages/diff.svg" --force
differs $run --html "$pages/timeline.html" --svg "$pages/timeline.svg" --force
run diff $run:600 Samples/KJV-Llama-2.8M
for step in 150 300 600 900; do
  run archive extract $run $step -o "$work/$step.pth"
done
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
for step in 150:000600 300:001200 600:002400 900:003600; do
  want=$(grep "iter-${step#*:}-ckpt.pth" Samples/Steps/SHA256SUMS | cut -d ' ' -f 1)
  [ "$(digest "$work/${step%:*}.pth")" = "$want" ] || { echo "step ${step%:*} is not what was stored" >&2; exit 1; }
done
run convert $run:600 -o "$work/kjv" --to safetensors
cmp Samples/KJV-Llama-2.8M/model.safetensors "$work/kjv/model.safetensors"
run archive create "$work/again.pannier" "$work"/150.pth "$work"/900.pth
run archive extract "$work/again.pannier" 900 -o "$work/again.pth"
cmp "$work/900.pth" "$work/again.pth"
printf '\nEvery step came out as it went in, byte for byte, and step 600 converts to the sample model. Nothing was lost.\n'
if [ "$pages" != "$work" ]; then printf 'The pages and pictures are in %s\n' "$pages"; fi
