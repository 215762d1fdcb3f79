"""Packs a file with zipnn in memory, in pieces of 256 MiB: its size after it, and the seconds for packing and unpacking,
as JSON.

    zipnn_peer.py FILE bfloat16|float32
"""

import json
import os
import sys
import time

import zipnn

PIECE = 256 << 20

size = packing = unpacking = 0
with open(sys.argv[1], "rb") as file:
    # Whole words only.
    while data := file.read(PIECE):
        data = data[: len(data) // 4 * 4]
        # It reorders the bytes that it is given in their own memory.
        original = bytearray(data)
        packer = zipnn.ZipNN(input_format="byte", bytearray_dtype=sys.argv[2], threads=os.cpu_count())
        begin = time.monotonic()
        packed = packer.compress(data)
        middle = time.monotonic()
        unpacked = packer.decompress(packed)
        unpacking += time.monotonic() - middle
        packing += middle - begin
        size += len(packed)
        if unpacked != original:
            sys.exit("zipnn does not give the bytes back")
json.dump({"bytes": size, "packing": packing, "unpacking": unpacking}, sys.stdout)
