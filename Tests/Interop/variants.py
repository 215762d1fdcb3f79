"""Models that differ from TinyLlama in one thing, carried to other programs and back.

Tied output, biases, heads of their own width, one key/value head, vocabularies that are no multiple of anything: each is
made with transformers, converted to GGUF, loaded by llama.cpp (xllamacpp), which must go on with the same words, and
carried back to folders that transformers and litgpt load with the same logits. Meta's form is read from parts that torch
cut. Quantized GGUFs are decoded to PyTorch and compared with gguf's own decoding, value by value.

Usage: variants.py, after `swift build -c release`. Needs torch, transformers, litgpt, gguf, xllamacpp.
"""

import json
import re
import shutil
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import gguf
import tokenizers
import torch
import transformers
import xllamacpp
from litgpt import GPT, Config

import common
from common import SAMPLE, check, pannier

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

IDS = [1, 300, 359, 478, 292, 603, 977, 301]
SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=1, eos_token_id=2)
# The model, the tokens that its vocabulary has beyond the tokenizer's 1024, and whether litgpt can say it.
MODELS = {
    "plain": (transformers.LlamaConfig, {}, 0, True),
    "one token more": (transformers.LlamaConfig, {}, 1, True),
    "three tokens more": (transformers.LlamaConfig, {}, 3, True),
    "tied output": (transformers.LlamaConfig, dict(tie_word_embeddings=True), 0, True),
    "one key/value head": (transformers.LlamaConfig, dict(num_key_value_heads=1), 0, True),
    "heads of their own width": (transformers.LlamaConfig, dict(head_dim=32), 0, True),
    "biases": (transformers.LlamaConfig, dict(attention_bias=True), 0, False),
    "Qwen 2, tied": (transformers.Qwen2Config, dict(tie_word_embeddings=True), 0, False),
}


def make(kind, more, extra, folder):
    torch.manual_seed(7)
    config = kind(**{**SIZES, **more}, vocab_size=1024 + extra)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.15))
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ["tokenizer.model", "tokenizer_config.json"]:
        shutil.copy(SAMPLE / name, folder / name)
    if extra:
        (folder / "added_tokens.json").write_text(json.dumps({f"<extra{i}>": 1024 + i for i in range(extra)}))


def byte_level(first, folder):
    """A byte-level BPE whose control tokens have the first ids, as SmolLM's, or follow the vocabulary, as Llama 3's."""
    controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=controls if first else [], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    tokenizer.add_special_tokens(controls)
    (folder / "tokenizer.model").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=controls[0], eos_token=controls[2], add_bos_token=False)))
    return tokenizer


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].double()


def greedy(model, count):
    with torch.no_grad():
        ids = model.generate(torch.tensor([IDS]), max_new_tokens=count, do_sample=False, eos_token_id=None, pad_token_id=0)
    return ids[0, len(IDS):].tolist()


def llama_cpp(path, count):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 128
    parameters.warmup = False
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)
    answer = server.handle_completions(
        {"prompt": IDS, "n_predict": count, "temperature": 0, "n_probs": 1, "ignore_eos": True, "cache_prompt": False})
    return [token["id"] for token in answer["choices"][0]["logprobs"]["content"]]


def decoded(path, heads, kv_heads):
    """gguf's own decoding of a file, under Hugging Face's names and in its order of rows."""
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
             "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    out = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(\w+)", tensor.name)
        stem, ending = (layer[2], layer[3]) if layer else tensor.name.rsplit(".", 1)
        if stem in ("attn_q", "attn_k"):
            count = heads if stem == "attn_q" else kv_heads
            shape = values.shape
            values = values.reshape(count, shape[0] // count // 2, 2, *shape[1:]).transpose(1, 2).reshape(shape)
        out[(f"model.layers.{layer[1]}." if layer else "") + names[stem] + "." + ending] = values
    return out


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for title, (kind, more, extra, says) in MODELS.items():
            print(title)
            source = work / title.replace(" ", "-").replace("/", "-")
            source.mkdir()
            make(kind, more, extra, source)
            model = load(source)
            expected = logits(model)
            file = source.with_suffix(".gguf")
            pannier("convert", source, "-o", file, "--dtype", "f32")
            # llama.cpp's server holds tokens of single bytes back until they are text, and may report their
            # neighbours with them: what it reports must come in transformers' order.
            theirs, ours = llama_cpp(file, 24), iter(greedy(model, 24))
            check("llama.cpp goes on as transformers does", len(theirs) > 12 and all(t in ours for t in theirs))
            for name, arguments in (("a folder with safetensors", []), ("a folder with pytorch_model.bin", ["--to", "pytorch"])):
                back = work / "back"
                pannier("convert", file, "-o", back, "--dtype", "bf16", "--force", *arguments)
                check(f"{name} from the GGUF: the same logits", torch.equal(logits(load(back)), expected))
                shutil.rmtree(back)
            if not says:
                continue
            lit = work / "lit"
            pannier("convert", file, "-o", lit, "--layout", "litgpt", "--dtype", "bf16", "--force")
            network = GPT(Config.from_checkpoint(lit)).float()
            network.load_state_dict(torch.load(lit / "lit_model.pth", weights_only=True, mmap=True), strict=True)
            with torch.no_grad():
                difference = (network(torch.tensor([IDS]))[0].double() - expected).abs().max()
            check("litgpt's folder from the GGUF: the same logits", difference < 1e-4)
            shutil.rmtree(lit)

        print("vocabularies of byte-level BPE")
        for title, first in (("control tokens with the first ids", True), ("control tokens behind the vocabulary", False)):
            source = work / f"bpe-{first}"
            source.mkdir()
            make(transformers.LlamaConfig, dict(bos_token_id=0, eos_token_id=2) if first else {}, 0, source)
            tokenizer = byte_level(first, source)
            pannier("convert", source, "-o", work / "bpe.gguf", "--dtype", "f32", "--force")
            pannier("convert", work / "bpe.gguf", "-o", work / "bpe", "--dtype", "bf16", "--force")
            back = transformers.AutoTokenizer.from_pretrained(work / "bpe")
            check(f"{title}: every token has its id", back.get_vocab() == tokenizer.get_vocab())
            text = "<|im_start|>user\nfor tensor in the file: naïve?<|im_end|>"
            same = back(text, add_special_tokens=False).input_ids == tokenizer.encode(text, add_special_tokens=False).ids
            check(f"{title}: the same ids of a text", same)

        print("Meta's model-parallel parts, cut and saved by torch")
        whole = work / "meta"
        pannier("convert", SAMPLE, "-o", whole, "--layout", "meta")
        state = torch.load(whole / "consolidated.00.pth", weights_only=True)
        for embedding, says in ((1, "Llama 1 and 2"), (0, "Llama 3")):
            for number in range(2):
                part = {}
                for name, tensor in state.items():
                    along = 1 if re.search(r"\.(wo|w2)\.", name) else embedding if "tok_emb" in name else 0
                    part[name] = tensor if tensor.dim() == 1 else tensor.chunk(2, along)[number].clone()
                torch.save(part, whole / f"consolidated.0{number}.pth")
            pannier("verify", whole, "--deep")
            pannier("convert", whole, "-o", work / "joined", "--force")
            same = (work / "joined/model.safetensors").read_bytes() == (SAMPLE / "model.safetensors").read_bytes()
            check(f"{says}: two parts give the sample's file", same)

        print("quantized")
        for kind in ("Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "IQ4_XS", "Q2_K"):
            file = work / f"{kind}.gguf"
            pannier("quantize", SAMPLE, "-o", file, "--type", kind)
            values = decoded(file, 8, 2)
            for dtype, target in (("f32", torch.float32), ("bf16", torch.bfloat16)):
                pannier("convert", file, "-o", work / "decoded", "--to", "pytorch", "--dtype", dtype, "--force")
                state = torch.load(work / "decoded/pytorch_model.bin", weights_only=True)
                same = state.keys() == values.keys() and all(torch.equal(state[k], values[k].to(target)) for k in state)
                check(f"{kind} as {dtype}: gguf's values in every tensor", same)
            check(f"{kind}: transformers loads the folder", logits(load(work / "decoded")).isfinite().all())
    print(f"{common.checks} passed, 0 failed")


main()
