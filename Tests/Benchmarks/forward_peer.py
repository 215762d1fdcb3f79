"""Tokens a second at which transformers reads a prompt of 256 tokens, as JSON: the peer of bench.py's section forward.

    forward_peer.py FOLDER float32|bfloat16
"""

import json
import os
import statistics
import sys
import time

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(os.cpu_count())
folder, dtype = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True).eval()
ids = torch.tensor([[1 + 37 * i % 900 for i in range(256)]])
taken = []
with torch.inference_mode():
    for _ in range(4):
        begin = time.monotonic()
        model(ids, use_cache=True, logits_to_keep=1)
        taken.append(time.monotonic() - begin)
# The first run touches the weights.
print(json.dumps({"tokens_per_second": 256 / statistics.median(taken[1:])}))
