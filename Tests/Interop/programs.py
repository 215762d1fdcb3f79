"""The files that Pannier writes load in the programs they are for, with the values they should have.

safetensors, torch (weights_only), transformers, litgpt, gguf and llama.cpp (by xllamacpp) read the sample after Pannier
carried it there. Run by `make interop`, which sets the virtual environment up.
"""

import glob
import os
import pathlib
import subprocess
import tempfile

import numpy
import torch

import common
from common import PANNIER, SAMPLE, check, pannier

IDS = [1, 300, 359, 478, 292, 603, 977, 301, 977, 441, 261, 416]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k].view(torch.uint8), b[k].view(torch.uint8)) for k in a)


def transformers_logits(folder):
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].double()


def main():
    from safetensors.torch import load_file
    original = load_file(SAMPLE / "model.safetensors")
    reference = transformers_logits(SAMPLE)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)

        pannier("convert", SAMPLE, "-o", work / "f32.gguf", "--dtype", "f32")
        pannier("convert", work / "f32.gguf", "-o", work / "hf", "--dtype", "bf16")
        check("safetensors: every tensor back from GGUF, bit for bit", same(load_file(work / "hf/model.safetensors"), original))
        pannier("convert", SAMPLE, "-o", work / "shards", "--shard-size", "2MB")
        loaded = {}
        for shard in sorted(glob.glob(f"{work}/shards/*.safetensors")):
            loaded.update(load_file(shard))
        check("safetensors: shards hold every tensor", same(loaded, original))

        pannier("convert", work / "f32.gguf", "-o", work / "bin", "--to", "pytorch", "--dtype", "bf16")
        for mmap in (False, True):
            loaded = torch.load(work / "bin/pytorch_model.bin", weights_only=True, mmap=mmap)
            check(f"torch: weights_only=True, mmap={mmap}", same(dict(loaded), original))

        for name in ("hf", "shards", "bin"):
            logits = transformers_logits(work / name)
            check(f"transformers: the folder {name} as it stands, same logits", torch.equal(logits, reference))
        from transformers import AutoTokenizer
        text = "And it came to pass, that 12 men said: naïve?"
        ids = [AutoTokenizer.from_pretrained(f)(text).input_ids for f in (SAMPLE, work / "hf")]
        check("transformers: the tokenizer that came back from GGUF", ids[0] == ids[1] and len(ids[0]) > 10)

        pannier("convert", work / "f32.gguf", "-o", work / "lit", "--to", "pytorch", "--layout", "litgpt", "--dtype", "bf16")
        import litgpt
        config = litgpt.Config.from_file(work / "lit/model_config.yaml")
        model = litgpt.GPT(config).float()
        state = torch.load(work / "lit/lit_model.pth", weights_only=True)
        model.load_state_dict({k: v.float() for k, v in state.items()})
        model.eval()
        with torch.no_grad():
            logits = model(torch.tensor([IDS]))[0].double()
        check("litgpt: the folder as it stands, logits of transformers", (logits - reference).abs().max() < 1e-4)

        from gguf import GGUFReader
        reader = GGUFReader(work / "f32.gguf")
        check("gguf: reads the file", len(reader.tensors) == 39)
        table = {t.name: t for t in reader.tensors}
        check(
            "gguf: the embedding's values",
            numpy.array_equal(table["token_embd.weight"].data, original["model.embed_tokens.weight"].float().numpy()))
        for kind in ("Q4_K_M", "IQ4_XS", "Q8_0"):
            pannier("quantize", SAMPLE, "-o", work / f"{kind}.gguf", "--type", kind)
            check(f"gguf: reads {kind}", len(GGUFReader(work / f"{kind}.gguf").tensors) == 39)
        import xllamacpp
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(work / "f32.gguf")
        parameters.n_ctx = 256
        parameters.warmup = False
        server = xllamacpp.Server(parameters)
        answer = server.handle_completions({"prompt": "And it came to pass", "n_predict": 48, "temperature": 0})
        text = answer["choices"][0]["text"]
        expected = subprocess.run(
            [PANNIER, "run", work / "f32.gguf", "-p", "And it came to pass", "-n", "48", "--temperature", "0"],
            capture_output=True, text=True).stdout
        check("llama.cpp: loads the GGUF and goes on as `pannier run` does",
              len(text) > 40 and expected.rstrip().endswith(text.rstrip()))
    print(f"{common.checks} passed, 0 failed")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
