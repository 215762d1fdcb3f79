#!/usr/bin/env python3
"""Writes Tests/QuantizationTests/Golden/mixes.json: the types that llama-quantize gives to the tensors of some models.

It makes small GGUF files of zeros, asks `llama-quantize --dry-run` for each file type, with and without an importance
matrix, and keeps for each sort of tensor the types over the layers ("3 Q6_K 19 Q4_K").

    pip install gguf numpy; Tests/Golden/make_mixes.py path/to/llama-quantize
"""
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_TYPES = """Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ4_NL IQ4_XS
IQ3_XS IQ3_XXS IQ3_S IQ3_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ1_S IQ1_M TQ1_0 TQ2_0 MXFP4_MOE Q1_0 Q2_0 F16 BF16""".split()

MODELS = {
    # Shaped like TinyLlama: 22 layers, eight query heads a key head.
    "grouped": dict(layers=22, heads=8, kv_heads=1, experts=0, width=256, tied=False),
    # Every head has its own keys; widths that are no multiple of 256; the embedding is the output.
    "plain, tied, odd": dict(layers=32, heads=4, kv_heads=4, experts=0, width=288, tied=True),
    "eight experts": dict(layers=9, heads=8, kv_heads=2, experts=8, width=256, tied=False),
    "80 layers": dict(layers=80, heads=8, kv_heads=1, experts=0, width=256, tied=False),
}


def tensors(model):
    w, layers, kv = model["width"], model["layers"], model["width"] // model["heads"] * model["kv_heads"]
    yield "token_embd.weight", (64, w)
    yield "output_norm.weight", (w,)
    if not model["tied"]:
        yield "output.weight", (64, w)
    for i in range(layers):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", (w,)
        yield p + "attn_q.weight", (w, w)
        yield p + "attn_k.weight", (kv, w)
        yield p + "attn_v.weight", (kv, w)
        yield p + "attn_output.weight", (w, w)
        yield p + "ffn_norm.weight", (w,)
        if model["experts"]:
            e = model["experts"]
            yield p + "ffn_gate_inp.weight", (e, w)
            for name in ("gate", "up", "down"):
                yield p + f"ffn_{name}_exps.weight", (e, w, w)
        else:
            yield p + "ffn_gate.weight", (2 * w, w)
            yield p + "ffn_up.weight", (2 * w, w)
            yield p + "ffn_down.weight", (w, 2 * w)


def write_model(path, model):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(model["layers"])
    writer.add_context_length(64)
    writer.add_embedding_length(model["width"])
    writer.add_feed_forward_length(2 * model["width"])
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(64)
    if model["experts"]:
        writer.add_expert_count(model["experts"])
        writer.add_expert_used_count(2)
    for name, shape in tensors(model):
        writer.add_tensor(name, np.zeros(shape, np.float32 if len(shape) == 1 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_matrix(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["none"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 1)
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones((1, 256), np.float32))
    writer.add_tensor("blk.0.attn_q.weight.counts", np.ones((1, 1), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    program = sys.argv[1]
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        model_path, matrix_path = folder + "/model.gguf", folder + "/matrix.gguf"
        write_matrix(matrix_path)
        for title, model in MODELS.items():
            write_model(model_path, model)
            mixes = {}
            for file_type, matrix in itertools.product(FILE_TYPES, (False, True)):
                options = ["--imatrix", matrix_path] if matrix else []
                run = subprocess.run([program, "--dry-run", *options, model_path, file_type], capture_output=True,
                                     text=True)
                text = run.stdout + run.stderr
                types = {}
                for line in text.splitlines():
                    found = re.match(r"\[ *\d+/ *\d+\] +(\S+) +- \[.*\], type = +(\w+), (?:.*\((\w+)\))?", line)
                    if found:
                        name, before, after = found.groups()
                        types.setdefault(re.sub(r"^blk\.\d+\.", "", name), []).append((after or before).upper())
                key = file_type + ("+imatrix" if matrix else "")
                if not types or run.returncode:
                    mixes[key] = {"error": text.strip().splitlines()[-1]}
                    continue
                mixes[key] = {part: " ".join(f"{len(list(run))} {t}" for t, run in itertools.groupby(row))
                              for part, row in sorted(types.items()) if "norm" not in part}
            shapes = [[name, list(shape)] for name, shape in tensors(model) if not re.match(r"blk\.[1-9]", name)]
            out[title] = {"model": model, "first_layer": shapes, "mixes": mixes}
    path = ROOT / "Tests/QuantizationTests/Golden/mixes.json"
    path.write_text(json.dumps(out, separators=(",", ":")).replace('"},"', '"},\n"') + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
