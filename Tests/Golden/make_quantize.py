#!/usr/bin/env python3
"""Writes Tests/QuantizationTests/Golden/quantize.json: digests of what ggml quantizes and decodes.

The inputs come out of a generator that the Swift tests have too (Tests/QuantizationTests/TestRows.swift): splitmix64,
and arithmetic that is exact in single precision. Digests are FNV-1a, 64 bits, in hexadecimal.

    pip install xllamacpp numpy; Tests/Golden/make_quantize.py
"""
import importlib.util
import json
import mmap
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("quantize_peer", ROOT / "Tests/Interop/quantize_peer.py")
peer_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer_module)

ROWS, COLUMNS = 19, 768


def splitmix(seed, count):
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bell(words):
    """The four 16-bit parts of each word added: a bell of whole numbers around 0, times 2^-19."""
    parts = sum((words >> np.uint64(16 * k)) & np.uint64(0xFFFF) for k in range(4)).astype(np.int64)
    return (parts - 131070).astype(np.float32) * np.float32(2.0**-19)


def rows(kind):
    count = ROWS * COLUMNS
    words = splitmix({"bell": 1, "bits": 2, "blocks": 3, "quiet": 6}[kind], count)
    if kind == "bell":
        x = bell(words)
    elif kind == "bits":
        x = (words >> np.uint64(32)).astype(np.uint32).view(np.float32)
        x = np.where(np.isfinite(x), x, np.float32(0)).astype(np.float32)
    else:
        x = bell(words).reshape(-1, 16)
        picks = splitmix(4 if kind == "blocks" else 7, len(x)) % np.uint64(12)
        factors = [0.0, -0.0, 1e-40, 3e-45, 3e38, 1e-15, 1e20, 1e-20]
        if kind == "quiet":  # nothing that ggml's searches of the IQ formats end on
            factors[4], factors[6] = 1e4, 1e-9
        for k, factor in enumerate(factors):
            x[picks == k] *= np.float32(factor)
        x[picks == 8] = x[picks == 8][:, :1]
        x[picks == 9] = np.abs(x[picks == 9])
        x[picks == 10, 3] *= np.float32(1000)
        x = x.reshape(-1)
    return np.ascontiguousarray(x.reshape(ROWS, COLUMNS))


def importance():
    """Weights from 0 to just under 4, a sixth of them nothing."""
    words = splitmix(5, COLUMNS)
    w = (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-22)
    return np.where(words % np.uint64(6) == 0, np.float32(0), w).astype(np.float32)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def quantized(peer, type_id, x, size, weights):
    """The blocks, made in a process of its own: ggml ends its process where a search fails on values no model has.
    None then."""
    shared = mmap.mmap(-1, size)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        peer.quantize(type_id, x, np.frombuffer(shared, np.uint8), weights)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return np.frombuffer(shared, np.uint8) if status == 0 else None


def main():
    os.environ["GGML_NO_BACKTRACE"] = "1"
    peer = peer_module.Peer()
    out = {"rows": ROWS, "columns": COLUMNS, "types": {}}
    for name, (type_id, block, size, needs) in peer_module.TYPES.items():
        entries = []
        for kind in ("bell", "bits", "blocks", "quiet"):
            x = rows(kind)
            for weighed in (False, True):
                if needs and not weighed:
                    continue
                coded = quantized(peer, type_id, x, x.size // block * size, importance() if weighed else None)
                if coded is None:
                    print(f"{name} {kind} matrix={weighed}: refused by ggml")
                    continue
                decoded = np.empty(x.size, np.float32)
                peer.decode(type_id, coded, decoded)
                # The bits of a NaN are nobody's promise.
                decoded[np.isnan(decoded)] = 0
                entries.append({"input": kind, "matrix": weighed, "bytes": fnv(coded.tobytes()),
                                "decoded": fnv(decoded.tobytes())})
        out["types"][name] = {"ggml_type": type_id, "cases": entries}
    path = ROOT / "Tests/QuantizationTests/Golden/quantize.json"
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
