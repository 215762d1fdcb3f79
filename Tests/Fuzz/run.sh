#!/usr/bin/env bash
# Each reader against a bounded number of mutated inputs, under the address sanitizer. Under six minutes of running.
#
#   Tests/Fuzz/run.sh            every target
#   Tests/Fuzz/run.sh gguf       one of them
#   RUNS=0 SECONDS_EACH=3600 Tests/Fuzz/run.sh gguf      for an hour (RUNS=0: without a limit)
#
# An input that stops a reader is kept as .build-fuzz/crash-*, oom-* or timeout-*; give it as the last argument to
# pannier_fuzz to see it again.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
golden="$root/Tests/ContainersTests/Golden"
build="$root/.build-fuzz"
RUNS=${RUNS:-100000}
SECONDS_EACH=${SECONDS_EACH:-25}

swift build -c release --scratch-path "$build" --product pannier_fuzz
fuzzer="$build/release/pannier_fuzz"

# The seeds are the small files that the formats' own programs wrote for the tests, and some written here.
seeds() {
  local folder="$build/corpus/$1"
  mkdir -p "$folder"
  case $1 in
    safetensors) cp "$golden"/*.safetensors "$folder" ;;
    gguf) cp "$golden"/*.gguf "$folder" ;;
    pytorch) find "$golden/pytorch" -type f -size -64k \( -name '*.pt' -o -name '*.pth' -o -name '*.bin' -o -name '*.ckpt' \) -exec cp {} "$folder" \; ;;
    any) for other in safetensors gguf pytorch; do cp "$build/corpus/$other"/* "$folder" 2> /dev/null || true; done ;;
    index) printf '{"metadata":{"total_size":12},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}' > "$folder/index" ;;
    config) cp "$root"/Samples/*/config.json "$root"/Tests/LayoutsTests/Golden/*.json "$root"/Formats/presets/*.json "$folder"
      printf '{"dim":64,"n_layers":2,"n_heads":4,"vocab_size":-1,"multiple_of":32,"norm_eps":1e-5}' > "$folder/params" ;;
    yaml) cp "$root"/Tests/LayoutsTests/Golden/*.yaml "$folder" ;;
    layout) for table in "$root"/Formats/*/layout.json; do cp "$table" "$folder/$(basename "$(dirname "$table")")"; done ;;
    sentencepiece) head -c 600 "$root/Samples/KJV-Llama-2.8M/tokenizer.model" > "$folder/begin"
      cp "$root/Samples/KJV-Llama-2.8M/tokenizer.model" "$folder" ;;
    tokenizer) printf '{"added_tokens":[{"id":2,"content":"<s>","special":true}],"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b",["b","a"]],"byte_fallback":true},"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"}]}}' > "$folder/bpe" ;;
    card) printf -- '---\nlicense: mit\ntags:\n  - a\n  - "b"\nbase_model: {name: x, repo: [y, z]}\ndatasets: [k]\ntext: |\n  more\n---\n# Title\n' > "$folder/card" ;;
    archive | chunk) rm -f "$folder"/seed-*; "$fuzzer" seeds "$1" "$folder" ;;
    json) printf '{"a":[1,-2.5e3,true,null,"\\u00e9\\ud83e\\udd99"],"b":{"c":{}}}' > "$folder/object" ;;
  esac
}

ulimit -c 0
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
cd "$build"
for target in ${1:-safetensors index gguf pytorch json any config yaml layout sentencepiece tokenizer card archive chunk}; do
  seeds "$target"
  words="$root/Tests/Fuzz/$target.dict"
  echo "== $target"
  # A reader that allocates 300 MB at once or works for five seconds counts as fallen; the sanitizer's own memory is
  # why the process may have more.
  "$fuzzer" "$target" -seed=1 -runs="$([ "$RUNS" = 0 ] && echo -1 || echo "$RUNS")" -max_total_time="$SECONDS_EACH" \
    -timeout=5 -malloc_limit_mb=300 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -verbosity=0 \
    $([ -f "$words" ] && echo "-dict=$words") "corpus/$target" 2>&1 | grep -E "number_of_executed|peak_rss|ERROR|SUMMARY|Fatal|libFuzzer|Test unit" || true
  [ "${PIPESTATUS[0]}" = 0 ] || { echo "$target: an input stopped the reader; see $build"; exit 1; }
done
echo "No input stopped a reader."
