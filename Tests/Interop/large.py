"""A checkpoint of more than 4 GiB, whose zip needs 64-bit offsets, loads in torch with weights_only and mmap.

Usage: large.py [FOLDER], after `swift build -c release`. Needs torch, safetensors, and 9 GB of disk in FOLDER.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from common import ROOT, check, pannier
from safetensors import safe_open


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        work = Path(folder)
        subprocess.run(["swift", "build", "-c", "release", "--product", "pannier-synthesize"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        synthesize = ROOT / ".build/release/pannier-synthesize"
        subprocess.run([synthesize, "--dtype", "f32", "-o", work / "hf"], check=True)
        pannier("convert", work / "hf", "-o", work / "large.bin", "--no-sync")
        size = (work / "large.bin").stat().st_size
        check(f"a zip of {size:,} bytes", size > 1 << 32)
        loaded = torch.load(work / "large.bin", weights_only=True, mmap=True)
        with safe_open(work / "hf/model.safetensors", "pt") as source:
            check("the names of the safetensors file", set(source.keys()) == set(loaded))
            check(f"{len(loaded)} tensors, each as in the safetensors file",
                  all(torch.equal(loaded[name], source.get_tensor(name)) for name in source.keys()))


main()
