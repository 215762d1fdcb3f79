"""Times Pannier's commands on a checkpoint of 1.1 billion parameters, next to the programs it replaces.

Everything lies in /dev/shm, so that the disk is out of it. Runs of the two sides alternate; medians and ratios are
printed as Markdown tables. Peak memory is the kernel's figure for the process (ru_maxrss).
"""

import csv
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PANNIER = str(ROOT / ".build/release/pannier")
SYNTHESIZE = str(ROOT / ".build/release/pannier-synthesize")
WORK = pathlib.Path(os.environ.get("BENCH_DIR", "/dev/shm/pannier-bench"))
LLAMA = pathlib.Path(os.environ.get("LLAMA_BIN", "/nonexistent"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))


def once(command, output=None):
    """Seconds and peak megabytes of one run; what it wrote is removed first."""
    if output:
        path = pathlib.Path(output)
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    begin = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begin
    if status:
        sys.exit(f"failed with {status}: {' '.join(map(str, command))}")
    return seconds, usage.ru_maxrss / 1000


def alternate(sides, runs=RUNS):
    """Medians of commands that are run in turn: {name: (seconds, megabytes)}."""
    taken = {name: [] for name in sides}
    for name, (command, output) in sides.items():
        once(command, output)
    for _ in range(runs):
        for name, (command, output) in sides.items():
            taken[name].append(once(command, output))
    for _, output in sides.values():
        if output:
            path = pathlib.Path(output)
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return {
        name: (statistics.median(t for t, _ in runs), max(m for _, m in runs)) for name, runs in taken.items()}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    level = "AVX-512" if "avx512bw" in flags else "AVX2" if "avx2" in flags else "baseline"
    memory = int(open("/proc/meminfo").readline().split()[1]) // 1_000_000
    print(f"Machine: {model}, {os.cpu_count()} cores, {level}, {memory} GB, {time.strftime('%Y-%m-%d')}; medians of {RUNS} runs.\n")


def checkpoint(dtype="bf16"):
    folder = WORK / f"tinyllama-{dtype}"
    if not folder.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [SYNTHESIZE, "--dtype", dtype, "-o", folder, "--tokenizer", ROOT / "Samples/KJV-Llama-2.8M"], check=True)
    return folder


def carry():
    print("## Conversion\n\n| conversion | pannier | `cp` of the input | ratio | peak memory |\n|---|---|---|---|---|")
    def row(title, source, file, *options):
        sides = {
            "pannier": ([PANNIER, "convert", source, "-o", WORK / "out.gguf", "-q", *options], WORK / "out.gguf"),
            "cp": (["cp", file, WORK / "copy"], WORK / "copy"),
        }
        result = alternate(sides)
        (ours, memory), (cp, _) = result["pannier"], result["cp"]
        print(f"| {title} | {ours:.2f} s | {cp:.2f} s | {ours / cp:.2f} | {memory:.0f} MB |", flush=True)
    bf16 = checkpoint("bf16")
    row("bf16 safetensors → bf16 GGUF", bf16, bf16 / "model.safetensors")
    f32 = checkpoint("f32")
    binary = WORK / "pytorch_model.bin"
    if not binary.exists():
        subprocess.run([PANNIER, "convert", f32, "-o", binary, "-q"], check=True)
    shutil.rmtree(f32)
    row("fp32 `.bin` → bf16 GGUF", binary, binary, "--dtype", "bf16", "--preset", "tinyllama-1.1b")
    print()


def check():
    print("## Inspecting and verifying\n\n| command | time | rate | peak memory |\n|---|---|---|---|")
    bf16 = checkpoint("bf16")
    size = (bf16 / "model.safetensors").stat().st_size
    commands = [("inspect", [PANNIER, "inspect", bf16]), ("verify", [PANNIER, "verify", bf16]),
                ("verify --deep", [PANNIER, "verify", bf16, "--deep"]), ("hash", [PANNIER, "hash", bf16])]
    binary = WORK / "pytorch_model.bin"
    if binary.exists():
        commands.append(("inspect, fp32 .bin of 4.4 GB", [PANNIER, "inspect", binary]))
    for name, command in commands:
        seconds, memory = alternate({"x": (command, None)})["x"]
        rate = f"{size / seconds / 1e9:.1f} GB/s" if seconds > 0.1 else ""
        print(f"| {name} | {seconds * 1000:.0f} ms | {rate} | {memory:.0f} MB |", flush=True)
    print()


TYPES = ["Q4_K_M", "Q5_K_M", "Q6_K", "Q3_K_M", "Q2_K", "Q8_0", "Q4_0", "Q5_0", "IQ4_XS", "IQ4_NL", "IQ3_S"]


def quantize():
    quantizer = LLAMA / "llama-quantize"
    print("## Quantizing\n\n| type | pannier | llama-quantize | ratio | peak memory | on one thread |\n|---|---|---|---|---|---|")
    bf16 = checkpoint("bf16")
    gguf = WORK / "bf16.gguf"
    if not gguf.exists():
        subprocess.run([PANNIER, "convert", bf16, "-o", gguf, "-q"], check=True)
    for kind in os.environ.get("BENCH_TYPES", " ".join(TYPES)).split():
        out = WORK / "ours.gguf"
        ours = [PANNIER, "quantize", gguf, "-o", out, "--type", kind, "-q"]
        seconds, memory = alternate({"x": (ours, out)})["x"]
        single, _ = alternate({"x": (ours + ["--threads", "1"], out)}, 1)["x"]
        theirs = "", ""
        if quantizer.exists():
            # Once, in the same sitting: it takes up to minutes, and its times vary by a few percent.
            peer, _ = once([quantizer, gguf, WORK / "theirs.gguf", kind, os.cpu_count()], WORK / "theirs.gguf")
            (WORK / "theirs.gguf").unlink()
            theirs = f"{peer:.1f} s", f"{peer / seconds:.1f}"
        print(f"| {kind} | {seconds:.2f} s | {theirs[0]} | {theirs[1]} | {memory:.0f} MB | {single:.2f} s |", flush=True)
    print()


def speeds(path, *options):
    """Tokens a second of `pannier run`: reading a prompt of 256 tokens, and making 48 more."""
    ids = ",".join(str(1 + 37 * i % 900) for i in range(256))
    reading, making = [], []
    for _ in range(RUNS):
        done = subprocess.run(
            [PANNIER, "run", path, "--ids", ids, "-n", "48", "--temperature", "0", *options], capture_output=True, text=True)
        found = re.search(r"read at ([\d.]+) tokens/s, \d+ made at ([\d.]+)", done.stderr)
        if not found:
            sys.exit(f"no speeds in: {done.stderr}")
        reading.append(float(found[1]))
        making.append(float(found[2]))
    return statistics.median(reading), statistics.median(making)


def forward():
    llama = LLAMA / "llama-bench"
    print("## Forward pass, tokens/s\n\n| weights | reading 256, f32 | reading 256, `--compute bf16` | making "
          "| llama-bench pp256 | llama-bench tg48 |\n|---|---|---|---|---|---|")
    bf16 = checkpoint("bf16")
    for kind in ("BF16", "Q8_0", "Q4_0", "Q4_K_M"):
        path = WORK / f"{kind}.gguf"
        if kind == "BF16":
            subprocess.run([PANNIER, "convert", bf16, "-o", path, "-q", "--force"], check=True)
        else:
            subprocess.run([PANNIER, "quantize", bf16, "-o", path, "--type", kind, "-q", "--force"], check=True)
        read, made = speeds(path)
        fast, _ = speeds(path, "--compute", "bf16")
        theirs = ["", ""]
        if llama.exists():
            done = subprocess.run(
                [llama, "-m", path, "-p", "256", "-n", "48", "-t", str(os.cpu_count()), "-r", "2", "-o", "csv"],
                capture_output=True, text=True)
            rows = list(csv.DictReader(done.stdout.splitlines()))
            theirs = [f"{float(row['avg_ts']):.0f}" for row in rows] or theirs
        print(f"| {kind} | {read:.0f} | {fast:.0f} | {made:.1f} | {theirs[0]} | {theirs[1]} |", flush=True)
        path.unlink()
    print()


def main():
    sections = {"carry": carry, "check": check, "quantize": quantize, "forward": forward}
    machine()
    for name in sys.argv[1:] or sections:
        sections[name]()


if __name__ == "__main__":
    try:
        main()
    finally:
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(WORK, ignore_errors=True)
