"""A checkpoint of more than 4 GiB, whose zip needs 64-bit offsets, loads in torch with weights_only and mmap.

Usage: large.py [FOLDER], after `swift build -c release`. Needs torch, safetensors, and 9 GB of disk in FOLDER.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".build/release"


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        work = Path(folder)
        subprocess.run(["swift", "build", "-c", "release", "--product", "pannier-synthesize"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([BUILT / "pannier-synthesize", "--dtype", "f32", "-o", work / "hf"], check=True)
        subprocess.run([BUILT / "pannier", "convert", work / "hf", "-o", work / "large.bin", "--no-sync"], check=True)
        size = (work / "large.bin").stat().st_size
        assert size > 1 << 32, size
        loaded = torch.load(work / "large.bin", weights_only=True, mmap=True)
        with safe_open(work / "hf/model.safetensors", "pt") as source:
            assert set(source.keys()) == set(loaded)
            for name in source.keys():
                assert torch.equal(loaded[name], source.get_tensor(name)), name
        print(f"{len(loaded)} tensors in a zip of {size:,} bytes, each as in the safetensors file")


main()
