// The list of globals that checkpoints need, and what each of them means to the reader.
//
// Sources: torch/_weights_only_unpickler.py (what PyTorch itself allows), torch/_utils.py and torch/_tensor.py (what the
// rebuilding functions take), torch/storage.py (storage types). Beside these stand a few inert classes that training
// programs leave among their hyperparameters: Namespace, paths, numpy scalars. None of them is ever called.

import Bytes
import Tensors

/// What a global on the list means.
enum TorchRole: Equatable, Sendable {
    /// OrderedDict and its like: empty, of pairs, and filled by SETITEM(S).
    case dictionary
    /// _rebuild_tensor (storage, offset, size, stride), _v2 (…, requires_grad, hooks, metadata),
    /// _v3 (…, requires_grad, hooks, dtype, metadata).
    case rebuildTensor(version: Int)
    /// (tensor, requires_grad, hooks, …)
    case rebuildParameter
    /// (function, class, arguments, state)
    case rebuildFromType
    /// A tensor of a sort that is not carried: sparse, quantized, nested, without data.
    case rebuildUnsupported(String)
    case tensorClass
    /// Nil for storages of quantized numbers.
    case storageType(DType?)
    /// Bytes; the tensor says its dtype.
    case untypedStorage
    /// Nil for those that have no equal here.
    case dtype(DType?)
    /// The tuple it is made of.
    case size
    /// set, frozenset: of one list.
    case set
    case byteArray
    /// `_codecs.encode`: bytes in protocol 2, as text in latin1.
    case encode
    /// Its state is a dictionary of values.
    case namespace
    /// Parts of a path.
    case path
    /// (dtype, bytes)
    case numpyScalar
    case numpyDType
    /// Carried along unread: devices, layouts, arrays, complex numbers.
    case inert
    /// A class of plain values that is handed over and never called: the `int` of `defaultdict(int)`.
    case plainClass

    /// Whether it may stand in a call.
    var isCallable: Bool {
        switch self {
        case .storageType, .untypedStorage, .dtype, .tensorClass, .plainClass: false
        default: true
        }
    }

    /// Whether BUILD may hand its result a state. Never a tensor, which the state could change.
    var takesState: Bool {
        switch self {
        case .dictionary, .namespace, .numpyDType, .inert: true
        default: false
        }
    }
}

enum TorchGlobals {
    /// Module and name, with Python 2's names of modules, which protocols 0 to 2 write, in today's form.
    static func canonical(module: String, name: String) -> String {
        let today =
            switch module {
            case "__builtin__": "builtins"
            case "copy_reg": "copyreg"
            default: module
            }
        return today + "." + name
    }

    static let roles: [String: TorchRole] = {
        var roles: [String: TorchRole] = [
            "collections.OrderedDict": .dictionary,
            "collections.Counter": .dictionary,
            "collections.defaultdict": .dictionary,
            "torch._utils._rebuild_tensor": .rebuildTensor(version: 1),
            "torch._utils._rebuild_tensor_v2": .rebuildTensor(version: 2),
            "torch._utils._rebuild_tensor_v3": .rebuildTensor(version: 3),
            "torch._utils._rebuild_parameter": .rebuildParameter,
            "torch._utils._rebuild_parameter_with_state": .rebuildParameter,
            "torch._tensor._rebuild_from_type_v2": .rebuildFromType,
            "torch._utils._rebuild_sparse_tensor": .rebuildUnsupported("sparse"),
            "torch._utils._rebuild_qtensor": .rebuildUnsupported("quantized"),
            "torch._utils._rebuild_nested_tensor": .rebuildUnsupported("nested"),
            "torch._utils._rebuild_meta_tensor_no_storage": .rebuildUnsupported("data-less (device meta)"),
            "torch._utils._rebuild_device_tensor_from_numpy": .rebuildUnsupported("device-bound"),
            "torch._utils._rebuild_device_tensor_from_cpu_tensor": .rebuildUnsupported("device-bound"),
            "torch._utils._rebuild_wrapper_subclass": .rebuildUnsupported("wrapped"),
            "torch.Tensor": .tensorClass,
            "torch.nn.parameter.Parameter": .tensorClass,
            "torch.nn.parameter.Buffer": .tensorClass,
            "torch.storage.UntypedStorage": .untypedStorage,
            "torch.UntypedStorage": .untypedStorage,
            "torch.Size": .size,
            "torch.device": .inert,
            "torch.serialization._get_layout": .inert,
            "builtins.set": .set,
            "builtins.frozenset": .set,
            "builtins.complex": .inert,
            "builtins.bytearray": .byteArray,
            "_codecs.encode": .encode,
            "builtins.int": .inert,
            "builtins.float": .inert,
            "builtins.list": .inert,
            "builtins.dict": .inert,
            "builtins.str": .plainClass,
            "builtins.bool": .plainClass,
            // What protocols 0 to 2 call int and str.
            "builtins.long": .plainClass,
            "builtins.unicode": .plainClass,
            "argparse.Namespace": .namespace,
            "types.SimpleNamespace": .namespace,
            "numpy.core.multiarray.scalar": .numpyScalar,
            "numpy._core.multiarray.scalar": .numpyScalar,
            "numpy.core.multiarray._reconstruct": .inert,
            "numpy._core.multiarray._reconstruct": .inert,
            "numpy.ndarray": .inert,
            "numpy.dtype": .numpyDType,
        ]
        for name in ["PosixPath", "WindowsPath", "Path", "PurePosixPath", "PureWindowsPath", "PurePath"] {
            roles["pathlib." + name] = .path
            roles["pathlib._local." + name] = .path
        }
        let storages: [(String, DType?)] = [
            ("Double", .f64), ("Float", .f32), ("Half", .f16), ("BFloat16", .bf16), ("Long", .i64), ("Int", .i32),
            ("Short", .i16), ("Char", .i8), ("Byte", .u8), ("Bool", .bool), ("ComplexFloat", .c64),
            ("ComplexDouble", .c128), ("QInt8", nil), ("QUInt8", nil), ("QInt32", nil), ("QUInt4x2", nil),
            ("QUInt2x4", nil),
        ]
        for (name, dtype) in storages {
            roles["torch.\(name)Storage"] = .storageType(dtype)
            roles["torch.cuda.\(name)Storage"] = .storageType(dtype)
        }
        let dtypes: [(String, DType?)] = [
            ("float64", .f64), ("double", .f64), ("float32", .f32), ("float", .f32), ("float16", .f16), ("half", .f16),
            ("bfloat16", .bf16), ("int64", .i64), ("long", .i64), ("int32", .i32), ("int", .i32), ("int16", .i16),
            ("short", .i16), ("int8", .i8), ("uint8", .u8), ("uint16", .u16), ("uint32", .u32), ("uint64", .u64),
            ("bool", .bool), ("complex64", .c64), ("cfloat", .c64), ("complex128", .c128), ("cdouble", .c128),
            ("float8_e5m2", .f8e5m2), ("float8_e4m3fn", .f8e4m3), ("float8_e5m2fnuz", .f8e5m2fnuz),
            ("float8_e4m3fnuz", .f8e4m3fnuz), ("float8_e8m0fnu", .f8e8m0), ("float4_e2m1fn_x2", nil),
            ("complex32", nil), ("chalf", nil), ("qint8", nil), ("quint8", nil), ("qint32", nil), ("quint4x2", nil),
            ("quint2x4", nil), ("bits1x8", nil), ("bits2x4", nil), ("bits4x2", nil), ("bits8", nil), ("bits16", nil),
        ]
        for (name, dtype) in dtypes { roles["torch." + name] = .dtype(dtype) }
        for bits in 1...7 {
            roles["torch.int\(bits)"] = .dtype(nil)
            roles["torch.uint\(bits)"] = .dtype(nil)
        }
        for scheme in ["tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric"] {
            roles["torch.per_" + scheme] = .dtype(nil)
        }
        roles["torch.per_channel_affine_float_qparams"] = .dtype(nil)
        return roles
    }()

    /// What to do about a global outside the list.
    static func remedy(for name: String) -> String {
        let module = name.split(separator: ".").first.map(String.init) ?? name
        if ["os", "posix", "nt", "sys", "subprocess", "builtins", "shutil", "socket", "runpy", "pty", "copyreg extension"]
            .contains(module) || name.hasPrefix("copyreg extension")
        {
            return "no checkpoint needs it: do not load this file with any program; 'pannier inspect' lists all it asks for"
        }
        return "save the plain state_dict() instead of the object that holds it; 'pannier inspect' lists all globals"
    }
}

extension CheckpointError {
    /// The error, after what a pickle asked for until it arose and should not have: whoever looks at a damaged file has to
    /// learn that first.
    func naming(_ globals: [PickleGlobal]) -> CheckpointError {
        let outside = globals.filter { !$0.isAllowed }
        guard !outside.isEmpty else { return self }
        let names = outside.prefix(8).map { String($0.name.prefix(80)) }.joined(separator: ", ")
        let more = outside.count > 8 ? " and \(outside.count - 8) more" : ""
        var error = self
        error.message =
            "DANGER: the pickle asks for \(names)\(more), which checkpoints do not need; nothing was executed; " + message
        error.remedy = remedy ?? "do not load this file with any program"
        return error
    }
}
