#!/usr/bin/env bash
# The main job on the sample: inspect, verify, convert, verify. Installs what is missing and builds the release binary.
set -eu
cd "$(dirname "$0")/.."
bash .ci/install
if [ ! -x .build/release/pannier ] || [ "${PANNIER_REBUILD:-yes}" = yes ]; then
  echo "Building pannier (a few minutes the first time)"
  swift build -c release --product pannier 2>&1 | tail -n 1
fi
pannier=.build/release/pannier
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n\033[1m$ pannier %s\033[0m\n' "$*"; }
run() { say "$@"; "$pannier" "$@"; }

run inspect Samples/KJV-Llama-2.8M
run verify Samples/KJV-Llama-2.8M --deep
run convert Samples/KJV-Llama-2.8M -o "$work/kjv-lit" --to pytorch --layout litgpt
run convert "$work/kjv-lit" -o "$work/kjv-f32.gguf" --dtype f32
run convert "$work/kjv-f32.gguf" -o "$work/kjv-back" --dtype bf16
run quantize "$work/kjv-lit" -o "$work/kjv-Q4_K_M.gguf" --type Q4_K_M
run verify "$work/kjv-Q4_K_M.gguf" --deep

if cmp -s Samples/KJV-Llama-2.8M/model.safetensors "$work/kjv-back/model.safetensors"; then
  printf '\nHugging Face -> Lit-GPT -> GGUF -> Hugging Face: the same file, byte for byte. Nothing was lost.\n'
else
  printf '\nThe round trip did not give the same file back. That is a defect: please report it.\n' >&2
  exit 1
fi
