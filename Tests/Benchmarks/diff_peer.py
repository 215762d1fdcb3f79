"""The figures of `pannier diff` computed with PyTorch: the peer that its speed is compared with.

    diff_peer.py A.safetensors B.bin [--json]

Both sides are opened without copying (safetensors' safe_open, torch.load with mmap), tensors are taken one by one, and
sums are in double precision, as Pannier's are. --json prints the figures of every tensor, for comparing them.
"""

import json
import sys

import torch
from safetensors import safe_open


def figures(a, b):
    """What `pannier diff` says of a tensor."""
    a, b = a.float().flatten(), b.float().flatten()
    changed = int((a.view(torch.int32) != b.view(torch.int32)).sum())
    flips = int((torch.signbit(a) != torch.signbit(b)).logical_and(a != 0).logical_and(b != 0).sum())
    a, b = a.double(), b.double()
    delta = b - a
    squared, norm_a, norm_b = float(delta.dot(delta)), float(a.dot(a)), float(b.dot(b))
    size = delta.abs()
    exponents = torch.frexp(size[size > 0]).exponent.clamp(-46, 16)
    histogram = torch.bincount(exponents + 46, minlength=63)
    return {
        "max_abs": float(size.max()), "rmse": (squared / a.numel()) ** 0.5,
        "relative_l2": (squared / norm_a) ** 0.5 if norm_a else 0.0,
        "cosine": float(a.dot(b)) / (norm_a * norm_b) ** 0.5 if norm_a * norm_b else 0.0,
        "changed_fraction": changed / a.numel(), "changed_values": changed, "sign_flips": flips,
        "norm_a": norm_a**0.5, "norm_b": norm_b**0.5,
        "histogram": [[i - 47, int(n)] for i, n in enumerate(histogram.tolist()) if n],
    }


def main():
    right = torch.load(sys.argv[2], map_location="cpu", mmap=True, weights_only=True)
    found = {}
    with safe_open(sys.argv[1], framework="pt") as left:
        for name in left.keys():
            found[name] = figures(left.get_tensor(name), right[name])
    if "--json" in sys.argv:
        json.dump(found, sys.stdout)
    else:
        worst = max(found.items(), key=lambda item: item[1]["relative_l2"])
        print(len(found), "tensors, the largest relative difference:", worst[0], worst[1]["relative_l2"])


if __name__ == "__main__":
    main()
