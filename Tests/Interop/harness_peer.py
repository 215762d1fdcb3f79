"""Compares `pannier eval --tasks` with EleutherAI's lm-evaluation-harness itself.

The questions are verses of Samples/heldout.txt, cut at a word; the wrong endings are those of other verses, of other
lengths, so that acc and acc_norm differ. Some stand at the seams: blanks at the context's end or the choice's beginning, no
context, other scripts, an empty choice, a context longer than the model's. The harness runs its own HF model in f32 over
them as tasks of its kind multiple_choice. Every log-likelihood has to agree within 5e-4 (f32 in both) and every score
exactly.

Pannier divides context and choice by a blank unless one of the two brings it; the harness is told by `target_delimiter`.
No text here begins with a blank: there transformers' own tokenizer gives one token where SentencePiece gives two, and
Pannier gives SentencePiece's.

Usage: harness_peer.py, after `swift build -c release`. Needs `pip install "lm-eval[hf]"` (0.4.13 was tried) beside torch and
transformers. That takes minutes and moves numpy past what litgpt allows, so that it wants an environment of its own and is
no part of `make interop`. Where it is not installed the script says so and ends with status 77.
"""

import json
import os
import pathlib
import random
import sys
import tempfile

from common import ROOT, SAMPLE, pannier

os.environ.update(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")
TEXT = ROOT / "Samples/heldout.txt"
# With a blank between context and choice, and with nothing between them.
SPACED = [
    ("And the LORD spake unto Moses,", ["saying", "and said", "naïve 日本"], 0),
    ("In the beginning", ["", "God created the heaven"], 1),
]
SEAMS = [
    ("And they came to the land of  ", ["Canaan", "Egypt", "Nod"], 0),
    ("And he said unto him, ", ["What is thy name?", "Go", "Lo, I am with thee"], 2),
    ("And God said, Let there be", [" light", " a great multitude of people", "  water"], 0),
    ("", ["And it came to pass", "Selah", "xylophone"], 0),
    ("And the king said\n", ["unto the woman", "Amen"], 0),
]


def questions():
    """Two tasks: what the harness joins by a blank, and what it joins by nothing."""
    chance = random.Random(7)
    verses = [line.split() for line in TEXT.read_text().splitlines() if 12 <= len(line.split()) <= 60]
    endings = []
    for verse in chance.sample(verses, 60):
        cut = chance.randrange(3, len(verse) - 8)
        parts = [(verse, cut)] + [(other, chance.randrange(2, len(other) - 8)) for other in chance.sample(verses, 3)]
        choices = [" ".join(words[place:place + chance.randrange(2, 9)]) for words, place in parts]
        order = chance.sample(range(4), 4)
        endings.append((" ".join(verse[:cut]), [choices[place] for place in order], order.index(0)))
    # More tokens than the model's 512: the harness keeps the last ones.
    long = " ".join(word for verse in verses[:40] for word in verse)
    return {"endings": endings + SPACED + [(long, ["and the sea", "and the kings of the earth"], 1)], "seams": SEAMS}


def harness(lm_eval, folder, tasks):
    from lm_eval.tasks import TaskManager

    for name, asked in tasks.items():
        file = folder / f"{name}-data.jsonl"
        file.write_text("\n".join(
            json.dumps({"context": context, "choices": choices, "answer": answer}) for context, choices, answer in asked))
        (folder / f"{name}.yaml").write_text(json.dumps({
            "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{context}}",
            "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}",
            "target_delimiter": " " if name == "endings" else "",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]}))
    found = lm_eval.simple_evaluate(
        model="hf", model_args={"pretrained": str(SAMPLE), "dtype": "float32"}, tasks=list(tasks), device="cpu",
        task_manager=TaskManager(include_path=str(folder)), log_samples=True, bootstrap_iters=0, batch_size=1)
    likelihoods = {
        name: [[float(one[0]) for one in sample["filtered_resps"]]
               for sample in sorted(found["samples"][name], key=lambda sample: sample["doc_id"])] for name in tasks}
    return found["results"], likelihoods


def main():
    try:
        import lm_eval
    except ImportError:
        print('skipped: lm_eval is not installed (pip install "lm-eval[hf]")')
        sys.exit(77)
    tasks = questions()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ["HF_HOME"] = name
        scores, theirs = harness(lm_eval, folder, tasks)
        file = folder / "questions.jsonl"
        file.write_text("\n".join(
            json.dumps({"task": task, "context": context, "choices": choices, "answer": answer})
            for task, asked in tasks.items() for context, choices, answer in asked))
        ours = json.loads(pannier("eval", SAMPLE, "--tasks", file, "--json"))["tasks"]
    good = True
    for task, asked in tasks.items():
        worst = 0.0
        for (context, choices, _), own, other in zip(asked, ours[task]["log_likelihoods"], theirs[task], strict=True):
            for choice, a, b in zip(choices, own, other, strict=True):
                worst = max(worst, abs(a - b))
                if not abs(a - b) <= 5e-4:
                    good = False
                    print(f"FAIL {context[-40:]!r} {choice[:40]!r}: {a} and {b}")
        print(f"{task}: {sum(len(choices) for _, choices, _ in asked)} log-likelihoods of {len(asked)} questions, largest "
              f"difference {worst:.1e}")
        for metric in ("acc", "acc_norm"):
            same = abs(ours[task][metric] - scores[task][f"{metric},none"]) < 1e-12
            good &= same
            print(f"{'ok  ' if same else 'FAIL'} {task} {metric}: {ours[task][metric]} and {scores[task][f'{metric},none']}")
    print("the harness and pannier agree" if good else "FAIL")
    sys.exit(0 if good else 1)


main()
