// The pickle of a dictionary of tensors, protocol 2, as torch.save writes it and torch.load(weights_only=True) reads it.

import Bytes
import Tensors

struct PickleWriter {
    private(set) var bytes: [UInt8] = []
    /// The memo's index of each global and of texts that come again.
    private var memo: [String: UInt32] = [:]

    /// {name: tensor}, where tensor i is the whole of storage i.
    static func stateDict(_ tensors: [TensorPlan]) throws -> [UInt8] {
        var writer = PickleWriter()
        writer.add(.proto)
        writer.bytes.append(2)
        writer.add(.emptyDict)
        // A mark for every thousand, as Python's pickler does, keeps the reader's stack low.
        for start in stride(from: 0, to: tensors.count, by: 1000) {
            writer.add(.mark)
            for index in start..<min(start + 1000, tensors.count) {
                writer.text(tensors[index].name)
                try writer.tensor(tensors[index], key: String(index))
            }
            writer.add(.setItems)
        }
        writer.add(.stop)
        return writer.bytes
    }

    private mutating func add(_ opcode: PickleOpcode) { bytes.append(opcode.rawValue) }

    private mutating func tensor(_ tensor: TensorPlan, key: String) throws {
        guard let torch = TorchNames(tensor.dtype) else {
            throw CheckpointError(
                .usage, "PyTorch has no \(tensor.dtype)", place: tensor.name,
                remedy: "choose --dtype f32, f16 or bf16")
        }
        let (count, byteCount) = (tensor.shape.count, tensor.byteCount)
        global("torch._utils", torch.isTyped ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3")
        add(.mark)
        add(.mark)
        repeated("storage")
        if torch.isTyped { global("torch", torch.storage) } else { global("torch.storage", "UntypedStorage") }
        text(key)
        repeated("cpu")
        integer(torch.isTyped ? count : byteCount)
        add(.tuple)
        add(.binPersID)
        integer(0)
        integers(tensor.shape.dimensions)
        var strides = tensor.shape.dimensions
        var stride = 1
        for at in strides.indices.reversed() {
            strides[at] = stride
            stride *= max(1, tensor.shape.dimensions[at])
        }
        integers(strides)
        add(.newFalse)
        global("collections", "OrderedDict")
        add(.emptyTuple)
        add(.reduce)
        if !torch.isTyped { global("torch", torch.dtype) }
        add(.tuple)
        add(.reduce)
    }

    private mutating func global(_ module: String, _ name: String) {
        remembered(module + "\n" + name + "\n") { writer in
            writer.add(.global)
            writer.bytes += (module + "\n" + name + "\n").utf8
        }
    }

    private mutating func repeated(_ text: String) {
        remembered(text) { $0.text(text) }
    }

    private mutating func remembered(_ what: String, _ make: (inout PickleWriter) -> Void) {
        if let index = memo[what] {
            add(.binGet)
            bytes.append(UInt8(truncatingIfNeeded: index))
            return
        }
        make(&self)
        let index = UInt32(memo.count)
        memo[what] = index
        add(.binPut)
        bytes.append(UInt8(truncatingIfNeeded: index))  // a few dozen at most: the names of types
    }

    private mutating func text(_ text: String) {
        add(.binUnicode)
        bytes.appendInteger(UInt32(clamping: text.utf8.count))
        bytes += text.utf8
    }

    private mutating func integer(_ value: Int) {
        switch value {
        case 0...0xFF:
            add(.binInt1)
            bytes.append(UInt8(truncatingIfNeeded: value))
        case 0x100...0xFFFF:
            add(.binInt2)
            bytes.appendInteger(UInt16(truncatingIfNeeded: value))
        case Int(Int32.min)...Int(Int32.max):
            add(.binInt)
            bytes.appendInteger(Int32(truncatingIfNeeded: value))
        default:
            add(.long1)
            bytes.append(8)
            bytes.appendInteger(Int64(value))
        }
    }

    private mutating func integers(_ values: [Int]) {
        switch values.count {
        case 0: add(.emptyTuple)
        case 1...3:
            for value in values { integer(value) }
            add([.tuple1, .tuple2, .tuple3][values.count - 1])
        default:
            add(.mark)
            for value in values { integer(value) }
            add(.tuple)
        }
    }
}

/// What PyTorch calls a dtype. The newer ones have no storage type of their own.
private struct TorchNames {
    let storage: String
    let dtype: String
    var isTyped: Bool { !storage.isEmpty }

    init?(_ dtype: DType) {
        switch dtype {
        case .bool: (storage, self.dtype) = ("BoolStorage", "bool")
        case .u8: (storage, self.dtype) = ("ByteStorage", "uint8")
        case .i8: (storage, self.dtype) = ("CharStorage", "int8")
        case .i16: (storage, self.dtype) = ("ShortStorage", "int16")
        case .i32: (storage, self.dtype) = ("IntStorage", "int32")
        case .i64: (storage, self.dtype) = ("LongStorage", "int64")
        case .f16: (storage, self.dtype) = ("HalfStorage", "float16")
        case .bf16: (storage, self.dtype) = ("BFloat16Storage", "bfloat16")
        case .f32: (storage, self.dtype) = ("FloatStorage", "float32")
        case .f64: (storage, self.dtype) = ("DoubleStorage", "float64")
        case .c64: (storage, self.dtype) = ("ComplexFloatStorage", "complex64")
        case .c128: (storage, self.dtype) = ("ComplexDoubleStorage", "complex128")
        case .u16: (storage, self.dtype) = ("", "uint16")
        case .u32: (storage, self.dtype) = ("", "uint32")
        case .u64: (storage, self.dtype) = ("", "uint64")
        case .f8e5m2: (storage, self.dtype) = ("", "float8_e5m2")
        case .f8e4m3: (storage, self.dtype) = ("", "float8_e4m3fn")
        case .f8e5m2fnuz: (storage, self.dtype) = ("", "float8_e5m2fnuz")
        case .f8e4m3fnuz: (storage, self.dtype) = ("", "float8_e4m3fnuz")
        case .f8e8m0: (storage, self.dtype) = ("", "float8_e8m0fnu")
        default: return nil
        }
    }
}
