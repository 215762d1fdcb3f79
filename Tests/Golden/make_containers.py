"""Writes the small files in Tests/ContainersTests/Golden with the formats' own programs.

    python make_containers.py FOLDER LLAMA_GGUF_SPLIT

Needs torch, safetensors and gguf from PyPI and llama.cpp's llama-gguf-split. The values are seeded.
"""
import os
import subprocess
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

folder, splitter = sys.argv[1], sys.argv[2]
os.makedirs(folder, exist_ok=True)
random = np.random.default_rng(7)


def path(name):
    return os.path.join(folder, name)


def make_safetensors():
    """One tensor of every dtype that torch can hand over, named so that sorting by name alone would be wrong."""
    dtypes = [
        torch.bool, torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e8m0fnu,
        torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int16, torch.uint16, torch.float16, torch.bfloat16,
        torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64, torch.int64, torch.uint64,
    ]
    tensors = {}
    for number, dtype in enumerate(dtypes):
        size = torch.tensor([], dtype=dtype).element_size()
        raw = torch.arange(6 * size, dtype=torch.uint8)
        if dtype == torch.bool:
            raw %= 2
        tensors[f"t{(number * 7) % len(dtypes):02d}"] = raw.view(dtype).reshape(2, 3)
    tensors["scalar"] = torch.tensor(1.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["caf\u00e9 \"quoted\" \\ \n"] = torch.zeros(1, dtype=torch.int32)
    save_file(tensors, path("dtypes.safetensors"), metadata={"format": "pt"})


def make_gguf(name, endianness, quantized):
    """All types of values, and tensors of several types and ranks."""
    writer = gguf.GGUFWriter(path(name), "llama", endianess=endianness)
    types = gguf.GGUFValueType
    for kind, value in [
        (types.UINT8, 200), (types.INT8, -100), (types.UINT16, 60000), (types.INT16, -30000), (types.UINT32, 4000000000),
        (types.INT32, -2000000000), (types.FLOAT32, 0.1), (types.BOOL, True), (types.STRING, "caf\u00e9"),
        (types.UINT64, 2**63 + 1), (types.INT64, -(2**62)), (types.FLOAT64, 0.1),
    ]:
        writer.add_key_value(f"test.{kind.name.lower()}", value, kind)
    for kind, values in [
        (types.UINT8, [1, 2, 255]), (types.INT8, [-1, 2]), (types.UINT16, [1, 65535]), (types.INT16, [-1, 7]),
        (types.UINT32, [1, 2**32 - 1]), (types.INT32, [-1, 2]), (types.FLOAT32, [0.5, -0.25]), (types.BOOL, [True, False]),
        (types.UINT64, [2**64 - 1]), (types.INT64, [-(2**63)]), (types.FLOAT64, [1e300]),
    ]:
        writer.add_key_value(f"test.array.{kind.name.lower()}", values, types.ARRAY, sub_type=kind)
    writer.add_array("tokenizer.ggml.tokens", [b"<unk>", "\u2581the".encode(), b"\xff\xfe not text", b""])
    writer.add_array("tokenizer.ggml.words", ["one", "two", "a word that is longer than fifteen bytes"])
    for number in range(5):
        writer.add_tensor(f"blk.{number}.weight", random.standard_normal((3, 32 + number)).astype(np.float32))
    writer.add_tensor("half", random.standard_normal((2, 3, 5)).astype(np.float16))
    writer.add_tensor("vector", random.standard_normal(7).astype(np.float32))
    writer.add_tensor("counts", np.arange(4, dtype=np.int32))
    if quantized:
        values = random.standard_normal((2, 64)).astype(np.float32)
        for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.BF16):
            writer.add_tensor(kind.name.lower(), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


make_safetensors()
make_gguf("little.gguf", gguf.GGUFEndian.LITTLE, True)
random = np.random.default_rng(7)
make_gguf("big.gguf", gguf.GGUFEndian.BIG, False)
for options, prefix in ((["--split-max-tensors", "4"], "tensors"),):
    subprocess.run([splitter, "--split", *options, path("little.gguf"), path(prefix)], check=True, stdout=subprocess.DEVNULL)
first = sorted(name for name in os.listdir(folder) if name.startswith("tensors-00001"))[0]
if os.path.exists(path("merged.gguf")):
    os.remove(path("merged.gguf"))
subprocess.run([splitter, "--merge", path(first), path("merged.gguf")], check=True, stderr=subprocess.DEVNULL)
