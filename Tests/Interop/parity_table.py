"""Prints the table of Docs/Parity.md: the sample in every block format, measured by Pannier and by llama.cpp.

Quantizes the sample to each type of parity_table.json, checks that the file is llama-quantize's byte for byte, and runs
`pannier parity` over the first 60 chunks of 256 tokens of Samples/heldout.txt, text the model never saw. llama.cpp's
figures, in parity_table.json, are what llama-perplexity --kl-divergence said of the same files, chunks and text.

Ends with status 1 where a perplexity of a type whose activations llama.cpp does not round to 8 bits is more than 0.1 %
from its own, or a mean KL divergence is more than 1 % above its own.

Usage: parity_table.py [--json] [TEXT], after `swift build -c release`. Needs Python alone; takes a few minutes.
"""

import hashlib
import json
import pathlib
import shutil
import sys
import tempfile

from common import ROOT, SAMPLE, pannier

PEER = json.loads((pathlib.Path(__file__).parent / "parity_table.json").read_text())
UNROUNDED = {"F32", "F16", "BF16"}
COLUMNS = ["format", "perplexity", "llama.cpp's", "difference", "mean KL divergence", "llama.cpp's",
           "same likeliest token", "llama.cpp's"]


def main():
    texts = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    text = pathlib.Path(texts[0]).resolve() if texts else ROOT / "Samples/heldout.txt"
    faults, rows, figures = [], [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # The matrix's name is stored in the files.
        shutil.copy(ROOT / "Tests/CommandLineTests/Golden/imatrix.gguf", folder / "imatrix.gguf")
        for entry, peer in PEER.items():
            kind, _, matrix = entry.partition("+")
            file = folder / "quantized.gguf"
            pannier("quantize", SAMPLE, "-o", file, "--type", kind, "--force",
                    *(["--imatrix", "imatrix.gguf"] if matrix else []), folder=folder)
            if hashlib.sha256(file.read_bytes()).hexdigest() != peer["sha256"]:
                faults.append(f"{entry}: the file is not llama-quantize's")
            # Some of these formats lose more than parity lets pass: the table says how much.
            ours = json.loads(pannier("parity", SAMPLE, file, "--text", text, "--context", 256, "--chunks", 60, "--json",
                                      "--max-kld", 100, folder=folder))
            perplexity, kld, same = ours["perplexity_candidate"], ours["mean_kld"], 100 * ours["top1_agreement"]
            off = 100 * (perplexity / peer["perplexity"] - 1)
            if kind in UNROUNDED and abs(off) > 0.1:
                faults.append(f"{entry}: perplexity {perplexity:.4f} is {off:+.3f} % from llama.cpp's")
            if not kld <= 1.01 * peer["mean_kld"] + 1e-6:
                faults.append(f"{entry}: mean KL divergence {kld:.6f} is above llama.cpp's {peer['mean_kld']:.6f}")
            rows.append([kind + (" with a matrix" if matrix else ""), f"{perplexity:.3f}", f"{peer['perplexity']:.3f}",
                         f"{off:+.3f} %", f"{kld:.6f}", f"{peer['mean_kld']:.6f}", f"{same:.2f} %",
                         f"{peer['same_top_pct']:.2f} %"])
            figures[entry] = {"perplexity": perplexity, "mean_kld": kld, "same_top_pct": same}
            reference = ours["perplexity_reference"]
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=1))
    else:
        print(f"Perplexity of the bf16 model: {reference:.3f}.\n")
        print("| " + " | ".join(COLUMNS) + " |\n|---|" + "---:|" * (len(COLUMNS) - 1))
        for row in rows:
            print("| " + " | ".join(row) + " |")
    for fault in faults:
        print(f"FAIL {fault}", file=sys.stderr)
    worst = max(abs(figures[entry]["perplexity"] / peer["perplexity"] - 1) for entry, peer in PEER.items())
    print(f"{len(rows)} files, {len(faults)} faults; perplexities at most {100 * worst:.3f} % from llama.cpp's",
          file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
