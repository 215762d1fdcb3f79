"""Carries small random models through every layout and back, and loads what is written in the programs it is for.

For each model (a plain Llama, one with tied output and its own head width, one with biases and Llama 3's RoPE, Mistral,
Qwen2): every layout and container that can say it, back to Hugging Face's, every tensor bit for bit; litgpt builds the
model from model_config.yaml, takes the weights with strict=True and gives transformers' logits; transformers loads the
folder that came back.

Usage: layouts_peer.py, after `swift build -c release`. Needs torch, safetensors, transformers and litgpt.
"""

import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import torch
import transformers
from litgpt import GPT, Config
from safetensors.torch import load_file

from common import pannier, run

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

LAYOUTS = ["litgpt", "litgpt-early", "litgpt-tinyllama", "meta", "gguf-llama"]
IDS = torch.tensor([[1, 5, 77, 30, 90, 12, 44]])
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=100, max_position_embeddings=64)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32, "rope_theta": 10000.0}

# The model, and the layouts that cannot say it.
MODELS = {
    "llama": (transformers.LlamaConfig(**SIZES), set()),
    "linear": (transformers.LlamaConfig(
        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}, **SIZES), {"meta"}),
    "tied": (transformers.LlamaConfig(tie_word_embeddings=True, head_dim=32, **SIZES),
             {"litgpt-early", "litgpt-tinyllama", "meta"}),
    "biased": (transformers.LlamaConfig(attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3, **SIZES),
               {"litgpt-early", "litgpt-tinyllama", "meta"}),
    "mistral": (transformers.MistralConfig(sliding_window=None, **SIZES), set()),
    "qwen2": (transformers.Qwen2Config(tie_word_embeddings=True, **SIZES), {"litgpt-early", "litgpt-tinyllama", "meta"}),
}


def make(name, config, folder):
    torch.manual_seed(len(name))
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.1
    model.to(torch.bfloat16).save_pretrained(folder)


def logits(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits


def litgpt_logits(folder):
    model = GPT(Config.from_checkpoint(folder))
    weights = load_file(folder / "model.safetensors") if (folder / "model.safetensors").exists() else torch.load(
        folder / "lit_model.pth", weights_only=True)
    model.load_state_dict(weights.get("model", weights), strict=True)
    return model.float()(IDS)


def main():
    checks = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for name, (config, unsayable) in MODELS.items():
            source = work / name
            make(name, config, source)
            pannier("verify", source)
            expected, tensors = logits(source), load_file(source / "model.safetensors")
            for layout in LAYOUTS:
                for container in ["gguf"] if layout == "gguf-llama" else ["pytorch", "safetensors"]:
                    there = work / f"{name}-{layout}-{container}{'.gguf' if container == 'gguf' else ''}"
                    if layout in unsayable:
                        done = run("convert", source, "-o", there, "--to", container, "--layout", layout)
                        assert done.returncode == 2 and not there.exists(), (name, layout, done.returncode)
                        checks += 1
                        continue
                    pannier("convert", source, "-o", there, "--to", container, "--layout", layout)
                    pannier("verify", there)
                    back = work / f"{there.name}-back"
                    pannier("convert", there, "-o", back, "--to", "safetensors", "--layout", "hf-llama")
                    returned = load_file(back / "model.safetensors")
                    for key, tensor in tensors.items():
                        assert torch.equal(tensor, returned[key]), (name, layout, container, key)
                    assert set(returned) - set(tensors) <= {"lm_head.weight"}, (name, layout, container)
                    difference = (logits(back) - expected).abs().max().item()
                    assert difference < 1e-5, (name, layout, container, difference)
                    if layout == "litgpt":
                        difference = (litgpt_logits(there) - expected).abs().max().item()
                        assert difference < 1e-4, (name, layout, container, difference)
                    checks += 1
            print(f"{name}: {type(config).__name__} is the same after every layout that can say it")
    print(f"{checks} conversions checked")


if __name__ == "__main__":
    main()
