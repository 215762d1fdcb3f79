#!/usr/bin/env python3
"""Builds the quantizing kernels for arm64 and checks them under qemu against the golden digests.

    apt-get install libc6-dev-arm64-cross gcc-aarch64-linux-gnu qemu-user; pip install numpy; Tests/Interop/arm64.py
"""
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "Sources/CKernels"
spec = importlib.util.spec_from_file_location("make_quantize", ROOT / "Tests/Golden/make_quantize.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)


def build(folder):
    """Compiled by clang, as SwiftPM does it; linked by the cross compiler, which knows where its libraries are."""
    objects = []
    for source in [*sorted(KERNELS.rglob("*.c")), ROOT / "Tests/Interop/kernel_driver.c"]:
        objects.append(f"{folder}/{source.stem}.o")
        subprocess.check_call([
            os.environ.get("CC", "clang"), "--target=aarch64-linux-gnu", "--sysroot=/usr/aarch64-linux-gnu",
            "-isystem", "/usr/aarch64-linux-gnu/include", f"-I{KERNELS}/include", "-O2", "-c", str(source), "-o",
            objects[-1]])
    program = f"{folder}/driver"
    subprocess.check_call(["aarch64-linux-gnu-gcc", "-static", "-o", program, *objects, "-lm", "-lpthread"])
    return program


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        source, output, importance = f"{folder}/source", f"{folder}/output", f"{folder}/importance"
        golden.importance().tofile(importance)
        wanted = json.loads((ROOT / "Tests/QuantizationTests/Golden/quantize.json").read_text())["types"]
        for name, entry in wanted.items():
            type_id, block, size, _ = golden.peer_module.TYPES[name]
            for case in entry["cases"]:
                x = golden.rows(case["input"])
                x.tofile(source)
                count = x.size // block * size
                run = subprocess.run(["qemu-aarch64", program, str(type_id), str(golden.ROWS), str(golden.COLUMNS),
                                      str(count), source, output, *([importance] if case["matrix"] else [])])
                data = pathlib.Path(output).read_bytes() if run.returncode == 0 else b""
                decoded = np.frombuffer(data[count:], np.float32).copy()
                decoded[np.isnan(decoded)] = 0
                if (golden.fnv(data[:count]), golden.fnv(decoded.tobytes())) != (case["bytes"], case["decoded"]):
                    failures += 1
                    print(f"{name} {case['input']} matrix={case['matrix']}: differs (status {run.returncode})")
        bits = np.random.default_rng(3).integers(0, 2**32, 300_000, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        x = x[~np.isnan(x)].copy()
        x.tofile(source)
        subprocess.check_call(["qemu-aarch64", program, "halves", str(x.size), source, output])
        with np.errstate(over="ignore"):
            half = x.astype(np.float16)
        u = x.view(np.uint32).astype(np.uint64)
        brain = ((u + 0x7FFF + ((u >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)
        expected = (half.tobytes() + half.astype(np.float32).tobytes() + brain.tobytes()
                    + (brain.astype(np.uint32) << 16).tobytes())
        if pathlib.Path(output).read_bytes() != expected:
            failures += 1
            print("plain float conversions differ")
    print("arm64:", "identical" if not failures else f"{failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
