#!/usr/bin/env python3
"""Compares the quantizing and decoding kernels with ggml's own, byte for byte, and times both.

The kernels are built from Sources/CKernels by clang into a shared library; ggml's ggml_quantize_chunk and to_float
come from the xllamacpp wheel (pip install xllamacpp numpy).

    quantize_peer.py [TYPE ...] [--values N] [--seed N] [--levels baseline,avx2,avx512] [--bench]
"""
import argparse
import ctypes
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEVELS = ["baseline", "avx2", "avx512"]

# ggml type id, values a block, bytes a block, must have an importance matrix
TYPES = {
    "Q4_0": (2, 32, 18, False), "Q4_1": (3, 32, 20, False), "Q5_0": (6, 32, 22, False), "Q5_1": (7, 32, 24, False),
    "Q8_0": (8, 32, 34, False), "Q2_K": (10, 256, 84, False), "Q3_K": (11, 256, 110, False),
    "Q4_K": (12, 256, 144, False), "Q5_K": (13, 256, 176, False), "Q6_K": (14, 256, 210, False),
    "IQ2_XXS": (16, 256, 66, True), "IQ2_XS": (17, 256, 74, True), "IQ3_XXS": (18, 256, 98, False),
    "IQ1_S": (19, 256, 50, True), "IQ4_NL": (20, 32, 18, False), "IQ3_S": (21, 256, 110, False),
    "IQ2_S": (22, 256, 82, False), "IQ4_XS": (23, 256, 136, False), "IQ1_M": (29, 256, 56, False),
    "TQ1_0": (34, 256, 54, False), "TQ2_0": (35, 256, 66, False), "MXFP4": (39, 32, 17, False), "NVFP4": (40, 64, 36, False),
    "Q1_0": (41, 128, 18, False), "Q2_0": (42, 64, 18, False),
}


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


class Ours:
    def __init__(self):
        library = pathlib.Path(tempfile.mkdtemp()) / "kernels.so"
        sources = sorted(str(p) for p in (ROOT / "Sources/CKernels").rglob("*.c"))
        include = ROOT / "Sources/CKernels/include"
        compiler = shlex.split(os.environ.get("CC", "clang"))
        subprocess.check_call([*compiler, "-O2", "-fPIC", "-shared", f"-I{include}", "-o", str(library), *sources, "-lm"])
        self.library = ctypes.CDLL(str(library))
        for name in ("pannier_quantizer", "pannier_dequantizer"):
            getattr(self.library, name).restype = ctypes.c_void_p

    def force(self, level):
        return self.library.pannier_cpu_force(LEVELS.index(level)) == LEVELS.index(level)

    def quantize(self, type_id, source, destination, importance):
        kernel = self.library.pannier_quantizer(type_id)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                    ctypes.c_void_p)(kernel)
        function(pointer(source), pointer(destination), *source.shape, pointer(importance))

    def decode(self, type_id, source, destination):
        kernel = self.library.pannier_dequantizer(type_id)
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(kernel)(
            pointer(source), pointer(destination), destination.size)

    def has(self, type_id):
        return self.library.pannier_quantizer(type_id) is not None


class Peer:
    """ggml's functions. struct ggml_type_traits: name, blck_size, blck_size_interleave, type_size, is_quantized,
    to_float, from_float_ref (ggml.h)."""

    def __init__(self):
        import xllamacpp
        folder = pathlib.Path(xllamacpp.__file__).parent
        self.library = ctypes.CDLL(str(next(folder.glob("xllamacpp*.so"))))
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                                     ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.library.ggml_get_type_traits.restype = ctypes.POINTER(ctypes.c_void_p)

    def quantize(self, type_id, source, destination, importance):
        self.library.ggml_quantize_chunk(type_id, pointer(source), pointer(destination), 0, *source.shape,
                                         pointer(importance))

    def decode(self, type_id, source, destination):
        to_float = self.library.ggml_get_type_traits(type_id)[5]
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(to_float)(
            pointer(source), pointer(destination), destination.size)


def inputs(values, seed):
    """Yields (name, rows x columns of float32): what weights look like, and what they never should."""
    rng = np.random.default_rng(seed)

    def bf16(a):
        bits = a.astype(np.float32).view(np.uint32)
        return (bits & np.uint32(0xffff0000)).view(np.float32)

    def shaped(n, columns):
        return max(1, n // columns), columns

    big = values * 2 // 5
    yield "normal", (rng.standard_normal(shaped(big, 2048)) * 0.02).astype(np.float32)
    yield "bf16", bf16(rng.standard_normal(shaped(big, 5632)) * 0.02)
    small = values // 16
    shape = shaped(small, 768)
    yield "student", rng.standard_t(2, shape).astype(np.float32)
    x = rng.standard_normal(shape).astype(np.float32)
    x[rng.random(shape) < 0.01] *= 1000
    yield "outliers", x
    yield "positive", np.abs(rng.standard_normal(shape)).astype(np.float32) + np.float32(0.5)
    yield "negative", -np.abs(rng.standard_normal(shape)).astype(np.float32) - np.float32(0.25)
    yield "few levels", rng.integers(-3, 4, shape).astype(np.float32) * np.float32(0.125)
    # Blocks of extremes, mixed within rows: each sub-block of 16 of its own kind.
    blocks = rng.standard_normal((small // 16 // 16 * 16, 16)).astype(np.float32)
    kind = rng.integers(0, 14, len(blocks))
    with np.errstate(all="ignore"):
        blocks[kind == 0] = 0
        blocks[kind == 1] = -0.0
        blocks[kind == 2] = blocks[kind == 2][:, :1]
        blocks[kind == 3] *= np.float32(1e-40)
        blocks[kind == 4] *= np.float32(3e-45)
        blocks[kind == 5] *= np.float32(5e37)
        blocks[kind == 6] = np.sign(blocks[kind == 6]) * np.float32(3.4028235e38)
        blocks[kind == 7] *= np.float32(1e-15)
        blocks[kind == 8] *= (rng.random((int((kind == 8).sum()), 16)) < 0.2)
        blocks[kind == 9] = np.abs(blocks[kind == 9][:, :1]) * rng.choice([-1, 1], (int((kind == 9).sum()), 16))
        blocks[kind == 10] *= np.float32(1e20)
        blocks[kind == 11] = rng.choice([0.0, -0.0, 1.0], (int((kind == 11).sum()), 16))
        blocks[kind == 12] *= np.float32(1e-20)
    flat = np.nan_to_num(blocks, posinf=3e38, neginf=-3e38).astype(np.float32).reshape(-1)
    yield "extremes", flat[: flat.size // 1280 * 1280].reshape(-1, 1280)
    # Whole super-blocks of one kind.
    scale = np.float32(10.0) ** rng.integers(-44, 39, (small // 256, 1)).astype(np.float32)
    with np.errstate(all="ignore"):
        wide = (rng.standard_normal((small // 256, 256)).astype(np.float32) * scale).astype(np.float32)
    flat = np.nan_to_num(wide, posinf=3e38, neginf=-3e38).reshape(-1)
    yield "magnitudes", flat[: flat.size // 512 * 512].reshape(-1, 512).copy()
    bits = rng.integers(0, 2**32, small // 256 * 256, dtype=np.uint64).astype(np.uint32).view(np.float32)
    bits = np.where(np.isfinite(bits), bits, np.float32(0)).reshape(-1, 256)
    yield "random bits", bits.astype(np.float32).copy()
    yield "zeros", np.zeros((4, 512), np.float32)


def importances(columns, rng):
    yield "random", (rng.random(columns) ** 4 * 10).astype(np.float32)
    yield "sparse", (rng.random(columns) * (rng.random(columns) < 0.5)).astype(np.float32)
    yield "zero", np.zeros(columns, np.float32)
    yield "ones", np.ones(columns, np.float32)


def compare(name, ours, peer, levels, values, seed):
    type_id, block, size, needs = TYPES[name]
    rng = np.random.default_rng(seed + 1)
    total = failures = 0
    for kind, source in inputs(values, seed):
        # ggml's codebook searches end the process where a sum of squares overflows, from about 1e17 on.
        if name.startswith("IQ"):
            source = np.clip(source, -1e8, 1e8)
        choices = [] if needs else [("none", None)]
        choices += [c for c in importances(source.shape[1], rng)][: 1 if source.size > values // 4 else 4]
        for matrix, importance in choices:
            expected = np.zeros(source.size // block * size, np.uint8)
            peer.quantize(type_id, source, expected, importance)
            wanted = np.empty(source.size, np.float32)
            peer.decode(type_id, expected, wanted)
            total += source.size
            for level in levels:
                ours.force(level)
                found = np.full(expected.size + 64, 0xA5, np.uint8)
                ours.quantize(type_id, source, found, importance)
                if (found[expected.size:] != 0xA5).any():
                    print(f"{name} {kind} {matrix} {level}: wrote beyond its end")
                    failures += 1
                found = found[: expected.size]
                different = np.nonzero((found != expected).reshape(-1, size).any(axis=1))[0]
                if different.size:
                    failures += 1
                    b = int(different[0])
                    print(f"{name} {kind} matrix={matrix} {level}: {different.size} of {expected.size // size} blocks "
                          f"differ, first {b}\n  ggml {expected.reshape(-1, size)[b].tobytes().hex()}\n"
                          f"  ours {found.reshape(-1, size)[b].tobytes().hex()}")
                    if os.environ.get("SHOW"):
                        print(source.reshape(-1, block)[b])
                decoded = np.empty(source.size, np.float32)
                ours.decode(type_id, expected, decoded)
                nan = np.isnan(wanted)
                if (decoded.view(np.uint32) != wanted.view(np.uint32))[~nan].any() or not np.isnan(decoded[nan]).all():
                    failures += 1
                    print(f"{name} {kind} {level}: decoded values differ")
    # Decoding meets bytes that no quantizer made.
    noise = rng.integers(0, 256, 4096 * size, dtype=np.uint8)
    wanted = np.empty(4096 * block, np.float32)
    peer.decode(type_id, noise, wanted)
    for level in levels:
        ours.force(level)
        decoded = np.empty(wanted.size, np.float32)
        ours.decode(type_id, noise, decoded)
        nan = np.isnan(wanted)
        if (decoded.view(np.uint32) != wanted.view(np.uint32))[~nan].any() or not np.isnan(decoded[nan]).all():
            failures += 1
            print(f"{name} random bytes {level}: decoded values differ")
    print(f"{name:8} {total:>11,} values a level, {'identical' if not failures else f'{failures} FAILURES'}")
    return failures


def best_of(times, action):
    action()
    best = 1e9
    for _ in range(times):
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def bench(name, ours, peer, levels):
    type_id, block, size, needs = TYPES[name]
    rng = np.random.default_rng(7)
    source = (rng.standard_normal((64, 2048)) * 0.02).astype(np.float32)
    source = (source.view(np.uint32) & np.uint32(0xffff0000)).view(np.float32)
    importance = (rng.random(2048) * 2).astype(np.float32)
    coded = np.empty(source.size // block * size, np.uint8)
    decoded = np.empty(source.size, np.float32)
    for matrix in ([importance] if needs else [None, importance]):
        slow = best_of(2, lambda: peer.quantize(type_id, source, coded, matrix))
        line = f"{name:8} {'matrix' if matrix is not None else '      '} ggml {source.size / slow / 1e6:8.1f} M/s"
        for level in levels:
            ours.force(level)
            fast = best_of(7, lambda: ours.quantize(type_id, source, coded, matrix))
            line += f"  {level} {source.size / fast / 1e6:8.1f} ({slow / fast:5.1f}x)"
        print(line)
    slow = best_of(5, lambda: peer.decode(type_id, coded, decoded))
    line = f"{name:8} decode ggml {source.size / slow / 1e6:8.1f} M/s"
    for level in levels:
        ours.force(level)
        fast = best_of(9, lambda: ours.decode(type_id, coded, decoded))
        line += f"  {level} {source.size / fast / 1e6:8.1f} ({slow / fast:5.1f}x)"
    print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("types", nargs="*", metavar="TYPE")
    parser.add_argument("--values", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--bench", action="store_true", help="time instead of comparing")
    arguments = parser.parse_args()
    ours, peer = Ours(), Peer()
    levels = [level for level in arguments.levels.split(",") if ours.force(level)]
    names = [t for t in arguments.types or TYPES if ours.has(TYPES[t][0])]
    failures = 0
    for name in names:
        if arguments.bench:
            bench(name, ours, peer, levels)
        else:
            failures += compare(name, ours, peer, levels, arguments.values, arguments.seed)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
