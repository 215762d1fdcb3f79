#!/usr/bin/env python3
"""The figures of `pannier diff` next to the same figures computed with PyTorch in double precision, and what archives give
back next to the files that went in.

Run by `make interop`; PANNIER in the environment names another binary.
"""

import json
import pathlib
import sys
import tempfile

import common
import torch
from common import ROOT, check, pannier
from safetensors.torch import load_file, save_file

SAMPLE = common.SAMPLE / "model.safetensors"
sys.path.insert(0, str(ROOT / "Tests/Benchmarks"))
from diff_peer import figures  # noqa: E402


def compare(what, a, b, left, right):
    """Every figure of every tensor: counts as they are, sums to 12 digits (they are added in another order)."""
    tensors = json.loads(pannier("diff", a, b, "--json", status=1))["tensors"]
    for tensor in tensors:
        name = tensor["name"]
        for key, value in figures(left[name], right[name]).items():
            ours = tensor[key]
            if key == "histogram":
                ours = [[bar["exponent"], bar["count"]] for bar in ours]
            exact = key in ("max_abs", "changed_values", "sign_flips", "histogram")
            # A cosine is what is left of terms that cancel: its error is one of 1.
            scale = 1 if key == "cosine" or exact else abs(value)
            # A NaN on either side is not within anything.
            if ours != value if exact else not abs(ours - value) <= 1e-12 * scale:
                sys.exit(f"FAILED: {what}: {key} of {name} is {ours}, PyTorch's {value}")
    check(f"{what}: {len(tensors)} tensors", len(tensors) == len(left))


def main():
    torch.manual_seed(7)
    scratch = tempfile.TemporaryDirectory()
    folder = pathlib.Path(scratch.name)
    sample = load_file(SAMPLE)
    moved = {name: w.float() + 0.1 * w.float().std() * torch.randn_like(w.float()) for name, w in sample.items()}
    torch.save(moved, folder / "moved.bin")
    compare("bf16 safetensors and fp32 .bin", SAMPLE, folder / "moved.bin", sample, moved)
    halves = {name: w.half() for name, w in moved.items()}
    save_file(halves, folder / "halves.safetensors")
    compare("fp32 .bin and f16 safetensors", folder / "moved.bin", folder / "halves.safetensors", moved, halves)

    # What is special about floats: zeros of both signs, the smallest and largest, values 2^100 apart.
    special = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 1.0, 2.0**-100, 2.0**60])
    a = {f"x{n}": special[torch.randint(10, (n,))] for n in (1, 7, 64, 1000, 70001)}
    b = {name: special[torch.randint(10, x.shape)] for name, x in a.items()}
    save_file(a, folder / "a.safetensors")
    torch.save(b, folder / "b.pt")
    compare("extreme values of all lengths", folder / "a.safetensors", folder / "b.pt", a, b)

    # An archive of files of every kind gives them back, and a step that moved has torch's values inside the archive.
    save_file(moved, folder / "f32.safetensors")
    files = [SAMPLE, folder / "moved.bin", folder / "halves.safetensors", folder / "f32.safetensors", folder / "b.pt"]
    store = folder / "run.pannier"
    pannier("archive", "create", store)
    for step, file in enumerate(files):
        pannier("archive", "add", store, file, "--step", step)
    for step, file in enumerate(files):
        pannier("archive", "extract", store, step, "-o", folder / "out")
        check(f"archive: {file.name} comes back", (folder / "out").read_bytes() == file.read_bytes())
        (folder / "out").unlink()
    compare("two steps of an archive", f"{store}:0", f"{store}:1", sample, moved)
    print(f"{common.checks} checks passed")


main()
