#!/usr/bin/env bash
# Makes the sample in every container and layout and compares every file with what SHA256SUMS says: two seconds, 75 MB.
#
#   Samples/make.sh [FOLDER]        where the files go; Samples/made when it is left out
#   PANNIER=path Samples/make.sh    with another binary
set -eu
cd "$(dirname "$0")"
to=${1:-made}
pannier=${PANNIER:-../.build/release/pannier}
[ -x "$pannier" ] || (cd .. && bash .ci/install && swift build -c release --product pannier)
model=KJV-Llama-2.8M
mkdir -p "$to"
convert() { "$pannier" convert "$model" --force --no-sync --quiet "$@"; }

convert -o "$to/$model-shards" --shard-size 2MB
for layout in hf-llama litgpt-tinyllama litgpt-early litgpt meta; do
  convert -o "$to/$model-$layout" --to pytorch --layout "$layout"
done
for dtype in f32 f16 bf16 q8_0; do convert -o "$to/$model-$dtype.gguf" --dtype "$dtype"; done
"$pannier" split "$to/$model-bf16.gguf" -o "$to/$model-bf16-parts" --max-size 2MB --force --no-sync > /dev/null
for type in Q8_0 Q6_K Q5_K_M Q4_K_M Q4_0 IQ4_XS; do
  "$pannier" quantize "$model" -o "$to/$model-$type.gguf" --type "$type" --force --no-sync --quiet
done

list() { (cd "$to" && find . -type f | LC_ALL=C sort | sed 's|^\./||' | xargs sha256sum); }
if [ "${SUMS:-compare}" = write ]; then
  list > SHA256SUMS
elif list | cmp -s - SHA256SUMS; then
  echo "$(wc -l < SHA256SUMS) files in $to: each the one that SHA256SUMS lists"
else
  list | diff SHA256SUMS - >&2 || true
  echo "the files are not those that SHA256SUMS lists" >&2
  exit 1
fi
