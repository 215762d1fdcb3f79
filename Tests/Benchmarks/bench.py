"""Times Pannier's commands on a checkpoint of 1.1 billion parameters, next to the programs it replaces.

Everything lies in /dev/shm, so that the disk is out of it. Runs of the two sides alternate; medians and ratios are
printed as Markdown tables. Peak memory is the kernel's figure for the process (ru_maxrss).
"""

import filecmp
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
PANNIER = str(ROOT / ".build/release/pannier")
SYNTHESIZE = str(ROOT / ".build/release/pannier-synthesize")
WORK = pathlib.Path(os.environ.get("BENCH_DIR", "/dev/shm/pannier-bench"))
# Where checkpoints are made: on a disk, they are read out of the system's cache, and take no memory from the rest.
SOURCES = pathlib.Path(os.environ.get("BENCH_SOURCES", WORK))
LLAMA = pathlib.Path(os.environ.get("LLAMA_BIN", "/nonexistent"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
# Reading a prompt takes a second or two, in which other guests of the machine come and go: it is done so often in each run.
READS = int(os.environ.get("BENCH_READS", "5"))
# A Python with torch and zipnn, for the peers; without it only Pannier and zstd are timed.
PEERS = pathlib.Path(os.environ.get("BENCH_PYTHON", ROOT / ".build-peers/venv/bin/python"))
# Checkpoints of one run, for the sizes of archives; without it those of Samples/Steps.
STEPS = os.environ.get("BENCH_STEPS")


class Run(typing.NamedTuple):
    seconds: float
    megabytes: float
    # In user and system mode, of all threads: what other work on the machine changes little.
    cpu: float


def once(command, output=None):
    """One run; what it wrote is removed first."""
    if output:
        path = pathlib.Path(output)
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    begin = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begin
    # `diff` ends with 1 when something differs.
    if status and not (command[1] == "diff" and os.waitstatus_to_exitcode(status) == 1):
        sys.exit(f"failed with {status}: {' '.join(map(str, command))}")
    return Run(seconds, usage.ru_maxrss / 1000, usage.ru_utime + usage.ru_stime)


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
        name: (statistics.median(run.seconds for run in runs), max(run.megabytes for run in runs))
        for name, runs in taken.items()}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    level = "AVX-512" if "avx512bw" in flags else "AVX2" if "avx2" in flags else "baseline"
    memory = int(open("/proc/meminfo").readline().split()[1]) // 1_000_000
    print(f"Machine: {model}, {os.cpu_count()} cores, {level}, {memory} GB, {time.strftime('%Y-%m-%d')}; medians of {RUNS} runs.\n")


def checkpoint(dtype="bf16"):
    folder = SOURCES / f"tinyllama-{dtype}"
    WORK.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        SOURCES.mkdir(parents=True, exist_ok=True)
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


TYPES = ["Q4_K_M", "Q5_K_M", "Q6_K", "Q3_K_M", "Q2_K", "Q8_0", "Q4_0", "Q5_0", "IQ4_XS"]
# The searches of these take the peer minutes at full size, so they are timed on fewer layers of the same width, unless
# BENCH_LAYERS is 22: then once each at full size, which takes an hour.
SEARCHED = ["IQ4_NL", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"]
SEARCHED_LAYERS = int(os.environ.get("BENCH_LAYERS", "3"))


def matrix(gguf):
    """An importance matrix of a model, for the types that want one."""
    path = gguf.with_suffix(".imatrix.gguf")
    if not path.exists():
        text = WORK / "text.txt"
        text.write_text("In the beginning God created the heaven and the earth. And the earth was without form. " * 60)
        subprocess.run([PANNIER, "imatrix", gguf, "--text", text, "-o", path, "--context", "256", "--chunks", "2", "-q"], check=True)
    return path


def quantize():
    quantizer = LLAMA / "llama-quantize"
    chosen = os.environ.get("BENCH_TYPES", " ".join(TYPES + SEARCHED)).split()
    print("## Quantizing\n\n| type | pannier | llama-quantize | ratio | peak memory | on one thread | two threads |\n|---|---|---|---|---|---|---|")
    full = WORK / "bf16.gguf"
    if not full.exists():
        subprocess.run([PANNIER, "convert", checkpoint("bf16"), "-o", full, "-q"], check=True)
    few = WORK / "few.gguf" if SEARCHED_LAYERS < 22 else full
    if set(chosen) & set(SEARCHED) and not few.exists():
        # Our own program takes the other layers away; the tensors left are the same.
        layers = ",".join(str(layer) for layer in range(SEARCHED_LAYERS, 22))
        subprocess.run(
            [PANNIER, "quantize", full, "-o", few, "--type", "BF16", "--prune-layers", layers, "-q"], check=True)
    for kind in chosen:
        gguf = few if kind in SEARCHED else full
        out = WORK / "ours.gguf"
        hints = ["--imatrix", matrix(gguf)] if kind.startswith("IQ") else []
        ours = [PANNIER, "quantize", gguf, "-o", out, "--type", kind, "-q", *hints]
        if kind in SEARCHED and gguf == full:
            result = {"one": once(ours + ["--threads", "1"], out)[:2], "two": once(ours, out)[:2]}
        else:
            result = alternate({"two": (ours, out), "one": (ours + ["--threads", "1"], out)})
        (seconds, memory), (single, _) = result["two"], result["one"]
        theirs = "", ""
        if quantizer.exists():
            # Once, in the same sitting: it takes up to minutes, and its times vary by a few percent.
            other = WORK / "theirs.gguf"
            peer = once([quantizer, *hints, gguf, other, kind, os.cpu_count()], other).seconds
            if out.exists() and not filecmp.cmp(out, other, shallow=False):
                sys.exit(f"{kind}: llama-quantize's file is another one")
            other.unlink()
            theirs = f"{peer:.1f} s", f"{peer / seconds:.1f}"
        name = f"{kind}, {SEARCHED_LAYERS} layers" if gguf != full else kind
        print(f"| {name} | {seconds:.2f} s | {theirs[0]} | {theirs[1]} | {memory:.0f} MB | {single:.2f} s | {single / seconds:.2f} |", flush=True)
    print()


# As many as both programs make unless they are told otherwise.
MADE = 128


class Speeds(typing.NamedTuple):
    read: float
    made: float
    # Seconds between the first token and the second, in which weights are laid out anew; no part of `made`.
    layout: float


def speeds(path, prompt, made, *options):
    """Tokens a second of one `pannier run`: reading a prompt, and making some tokens more."""
    ids = ",".join(str(1 + 37 * i % 900) for i in range(prompt))
    done = subprocess.run(
        [PANNIER, "run", path, "--ids", ids, "-n", str(made), "--temperature", "0", *options], capture_output=True, text=True)
    found = re.search(r"read at ([\d.]+) tokens/s, \d+ made at ([\d.]+) tokens/s(?:, weights laid out for that in ([\d.]+) s)?",
                      done.stderr)
    if not found:
        sys.exit(f"no speeds in: {done.stderr}")
    return Speeds(float(found[1]), float(found[2]), float(found[3] or 0))


def llama_speeds(path):
    """Reading 256 tokens and making some with llama-bench, which does not count what it lays out anew when it loads."""
    def speed(prompt, made, times):
        done = subprocess.run(
            [LLAMA / "llama-bench", "-m", path, "-p", str(prompt), "-n", str(made), "-t", str(os.cpu_count()), "-r", str(times),
             "-o", "json"], capture_output=True, text=True)
        return statistics.median(json.loads(done.stdout)[0]["samples_ts"])
    return speed(256, 0, READS), speed(0, MADE, 1)


def forward():
    print("## Forward pass, tokens/s\n\n| weights | reading 256 | `--compute bf16` | llama-bench pp256 | making "
          f"| ratio | `--compute bf16` | ratio | llama-bench tg{MADE} | laid out in |\n|---|---|---|---|---|---|---|---|---|---|")
    source = WORK / "bf16.gguf"
    if not source.exists():
        subprocess.run([PANNIER, "convert", checkpoint("bf16"), "-o", source, "-q"], check=True)
    for kind in os.environ.get("BENCH_FORWARD", "BF16 Q8_0 Q4_0 Q4_K_M Q6_K").split():
        path = WORK / f"{kind}.gguf"
        subprocess.run([PANNIER, "quantize", source, "-o", path, "--type", kind, "-q", "--force"], check=True)
        runs = []
        for _ in range(RUNS):
            reads = [[speeds(path, 256, 2, *options).read for options in ((), ("--compute", "bf16"))] for _ in range(READS)]
            read, fast = (statistics.median(column) for column in zip(*reads))
            # llama-bench makes its tokens from nothing, so the prompt is short here.
            made, rounded = (speeds(path, 4, MADE, *options) for options in ((), ("--compute", "bf16")))
            runs.append((read, fast, made.made, rounded.made, made.layout,
                         *(llama_speeds(path) if (LLAMA / "llama-bench").exists() else ())))
        read, fast, made, rounded, layout, *theirs = (statistics.median(column) for column in zip(*runs))
        reading, making = (f"{theirs[0]:.0f}", f"{theirs[1]:.1f}") if theirs else ("", "")
        ratio, ratio_rounded = (f"{x / theirs[1]:.2f}" for x in (made, rounded)) if theirs else ("", "")
        print(f"| {kind} | {read:.0f} | {fast:.0f} | {reading} | {made:.1f} | {ratio} | {rounded:.1f} | {ratio_rounded} | {making} "
              f"| {layout:.2f} s |", flush=True)
        path.unlink()
    for dtype in "float32", "bfloat16":
        found = peer("forward_peer.py", checkpoint("bf16"), dtype)
        if found:
            print(f"\ntransformers reads 256 tokens in {dtype} at {found['tokens_per_second']:.0f} tokens/s.", flush=True)
    print()


def touch(gigabytes):
    """Memory that a virtual machine gave back to its host is slow at the first touch: that is no part of a run."""
    # In a process of its own: what starts another program passes its own peak on to it.
    subprocess.run([sys.executable, "-c", f"""
import mmap
memory = mmap.mmap(-1, {int(gigabytes * 2**30)})
for at in range(0, len(memory), mmap.PAGESIZE):
    memory[at] = 1
"""], check=True)


def turns(sides, memory, runs=RUNS):
    """Medians of commands run in turn, with memory touched before each: {name: Run}.

    A side is (command, what it writes, what is done before it). `memory` is in GiB; a quarter more is touched, for what the
    program and the system need beside."""
    taken = {name: [] for name in sides}
    for _ in range(runs):
        for name, (command, output, before) in sides.items():
            # Of all sides, so that there is room for the largest.
            for _, other, _ in sides.values():
                if other:
                    other.unlink(missing_ok=True)
            if before:
                before()
            touch(1.25 * memory)
            taken[name].append(once(command))
    return {
        name: Run(
            statistics.median(run.seconds for run in runs), max(run.megabytes for run in runs),
            statistics.median(run.cpu for run in runs))
        for name, runs in taken.items()}


def size_written(command, output):
    """The size of what a command writes, which is removed again."""
    once(command, output)
    size = output.stat().st_size
    output.unlink()
    return size


def peer(script, *arguments):
    """What a script of the peers says, or None where they are not installed."""
    if not PEERS.exists():
        return None
    done = subprocess.run(
        [PEERS, ROOT / "Tests/Benchmarks" / script, *arguments], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def archive():
    """Speeds at 1.1 billion parameters."""
    print("## Archives, 1.1 billion parameters\n")
    print("| | original | size | time | rate | CPU time | peak memory |\n|---|---|---|---|---|---|---|")
    def row(title, size, stored, seconds, memory=None, cpu=None):
        print(f"| {title} | {size / 1e9:.2f} GB | {stored / 1e9:.3f} GB | {seconds:.2f} s | {size / seconds / 1e9:.2f} GB/s "
              f"| {f'{cpu:.2f} s' if cpu else ''} | {f'{memory:.0f} MB' if memory else ''} |", flush=True)
    for dtype in os.environ.get("BENCH_ARCHIVE", "bf16 f32").split():
        file = checkpoint(dtype) / "model.safetensors"
        size = file.stat().st_size
        packed, store, out = WORK / "out.zst", WORK / "run.pannier", WORK / "out.safetensors"
        sides = {
            "zstd": (["zstd", "-q", "-3", "-T2", file, "-o", packed], packed, None),
            "create": ([PANNIER, "archive", "create", store, file, "--no-sync", "-q"], store, None)}
        written = {name: size_written(command, output) for name, (command, output, _) in sides.items()}
        result = turns(sides, size / 2**30)
        for name, title in ("zstd", "`zstd -3 -T2`"), ("create", "`archive create`"):
            row(f"{dtype}: {title}", size, written[name], *result[name])
        found = peer("zipnn_peer.py", file, {"bf16": "bfloat16", "f32": "float32"}[dtype])
        if found:
            row(f"{dtype}: zipnn in memory, packing", size, found["bytes"], found["packing"])
            row(f"{dtype}: zipnn in memory, unpacking", size, found["bytes"], found["unpacking"])
        once(*sides["create"][:2])
        sides = {
            "verify": ([PANNIER, "archive", "verify", store, "-q"], None, None),
            "extract": ([PANNIER, "archive", "extract", store, "0", "-o", out, "-q"], out, None),
            "cp": (["cp", file, WORK / "copy"], WORK / "copy", None)}
        result = turns(sides, size / 2**30)
        for name, title in ("verify", "`archive verify`"), ("extract", "`archive extract`"), ("cp", "`cp` of the original"):
            row(f"{dtype}: {title}", size, store.stat().st_size, *result[name])
        (WORK / "copy").unlink(missing_ok=True)
        once(*sides["extract"][:2])
        if subprocess.run(["cmp", file, out]).returncode:
            sys.exit("extract does not give the bytes back")
        out.unlink()
        one = ["model.layers.11.mlp.up_proj.weight", "--stats"]
        result = turns({
            "list": ([PANNIER, "archive", "list", store], None, None),
            "one": ([PANNIER, "inspect", f"{store}:0", "--tensors", *one], None, None)}, 0.1)
        print(f"| {dtype}: `archive list` | | | {1000 * result['list'].seconds:.0f} ms | | | {result['list'].megabytes:.0f} MB |")
        print(f"| {dtype}: one tensor of {23.1 if dtype == 'bf16' else 46.1} MB, read for its statistics | | "
              f"| {1000 * result['one'].seconds:.0f} ms | | | {result['one'].megabytes:.0f} MB |", flush=True)
        if dtype == "bf16":
            # The next step of the run, against the first.
            first, moved = store.stat().st_size, SOURCES / "moved"
            subprocess.run([SYNTHESIZE, "--dtype", dtype, "--moved", "0.05", "-o", moved], check=True)
            after = moved / "model.safetensors"
            result = turns({
                "zstd": (["zstd", "-q", "-3", "-T2", after, "-o", packed], packed, None),
                "add": ([PANNIER, "archive", "add", store, after, "--step", "1", "--no-sync", "-q"], None,
                        lambda: (store.unlink(), subprocess.run(
                            [PANNIER, "archive", "create", store, file, "--no-sync", "-q"],
                            stdout=subprocess.DEVNULL, check=True)))}, size / 2**30)
            written = size_written(["zstd", "-q", "-3", "-T2", after, "-o", packed], packed)
            row("bf16, the next step: `zstd -3 -T2`", size, written, *result["zstd"])
            row("bf16, the next step: `archive add`", size, store.stat().st_size - first, *result["add"])
            once([PANNIER, "archive", "extract", store, "1", "-o", out, "-q"])
            if subprocess.run(["cmp", after, out]).returncode:
                sys.exit("extract does not give the next step's bytes back")
            # From here on only the archive is read: what the system keeps of the sources would take the room of what is written.
            shutil.rmtree(moved)
            shutil.rmtree(file.parent)
            result = turns({
                "verify": ([PANNIER, "archive", "verify", store, "-q"], None, None),
                "one": ([PANNIER, "archive", "verify", store, "1", "-q"], None, None),
                "extract": ([PANNIER, "archive", "extract", store, "1", "-o", out, "-q"], out, None)}, size / 2**30)
            row("both steps: `archive verify`", 2 * size, store.stat().st_size, *result["verify"])
            row("the next step: `archive verify`", size, store.stat().st_size - first, *result["one"])
            row("the next step: `archive extract`", size, store.stat().st_size - first, *result["extract"])
            out.unlink()
        else:
            shutil.rmtree(file.parent)
        store.unlink()
    print()


def sizes():
    """Sizes of the steps of a run."""
    print("## Archives, sizes in bytes\n")
    print("| | original | `zstd -3` | `zstd -19 --long=27` | zipnn | Pannier alone | against the step before |")
    print("|---|---|---|---|---|---|---|")
    WORK.mkdir(parents=True, exist_ok=True)
    steps = WORK / "steps"
    steps.mkdir(exist_ok=True)
    given = sorted(pathlib.Path(STEPS).iterdir()) if STEPS else []
    if not given:
        store = ROOT / "Samples/Steps/run.pannier"
        listed = json.loads(subprocess.run([PANNIER, "archive", "list", store, "--json"], capture_output=True).stdout)
        for step in listed["steps"]:
            given.append(steps / step["name"])
            subprocess.run([PANNIER, "archive", "extract", store, str(step["step"]), "-o", given[-1], "-q"], check=True)
    def stored(store, *options):
        store.unlink(missing_ok=True)
        done = subprocess.run(
            [PANNIER, "archive", "create", store, *given, "--json", "-q", *options], capture_output=True, check=True)
        return [step["stored"] for step in json.loads(done.stdout)["added"]]
    def row(title, files, kind, alone, after):
        for index, file in enumerate(files):
            fast, slow = (
                len(subprocess.run(["zstd", "-c", "-q", *how, file], capture_output=True).stdout)
                for how in (["-3"], ["-19", "--long=27"]))
            found = peer("zipnn_peer.py", file, kind)
            packed = f"{found['bytes']:,}" if found else ""
            print(f"| {title} {file.name} | {file.stat().st_size:,} | {fast:,} | {slow:,} | {packed} "
                  f"| {alone[index]:,} | {f'{after[index]:,}' if after and index else ''} |", flush=True)
    kind = json.loads(subprocess.run(
        [PANNIER, "inspect", given[0], "--json"], capture_output=True).stdout)["tensors"][0]["dtype"].lower()
    names = {"bf16": "bfloat16", "f32": "float32"}
    row(kind, given, names[kind], stored(WORK / "alone.pannier", "--chain", "1"), stored(WORK / "chain.pannier"))
    if kind == "f32":
        # The same rounded to bf16, and that as f32 again.
        originals, given = given, []
        for target, folder in ("bf16", "bf16"), ("f32", "bf16 in f32"):
            given = []
            for file in originals:
                to = steps / folder / file.name
                to.parent.mkdir(exist_ok=True)
                subprocess.run([PANNIER, "convert", file, "-o", to, "--to", "pytorch", "--dtype", target, "-q"], check=True)
                given.append(to)
            row(folder, given, names[target], stored(WORK / "alone.pannier", "--chain", "1"),
                stored(WORK / "chain.pannier"))
            originals = given
    print()


def compare():
    """Two checkpoints of 1.1 billion parameters, in different containers and types."""
    print("## Comparing\n\n| | time | CPU time | peak memory |\n|---|---|---|---|")
    WORK.mkdir(parents=True, exist_ok=True)
    SOURCES.mkdir(parents=True, exist_ok=True)
    moved, b = SOURCES / "moved", SOURCES / "moved.bin"
    subprocess.run([SYNTHESIZE, "--dtype", "f32", "--moved", "0.05", "-o", moved], check=True)
    subprocess.run([PANNIER, "convert", moved, "-o", b, "--to", "pytorch", "-q"], check=True)
    shutil.rmtree(moved)
    a = checkpoint("bf16") / "model.safetensors"
    sides = {"`pannier diff`, bf16 safetensors and f32 .bin": ([PANNIER, "diff", a, b, "-q"], None, None)}
    if PEERS.exists():
        script = ROOT / "Tests/Benchmarks/diff_peer.py"
        sides["the same figures with PyTorch"] = ([PEERS, script, a, b], None, None)
    result = turns(sides, 2)
    for name, run in result.items():
        print(f"| {name} | {run.seconds:.2f} s | {run.cpu:.2f} s | {run.megabytes:.0f} MB |", flush=True)
    b.unlink()
    print()


def main():
    sections = {"carry": carry, "check": check, "quantize": quantize, "forward": forward, "archive": archive,
                "sizes": sizes, "compare": compare}
    machine()
    for name in sys.argv[1:] or sections:
        sections[name]()


if __name__ == "__main__":
    try:
        main()
    finally:
        if not os.environ.get("BENCH_KEEP"):
            for folder in WORK, *SOURCES.glob("tinyllama-*"):
                shutil.rmtree(folder, ignore_errors=True)
