"""Compares what `pannier eval` and `pannier imatrix` measure with other people's programs.

Multiple choice: twenty questions scored from transformers' log-likelihoods by the rules of lm-evaluation-harness 0.4
(api/model.py, _encode_pair and loglikelihood; api/task.py, MultipleChoiceTask: acc takes the largest log-likelihood,
acc_norm the largest per character of the choice). Every log-likelihood has to agree within 1e-4, and both scores exactly.

With llama.cpp's programs in the folder LLAMA_BIN also: perplexity of the sample's F32 and F16 GGUF against
llama-perplexity's, and an importance matrix against llama-imatrix's and in llama-quantize.

Usage: [LLAMA_BIN=FOLDER] eval_peer.py, after `swift build -c release`. Needs torch, transformers, gguf.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers
from gguf import GGUFReader

from common import PANNIER, ROOT, SAMPLE

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

TEXT = ROOT / "Samples/heldout.txt"
LLAMA = os.environ.get("LLAMA_BIN")
# Context, choices, the right one. Lengths differ, so that acc and acc_norm do; blanks and scripts stand at the seams.
QUESTIONS = [
    ("In the beginning God created the", ["heaven and the earth", "sea", "chariots of the Egyptians"], 0),
    ("And God said, Let there be", ["light", "a great multitude of people", "water"], 0),
    ("And it came to pass in those", ["days", "chariots, and the horsemen thereof"], 0),
    ("The LORD is my", ["shepherd", "God", "servant, and the son of my handmaid"], 0),
    ("And Moses stretched forth his", ["hand", "hand over the sea", "sword"], 1),
    ("the children of", ["Israel", "men", "Ammon"], 0),
    ("And he said unto him, ", ["What is thy name?", "Go", "Lo, I am with thee"], 2),
    ("Blessed are the", ["poor in spirit", "meek", "priests"], 1),
    ("And the king said unto the", ["woman", "captain of the guard", "fish"], 0),
    ("Jesus answered and said unto", ["them", "the winds and the waves", "Peter"], 0),
    ("Thou shalt not", ["kill", "covet thy neighbour's house", "eat"], 1),
    ("For God so loved the", ["world", "gate", "world, that he gave his only begotten Son"], 2),
    ("And the LORD spake unto Moses,", ["saying", "and said", "naïve 日本"], 0),
    ("the kingdom of", ["heaven", "God", "Judah"], 1),
    ("And they came to the land of  ", ["Canaan", "Egypt", "Nod"], 0),
    ("He that hath an ear, let him", ["hear", "speak unto the churches", "eat"], 0),
    ("", ["And it came to pass", "Selah", "xylophone"], 0),
    ("And Abraham begat", ["Isaac", "Isaac; and Isaac begat Jacob", "a calf"], 1),
    ("Then answered", ["Job", "Bildad the Shuhite, and said,", "42"], 1),
    ("The grace of our Lord Jesus Christ be with you all.", ["Amen", "Amen.", "And then"], 1),
]


def run(*command, folder=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def check(title, good, note=""):
    print(f"{'ok  ' if good else 'FAIL'} {title}{': ' + note if note else ''}")
    return good


def likelihood(model, tokenizer, context, continuation):
    """Log-likelihood of a continuation; blanks at the context's end are its."""
    blanks = len(context) - len(context.rstrip())
    if blanks:
        context, continuation = context[:-blanks], context[-blanks:] + continuation
    if context:
        whole, start = tokenizer.encode(context + continuation), len(tokenizer.encode(context))
    else:
        ids = tokenizer.encode(continuation, add_special_tokens=False)
        whole, start = [tokenizer.bos_token_id] + ids, 1
    with torch.no_grad():
        logits = torch.log_softmax(model(torch.tensor([whole[:-1]])).logits[0].double(), -1)
    return sum(logits[place - 1, whole[place]].item() for place in range(start, len(whole)))


def questions(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(SAMPLE, dtype=torch.float64)
    tokenizer = transformers.AutoTokenizer.from_pretrained(SAMPLE)
    file = folder / "questions.jsonl"
    lines = [{"context": c, "choices": choices, "answer": answer} for c, choices, answer in QUESTIONS]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    ours = json.loads(run(PANNIER, "eval", SAMPLE, "--tasks", file, "--json"))["tasks"]["questions"]
    right, normalized, worst = 0, 0, 0.0
    for index, (context, choices, answer) in enumerate(QUESTIONS):
        divide = "" if context[-1:].isspace() or not context else " "
        theirs = [likelihood(model, tokenizer, context, divide + choice) for choice in choices]
        right += int(numpy.argmax(theirs) == answer)
        normalized += int(numpy.argmax([score / len(choice) for score, choice in zip(theirs, choices)]) == answer)
        own = ours["log_likelihoods"][index]
        worst = max(worst, max(abs(a - b) for a, b in zip(own, theirs)))
    n = len(QUESTIONS)
    good = check("log-likelihoods of 20 questions", worst < 1e-4, f"largest difference {worst:.1e}")
    good &= check("acc", abs(ours["acc"] - right / n) < 1e-12, f"{ours['acc']} and {right / n}")
    return good & check("acc_norm", abs(ours["acc_norm"] - normalized / n) < 1e-12, f"{ours['acc_norm']} and {normalized / n}")


def peer_perplexity(file):
    """What llama-perplexity says, and the running perplexity after the last chunk.

    Its last lines are at times lost when it ends, so it is asked again until that one is there.
    """
    for _ in range(8):
        text = run(f"{LLAMA}/llama-perplexity", "-m", file, "-f", TEXT, "-c", 256, "-b", 256, "--chunks", 60, "-t", 2)
        if found := re.findall(r"\[60\]([\d.]+)", text):
            return text, float(found[-1])
    sys.exit("llama-perplexity never said the perplexity after chunk 60")


def perplexities(folder):
    good = True
    for dtype in ("f32", "f16"):
        file = folder / f"{dtype}.gguf"
        run(PANNIER, "convert", SAMPLE, "-o", file, "--dtype", dtype)
        ours = json.loads(run(PANNIER, "eval", file, "--text", TEXT, "--context", 256, "--chunks", 60, "--json"))
        text, theirs = peer_perplexity(file)
        final = re.search(r"Final estimate: PPL = [\d.]+ \+/- ([\d.]+)", text)
        off = abs(ours["perplexity"] / theirs - 1)
        good &= check(f"perplexity of {dtype}", off < 1e-3,
                      f"{ours['perplexity']:.4f} and {theirs:.4f}, {100 * off:.4f} % apart")
        if final:
            own, error = ours["nll_standard_error"] * ours["perplexity"], float(final.group(1))
            good &= check("its standard error", abs(own / error - 1) < 0.02, f"{own:.5f} and {error:.5f}")
    return good


def matrices(folder):
    run(PANNIER, "imatrix", folder / "f32.gguf", "--text", TEXT, "-o", folder / "ours.gguf", "--context", 256, "--chunks", 40)
    run(f"{LLAMA}/llama-imatrix", "-m", folder / "f32.gguf", "-f", TEXT, "-o", folder / "theirs.gguf", "-c", 256,
        "--chunks", 40, "-t", 2)
    files = [{t.name: t.data.astype(numpy.float64).ravel() for t in GGUFReader(folder / f"{who}.gguf").tensors}
             for who in ("ours", "theirs")]
    good = check("importance matrix: the same tensors", files[0].keys() == files[1].keys(), f"{len(files[0])} tensors")
    worst, largest = 0.0, 0.0
    for name in files[0].keys() & files[1].keys():
        a, b = files[0][name], files[1][name]
        if a.shape != b.shape:
            return check(name, False, f"{a.shape} and {b.shape}")
        worst = max(worst, float(numpy.linalg.norm(a - b) / max(numpy.linalg.norm(b), 1e-30)))
        largest = max(largest, float((abs(a - b) / numpy.maximum(abs(b), 1e-30)).max()))
    good &= check("importance matrix: its values", worst < 1e-3, f"relative L2 at most {worst:.1e}, one value {largest:.1e}")
    keys = [{name: field.contents() for name, field in GGUFReader(folder / f"{who}.gguf").fields.items()
             if not name.startswith("GGUF.")} for who in ("ours", "theirs")]
    same = {name for name in keys[0].keys() & keys[1].keys() if keys[0][name] == keys[1][name]}
    print(f"     metadata: {len(same)} keys equal; others {sorted((keys[0].keys() | keys[1].keys()) - same)}")
    run(f"{LLAMA}/llama-quantize", "--imatrix", "ours.gguf", "f32.gguf", "theirs-iq2.gguf", "IQ2_XS", "2", folder=folder)
    run(PANNIER, "quantize", "f32.gguf", "-o", "ours-iq2.gguf", "--type", "IQ2_XS", "--imatrix", "ours.gguf", folder=folder)
    same = (folder / "theirs-iq2.gguf").read_bytes() == (folder / "ours-iq2.gguf").read_bytes()
    return good & check("llama-quantize takes our matrix, and makes the file that pannier makes with it", same)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good = questions(folder)
        if LLAMA:
            good &= perplexities(folder)
            good &= matrices(folder)
        else:
            print("     LLAMA_BIN is not set: llama-perplexity and llama-imatrix are not compared")
    sys.exit(0 if good else 1)


main()
