"""Packs a file with zipnn in memory: its size after it, and the seconds for packing and unpacking, as JSON.

    zipnn_peer.py FILE bfloat16|float32
"""

import json
import os
import sys
import time

import zipnn

data = open(sys.argv[1], "rb").read()
# Whole words only.
data = data[: len(data) // 4 * 4]
packer = zipnn.ZipNN(input_format="byte", bytearray_dtype=sys.argv[2], threads=os.cpu_count())
begin = time.monotonic()
packed = packer.compress(data)
middle = time.monotonic()
unpacked = packer.decompress(packed)
end = time.monotonic()
# It reorders the bytes that it is given in their own memory, so they are read again.
if bytes(unpacked) != open(sys.argv[1], "rb").read(len(unpacked)) or len(unpacked) != len(data):
    sys.exit("zipnn does not give the bytes back")
json.dump({"bytes": len(packed), "packing": middle - begin, "unpacking": end - middle}, sys.stdout)
