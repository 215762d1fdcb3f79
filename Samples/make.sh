#!/usr/bin/env bash
# Makes the sample in every container and layout, in Samples/made (about 45 MB, two seconds).
set -eu
cd "$(dirname "$0")/.."
pannier=.build/release/pannier
[ -x "$pannier" ] || { bash .ci/install && swift build -c release --product pannier; }
from=Samples/KJV-Llama-2.8M
to=Samples/made
mkdir -p "$to"
convert() { "$pannier" convert "$from" --force --no-sync "$@"; }
convert -o "$to/safetensors-shards" --shard-size 2MB
for layout in hf-llama litgpt-tinyllama litgpt-early litgpt meta; do
  convert -o "$to/pytorch-$layout" --to pytorch --layout "$layout"
done
for dtype in f32 f16 bf16 q8_0; do convert -o "$to/kjv-$dtype.gguf" --dtype "$dtype"; done
"$pannier" split "$to/kjv-bf16.gguf" -o "$to/kjv-split" --max-size 2MB --force --no-sync
for type in Q4_K_M Q5_K_M Q6_K Q8_0 IQ4_XS; do
  "$pannier" quantize "$from" -o "$to/kjv-$type.gguf" --type "$type" --force --no-sync -q
done
ls -l "$to"
