"""Compares whole files of `pannier quantize` and llama.cpp's `llama-quantize` for their options, byte for byte.

Usage: LLAMA_BIN=FOLDER quantize_options.py, after `swift build -c release`. FOLDER holds llama-quantize and
llama-gguf-split. The input is the sample model; for --keep-split it is cut in parts first.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from common import SAMPLE, pannier, run

LLAMA = pathlib.Path(os.environ.get("LLAMA_BIN", "/nonexistent"))

# Options in the words of each program where they differ, type, what the source is.
CASES = [
    (["--pure"], "Q4_K_M", "bf16"), (["--pure"], "Q4_0", "bf16"), (["--pure"], "IQ4_XS", "bf16"),
    (["--leave-output-tensor"], "Q4_K_M", "bf16"), (["--leave-output-tensor"], "Q2_K", "f32"),
    (["--output-tensor-type", "q8_0"], "Q4_K_M", "bf16"), (["--token-embedding-type", "q5_K"], "Q4_K_M", "bf16"),
    (["--output-tensor-type", "f16", "--token-embedding-type", "q8_0"], "Q3_K_S", "f16"),
    (["--tensor-type", "attn_v=q6_k"], "Q4_K_M", "bf16"),
    (["--tensor-type", "attn_v=q6_k", "--tensor-type", "ffn_down=q8_0"], "Q3_K_M", "bf16"),
    (["--tensor-type", r"blk\.[0-1]\.ffn_.*=q5_k"], "Q4_K_S", "bf16"),
    (["--tensor-type", r"blk\.(1|3)\.attn_q=iq4_xs"], "Q5_0", "bf16"),
    (["--tensor-type-file", "types.txt"], "Q4_K_M", "bf16"),
    (["--prune-layers", "1,2"], "Q4_K_M", "bf16"), (["--prune-layers", "0"], "Q8_0", "f16"),
    (["--override-kv", "general.name=str:Other"], "Q4_0", "bf16"),
    (["--override-kv", "llama.context_length=int:512", "--override-kv", "a.new.key=float:0.25"], "Q4_0", "bf16"),
    (["--override-kv", "tokenizer.ggml.add_bos_token=bool:false"], "Q4_0", "bf16"),
    (["--allow-requantize"], "Q4_K_M", "q8_0"), (["--allow-requantize"], "Q3_K_M", "q4_k_m"),
    (["--imatrix", "matrix.gguf"], "IQ2_XS", "bf16"), (["--imatrix", "matrix.gguf"], "Q4_K_M", "f32"),
    (["--imatrix", "matrix.gguf", "--include-weights", "ffn_down"], "Q4_K_M", "bf16"),
    (["--imatrix", "matrix.gguf", "--exclude-weights", "attn"], "Q4_K_M", "bf16"),
    (["--keep-split"], "Q4_K_M", "split"), ([], "Q4_K_M", "split"),
    ([], "F16", "bf16"), ([], "BF16", "f32"), ([], "F32", "bf16"),
]

# What both programs have to refuse: coding codes again without leave, and two bits without an importance matrix.
REFUSED = [([], "Q4_K_M", "q8_0"), ([], "IQ2_XS", "bf16")]


def llama(program, *arguments, folder):
    """Runs one of llama.cpp's programs; its exit status and what it said."""
    done = subprocess.run([LLAMA / program, *map(str, arguments)], capture_output=True, text=True, errors="replace", cwd=folder)
    return done.returncode, done.stdout + done.stderr


def sources(folder):
    for dtype in ("f32", "f16", "bf16"):
        pannier("convert", SAMPLE, "-o", f"{dtype}.gguf", "--dtype", dtype, folder=folder)
    for kind in ("q8_0", "q4_k_m"):
        pannier("quantize", SAMPLE, "-o", f"{kind}.gguf", "--type", kind.upper(), folder=folder)
    code, text = llama("llama-gguf-split", "--split", "--split-max-tensors", "15", "bf16.gguf", "part", folder=folder)
    if code:
        sys.exit(f"FAILED: llama-gguf-split ended with {code}\n{text}")
    text = folder / "text.txt"
    text.write_text("And the LORD said unto Moses, Stretch out thine hand over the sea. " * 120)
    pannier("imatrix", SAMPLE, "--text", text, "-o", "matrix.gguf", "--context", "256", folder=folder)
    (folder / "types.txt").write_text("attn_k=q8_0\nffn_up=q5_k\n")
    return {"split": sorted(folder.glob("part-00001-of-*.gguf"))[0].name}


def written(folder, stem):
    """The bytes of a result, one file or several, by the part of the name after the stem."""
    return {path.name.removeprefix(stem): path.read_bytes() for path in sorted(folder.glob(stem + "*"))}


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        names = sources(folder)
        for options, kind, source in CASES + REFUSED:
            file = names.get(source, f"{source}.gguf")
            title = f"{' '.join(options) or 'no options'} {kind} from {source}"
            peer = "theirs" if "--keep-split" in options else "theirs.gguf"
            their_code, their_text = llama("llama-quantize", *options, file, peer, kind, "2", folder=folder)
            done = run("quantize", file, "-o", "ours.gguf", "--type", kind, *options, folder=folder)
            our_code, our_text = done.returncode, done.stdout + done.stderr
            theirs, ours = written(folder, "theirs"), written(folder, "ours")
            if (options, kind, source) in REFUSED:
                # A signal has a negative status, and is no refusal.
                good = their_code > 0 and our_code in (2, 64)
                note = "both refuse" if good else f"exits {their_code} and {our_code} where both should refuse"
            elif their_code or our_code:
                good = False
                said = their_text if their_code else our_text
                note = f"exits {their_code} and {our_code}: {said[-300:]}"
            else:
                good = list(theirs.values()) == list(ours.values())
                note = f"{len(ours)} file{'s' if len(ours) > 1 else ''}, {sum(map(len, ours.values())):,} bytes"
                if sorted(theirs) != sorted(ours):
                    note += f", names {sorted(theirs)} and {sorted(ours)}"
            print(f"{'ok  ' if good else 'FAIL'} {title}: {note}")
            failures += not good
            for path in [*folder.glob("theirs*"), *folder.glob("ours*")]:
                path.unlink()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
