#!/usr/bin/env python3
"""PyTorch files in both directions: every form that torch.save and litgpt write gives the values that torch gives, and
what Pannier writes loads in torch with weights_only=True.

Run by `make interop`; PANNIER in the environment names another binary.
"""

import collections
import json
import os
import pathlib
import shutil
import tempfile
import warnings
import zipfile

import torch
from safetensors.torch import load_file

import common
from common import SAMPLE, check, pannier, run

warnings.filterwarnings("ignore")


def same(a, b):
    def bits(tensor):
        return tensor.contiguous().view(torch.uint8)

    return a.keys() == b.keys() and all(torch.equal(bits(a[k]), bits(b[k])) for k in a)


class Reaching:
    """What a hostile checkpoint holds."""

    def __reduce__(self):
        return os.system, (f"touch {tempfile.gettempdir()}/pannier-interop-was-here",)


def one_storage(tensors):
    """The same tensors as parts of one storage."""
    flat = torch.cat([t.reshape(-1) for t in tensors.values()])
    out, at = {}, 0
    for name, tensor in tensors.items():
        out[name] = flat[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    return out


def forms(tensors):
    """Name and writer of every form in which a state dict comes."""
    def saver(value, **options):
        return lambda path: torch.save(value, path, **options)

    for protocol in (2, 3, 4, 5):
        yield f"zip, protocol {protocol}", saver(tensors, pickle_protocol=protocol)
        yield f"stream, protocol {protocol}", saver(
            tensors, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    transposed = {k: t.t().contiguous().t() if t.dim() == 2 else t for k, t in tensors.items()}
    gapped = {k: torch.stack([t, t], -1)[..., 0] for k, t in tensors.items()}
    for name, value in [
        ("OrderedDict", collections.OrderedDict(tensors)),
        ("parameters", {k: torch.nn.Parameter(t) for k, t in tensors.items()}),
        ("one storage", one_storage(tensors)),
        ("transposed in the file", transposed),
        ("every second element", gapped),
    ]:
        yield f"zip, {name}", saver(value)
        yield f"stream, {name}", saver(value, _use_new_zipfile_serialization=False)

    def without_checksums(path):
        torch.serialization.set_crc32_options(False)
        try:
            torch.save(tensors, path)
        finally:
            torch.serialization.set_crc32_options(True)

    yield "zip without checksums", without_checksums

    def incremental(protocol):
        def write(path):
            from litgpt.utils import incremental_save
            with incremental_save(str(path)) as out:
                out.protocol_version = protocol
                out.save({k: out.store_early(t) for k, t in tensors.items()})
        return write

    for protocol in (2, 5):
        yield f"litgpt's incremental_save, protocol {protocol}", incremental(protocol)


def reading(work, original):
    folder = work / "in"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for number, (name, write) in enumerate(forms(original)):
        write(folder / "pytorch_model.bin")
        out = work / f"out{number}"
        pannier("convert", folder, "-o", out, "--to", "safetensors")
        check(f"read: {name}", same(load_file(out / "model.safetensors"), original))
        shutil.rmtree(out)


def refusing(work, original):
    path = work / "hostile.bin"
    mark = pathlib.Path(tempfile.gettempdir()) / "pannier-interop-was-here"
    mark.unlink(missing_ok=True)
    for protocol in (2, 4):
        for new in (True, False):
            torch.save({"x": Reaching(), **original}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
            done = run("verify", path)
            listed = json.loads(pannier("inspect", path, "--json"))
            check(
                f"refused: os.system, protocol {protocol}, {'zip' if new else 'stream'}",
                done.returncode == 2 and "system" in done.stderr and "system" in json.dumps(listed)
                and not mark.exists())
    plain = work / "plain.bin"
    torch.save(original, plain)
    packed = work / "packed.bin"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    done = run("verify", packed)
    check("refused: a compressed archive", done.returncode == 2 and "compressed" in done.stderr)


def writing(work, original):
    for dtype, kind in [("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)]:
        out = work / dtype
        pannier("convert", SAMPLE, "-o", out, "--to", "pytorch", "--dtype", dtype)
        path = out / "pytorch_model.bin"
        for mmap in (False, True):
            loaded = torch.load(path, weights_only=True, mmap=mmap)
            norms = {k: t.to(loaded[k].dtype) for k, t in original.items()}
            kinds = {t.dtype for t in loaded.values() if t.dim() > 1}
            check(f"written: {dtype}, mmap={mmap}", same(dict(loaded), norms) and kinds == {kind})
        with zipfile.ZipFile(path) as archive:
            check(f"written: {dtype}, every CRC-32 is right", archive.testzip() is None)
        reader = torch._C.PyTorchFileReader(str(path))
        offsets = [reader.get_record_offset(r) for r in reader.get_all_records() if r.startswith("data/")]
        check(f"written: {dtype}, data lie at multiples of 64", all(offset % 64 == 0 for offset in offsets))
    out = work / "shards"
    pannier("convert", SAMPLE, "-o", out, "--to", "pytorch", "--shard-size", "2MB")
    index = json.loads((out / "pytorch_model.bin.index.json").read_text())
    loaded = {}
    for shard in sorted(set(index["weight_map"].values())):
        part = torch.load(out / shard, weights_only=True)
        check(f"written: {shard} holds what the index says", all(index["weight_map"][k] == shard for k in part))
        loaded.update(part)
    check("written: the shards hold every tensor", same(loaded, original))
    back = work / "back"
    pannier("convert", out, "-o", back, "--to", "safetensors")
    check("read: shards with an index", same(load_file(back / "model.safetensors"), original))


def main():
    original = load_file(SAMPLE / "model.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        reading(work, original)
        refusing(work, original)
        writing(work, original)
    print(f"{common.checks} checks")


main()
