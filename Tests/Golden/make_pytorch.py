#!/usr/bin/env python3
"""Makes Tests/ContainersTests/Golden/pytorch: small files written by PyTorch itself, and what they hold.

    python3 Tests/Golden/make_pytorch.py          (needs torch, and litgpt for two of the files)

Each NAME.pt has an entry in expected.json: its tensors by their dotted path (dtype as Pannier calls it, shape, the dense
row-major bytes in hexadecimal, little-endian) and its scalars.
"""

import collections
import json
import pathlib
import sys
import zipfile

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent.parent / "ContainersTests" / "Golden" / "pytorch"

DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.uint16: "U16", torch.int16: "I16",
    torch.uint32: "U32", torch.int32: "I32", torch.uint64: "U64", torch.int64: "I64", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64", torch.complex64: "C64",
    torch.complex128: "C128", torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ", torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e8m0fnu: "F8_E8M0",
}

expected = {}


def raw(tensor):
    tensor = tensor.detach()
    if tensor.numel() == 0:
        return b""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def walk(value, path, tensors, scalars):
    if isinstance(value, torch.Tensor):
        tensors[path] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "bytes": raw(value).hex()}
    elif isinstance(value, dict):
        for key, item in value.items():
            walk(item, f"{path}.{key}" if path else str(key), tensors, scalars)
    elif isinstance(value, (list, tuple)) and not all(isinstance(item, (int, float, str)) for item in value):
        for index, item in enumerate(value):
            walk(item, f"{path}.{index}" if path else str(index), tensors, scalars)
    elif value is not None:
        scalars[path] = list(value) if isinstance(value, tuple) else value


def expect(name, value):
    tensors, scalars = {}, {}
    walk(value, "", tensors, scalars)
    expected[name] = {"tensors": tensors, "scalars": scalars}


def save(name, value, **options):
    torch.save(value, HERE / f"{name}.pt", **options)
    expect(name, value)


def values(count, dtype=torch.float32):
    return (torch.arange(count, dtype=torch.float32) * 0.37 - 1.5).to(dtype)


def training():
    weight = values(12).reshape(3, 4)
    return {
        "model": collections.OrderedDict([("a.weight", weight), ("a.bias", values(3))]),
        "optimizer": {
            "state": {0: {"step": torch.tensor(7.0), "exp_avg": weight * 2}, 1: {"step": torch.tensor(8.0)}},
            "param_groups": [{"lr": 0.001, "betas": (0.9, 0.95), "params": [0, 1], "foreach": None}],
        },
        "hparams": {"name": "tiny", "learning_rate": 4e-4, "flag": True, "n_layer": 4, "big": 2**40, "neg": -3},
        "iter_num": 600,
        "step_count": 150,
    }


def views():
    base = values(60)
    matrix = base.reshape(6, 10)
    cube = values(24, torch.float16).reshape(2, 3, 4)
    return {
        "whole": base,
        "shared": matrix,
        "tail": base[50:],
        "transposed": matrix.t(),
        "columns": matrix[:, 2:5],
        "steps": base[1::7],
        "permuted": cube.permute(2, 0, 1),
        "inner": cube[:, 1, :],
        "expanded": values(3).reshape(3, 1).expand(3, 4),
        "scalar": torch.tensor(2.5),
        "scalar_view": base[7],
        "empty": torch.zeros(0),
        "empty_matrix": torch.zeros(3, 0),
        "ones": matrix[2:3, 4:5],
        "wide": torch.arange(6).to(torch.complex128).reshape(2, 3).t(),
    }


def dtypes():
    out = {}
    for dtype, name in DTYPES.items():
        bytes_ = bytes((i * 29 + 3) % 251 for i in range(4 * torch.tensor([], dtype=dtype).element_size()))
        if dtype == torch.bool:
            bytes_ = bytes([1, 0, 1, 1])
        out[name.lower()] = torch.frombuffer(bytearray(bytes_), dtype=dtype).clone()
    return out


def rebuilt(source, name, edit):
    """Writes an archive again, record by record, through PyTorch's own archive writer."""
    with zipfile.ZipFile(HERE / f"{source}.pt") as archive:
        records = [(i.filename.split("/", 1)[1], archive.read(i)) for i in archive.infolist()]
    records = edit([r for r in records if r[0] not in ("version", ".data/serialization_id")])
    writer = torch._C.PyTorchFileWriter(str(HERE / f"{name}.pt"))
    for record, data in records:
        writer.write_record(record, data, len(data))
    writer.write_end_of_file()


def big_endian(records):
    out = []
    for name, data in records:
        if name == "byteorder":
            data = b"big"
        elif name.startswith("data/"):
            data = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
        out.append((name, data))
    return out


def main():
    HERE.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    for protocol in (2, 3, 4, 5):
        save(f"zip-protocol{protocol}", training(), pickle_protocol=protocol)
        save(f"stream-protocol{protocol}", training(), pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    save("zip-views", views())
    save("stream-views", views(), _use_new_zipfile_serialization=False)
    save("zip-dtypes", dtypes())
    # The newer dtypes have no storage type of their own, and PyTorch itself cannot read them back from a stream.
    typed = {key: value for key, value in dtypes().items() if not key.startswith(("f8", "u16", "u32", "u64"))}
    save("stream-dtypes", typed, _use_new_zipfile_serialization=False)

    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    save("zip-module", module.state_dict())
    tied = nn.Linear(2, 2, bias=False)
    save("zip-parameters", {"p": nn.Parameter(values(4)), "tied": [tied.weight, tied.weight.detach()]})
    attributed = values(4)
    attributed.mark = 1  # a tensor with attributes goes through _rebuild_from_type_v2
    save("zip-from-type", {"t": attributed})
    save("zip-list", [values(2), {"x": values(3)}])
    save("zip-tensor", values(5))
    expected["zip-tensor"]["tensors"] = {"tensor": expected["zip-tensor"]["tensors"].pop("")}
    save("zip-int-keys", {0: values(2), 1: {"7": values(3)}})
    save("zip-numbers", {"x": values(2), "long": 2**63 + 5, "int": -(2**63), "text": "ü\n", "many": list(range(300))})

    torch.serialization.set_crc32_options(False)
    save("zip-no-checksums", {"x": values(3)})
    torch.serialization.set_crc32_options(True)

    # Archives as other versions and programs write them.
    plain = {"w": values(6).reshape(2, 3), "v": values(2)}
    save("zip-plain", plain)
    rebuilt("zip-plain", "zip-big-endian", big_endian)
    rebuilt("zip-plain", "zip-old", lambda r: [x for x in r if x[0] == "data.pkl" or x[0].startswith("data/")])
    rebuilt("zip-plain", "zip-pickle-last", lambda r: [x for x in r if x[0] != "data.pkl"] + [x for x in r if x[0] == "data.pkl"])
    for name in ("zip-big-endian", "zip-old", "zip-pickle-last"):
        expect(name, plain)

    # Lit-GPT's own writer, which numbers its storages; protocol 5 is what TinyLlama's fork used.
    try:
        from litgpt.utils import incremental_save
    except ImportError:
        print("litgpt is not installed: zip-incremental* are not made", file=sys.stderr)
    else:
        for protocol in (2, 5):
            name = f"zip-incremental-protocol{protocol}"
            with incremental_save(str(HERE / f"{name}.pt")) as saver:
                saver.protocol_version = protocol
                state = {"model": {k: saver.store_early(v) for k, v in plain.items()}, "iter_num": 3}
                saver.save(state)
            expect(name, {"model": plain, "iter_num": 3})

    for name, entry in expected.items():
        # weights_only knows no protocol above 3; these files were just made here.
        loaded = torch.load(HERE / f"{name}.pt", weights_only=name[-1] not in "45")
        tensors, scalars = {}, {}
        walk(loaded, "", tensors, scalars)
        if name == "zip-tensor":
            tensors = {"tensor": tensors.pop("")}
        assert tensors == entry["tensors"], name
    text = json.dumps(expected, indent=1)
    (HERE / "expected.json").write_text(text + "\n")
    print(f"{len(expected)} files in {HERE}")


main()
