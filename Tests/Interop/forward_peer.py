"""Compares the forward pass with transformers: random models of every kind that it computes, and one of TinyLlama's size.

For each small model: logits of the sample's held-out kind of text from the Hugging Face folder, from a GGUF and from a
Lit-GPT checkpoint made of it, against transformers in float64, within 1e-5 of the largest logit. For the seeded 1.1 B
model: against transformers in float32, within 1e-3 of the largest.

Usage: forward_peer.py [--small], after `swift build -c release`. Needs torch, transformers, sentencepiece and, without
--small, 12 GB of memory and 5 GB of disk.
"""

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np
import sentencepiece
import torch
import transformers

from common import SAMPLE, pannier

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

TEXT = ("And the LORD said unto Moses, Stretch out thine hand over the sea, that the waters may come again upon the "
        "Egyptians, upon their chariots, and upon their horsemen. And Moses stretched forth his hand over the sea, and "
        "the sea returned to his strength when the morning appeared. ")
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=1024, max_position_embeddings=128)
CONTEXT = 96
# Beyond the 256 tokens that are computed at once: where a batch has to know how long the whole text is.
LONG = {"dynamic": 400}


def rope(kind, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
# The model, and the layouts beside Hugging Face's that can say it.
MODELS = {
    "llama": (transformers.LlamaConfig(**SIZES), ["gguf-llama", "litgpt", "litgpt-tinyllama"]),
    "one query group": (transformers.LlamaConfig(**{**SIZES, "num_key_value_heads": 1}), ["gguf-llama", "litgpt"]),
    "wide heads": (transformers.LlamaConfig(head_dim=24, **SIZES), ["gguf-llama"]),
    "base 500000": (transformers.LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, **SIZES), ["gguf-llama"]),
    "linear": (transformers.LlamaConfig(**rope("linear", factor=4.0), **SIZES), ["gguf-llama", "litgpt"]),
    "llama3": (transformers.LlamaConfig(**LLAMA3, **SIZES), ["gguf-llama"]),
    "dynamic": (transformers.LlamaConfig(**rope("dynamic", factor=2.0), **{**SIZES, "max_position_embeddings": 64}), []),
    "tied": (transformers.LlamaConfig(tie_word_embeddings=True, **SIZES), ["gguf-llama"]),
    "biased": (transformers.LlamaConfig(attention_bias=True, mlp_bias=True, **SIZES), ["gguf-llama"]),
    "mistral": (transformers.MistralConfig(sliding_window=32, **SIZES), []),
    "qwen2": (transformers.Qwen2Config(tie_word_embeddings=True, **SIZES), ["gguf-llama"]),
}


def logits(model, text, folder, context=CONTEXT):
    """The program's logits of the text's first chunk."""
    out = folder / "logits.npy"
    pannier("eval", model, "--text", text, "--context", context, "--chunks", 1, "--logits", out, "--force")
    return np.load(out)


def write_tokenizer(folder):
    for name in ["tokenizer.model", "tokenizer_config.json"]:
        shutil.copy(SAMPLE / name, folder / name)


def random_model(config, folder, dtype=torch.float32):
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Biases and norms begin as zeros and ones: give them something to be wrong about.
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            # And attention as initialised looks everywhere alike: positions would not matter. (Much sharper, and 22 layers
            # would turn f32's own rounding into other choices.)
            if "q_proj.weight" in name or "k_proj.weight" in name:
                parameter.mul_(64 / config.hidden_size**0.5)
    model.save_pretrained(folder, max_shard_size="100GB")
    write_tokenizer(folder)
    return model


def check(what, ours, theirs, tolerance):
    error, largest = np.abs(ours - theirs).max(), np.abs(theirs).max()
    print(f"{'ok  ' if error <= tolerance * largest else 'FAIL'} {what}: largest error {error:.2e} of {largest:.3g}")
    return error <= tolerance * largest


def main():
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(SAMPLE / "tokenizer.model"))
    good = True
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        text = work / "text.txt"
        text.write_text(TEXT * 6)
        ids = torch.tensor([[1] + tokenizer.encode(TEXT * 6)])
        for title, (config, layouts) in MODELS.items():
            folder = work / title.replace(" ", "-")
            model = random_model(config, folder).double()
            with torch.no_grad():
                theirs = model(ids[:, :CONTEXT]).logits[0].numpy()
            good &= check(title, logits(folder, text, work), theirs, 1e-5)
            if context := LONG.get(title):
                with torch.no_grad():
                    theirs = model(ids[:, :context]).logits[0].numpy()
                good &= check(f"{title}, {context} tokens", logits(folder, text, work, context), theirs, 1e-5)
            for layout in layouts:
                other = work / f"{folder.name}-{layout}{'.gguf' if layout == 'gguf-llama' else ''}"
                pannier("convert", folder, "-o", other, "--layout", layout, "--dtype", "f32")
                if other.is_dir():
                    write_tokenizer(other)
                good &= check(f"{title} as {layout}", logits(other, text, work), theirs, 1e-5)
        if "--small" not in sys.argv:
            config = transformers.LlamaConfig(
                hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
                num_key_value_heads=4, vocab_size=32000, max_position_embeddings=2048)
            folder = work / "tinyllama"
            # Loaded again: the model as made keeps its rotary frequencies rounded to bf16, too.
            random_model(config, folder, torch.bfloat16)
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            with torch.no_grad():
                theirs = model(ids[:, :CONTEXT]).logits[0].numpy()
            good &= check("1.1 B, bf16 weights", logits(folder, text, work), theirs, 1e-3)
    sys.exit(0 if good else 1)


main()
