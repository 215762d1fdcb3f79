"""Containers against their own programs: splits, byte orders, and damaged files.

gguf reads the parts that Pannier splits a file into; merged, they are the file again. What Pannier accepts of files that
were damaged at random, safetensors accepts as well: Pannier is the stricter one. Run by `make interop`.
"""

import json
import pathlib
import random
import sys
import tempfile

import gguf
from safetensors import safe_open

import common
from common import ROOT, SAMPLE, check, pannier, run

GOLDEN = ROOT / "Tests/ContainersTests/Golden"


def tensors(path):
    return {tensor.name: (tensor.tensor_type, tensor.data.tobytes()) for tensor in gguf.GGUFReader(path).tensors}


def splits(work):
    whole = work / "whole.gguf"
    pannier("convert", SAMPLE, "-o", whole, "--dtype", "q8_0")
    expected = tensors(whole)
    for option, value in (("--max-tensors", "16"), ("--max-size", "1MB")):
        folder = work / option.strip("-")
        folder.mkdir()
        pannier("split", whole, "-o", folder / "part", option, value)
        parts = sorted(folder.iterdir())
        found = {}
        for part in parts:
            found.update(tensors(part))
        check(f"gguf: the {len(parts)} parts of a split by {option} hold every tensor", found == expected)
        fields = [gguf.GGUFReader(part).fields for part in parts]
        numbers = [[int(field[key].parts[-1][0]) for key in ("split.no", "split.count", "split.tensors.count")] for field in fields]
        check("gguf: the parts are numbered", numbers == [[i, len(parts), len(expected)] for i in range(len(parts))])
        merged = folder / "merged.gguf"
        pannier("merge", parts[-1], "-o", merged)
        check("merged they are the file again, byte for byte", merged.read_bytes() == whole.read_bytes())


def byte_orders():
    def digests(name):
        return {one["name"]: one["sha256"] for one in json.loads(pannier("hash", GOLDEN / name, "--json"))["tensors"]}

    little, big = digests("little.gguf"), digests("big.gguf")
    check("tensors of gguf's big-endian file have the digests of the little-endian one", big and big.items() <= little.items())


def damaged(work):
    """Seeded damage to a small file: bytes changed, cut out, doubled; digits of the header changed."""
    source = (GOLDEN / "dtypes.safetensors").read_bytes()
    dice = random.Random(11)
    path = work / "damaged.safetensors"
    accepted = both = 0
    for _ in range(400):
        data = bytearray(source)
        for _ in range(dice.choice((0, 1, 1, 2))):
            at = dice.randrange(len(data))
            match dice.randrange(4):
                case 0: data[at] = dice.randrange(256)
                case 1: data[at] = ord(dice.choice('0123456789"[]{},:'))
                case 2: del data[at]
                case 3: data.insert(at, data[at])
        path.write_bytes(data)
        status = run("hash", path).returncode
        if status not in (0, 2):
            sys.exit(f"FAILED: status {status} for a damaged file")
        try:
            # Its framework adapters know fewer dtypes than the format; only the header is asked for.
            safe_open(path, "np")
            theirs = True
        except Exception:
            theirs = False
        accepted += status == 0
        both += status == 0 and theirs
    check(f"safetensors: accepts all {accepted} of 400 damaged files that Pannier accepts", accepted == both > 0)


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        splits(work)
        byte_orders()
        damaged(work)
    print(f"{common.checks} checks passed")


main()
