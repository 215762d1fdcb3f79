// From a recognised checkpoint to the forward pass's weights: mapped where the bytes lie as they are needed, read where
// they do not.

internal import Bytes
internal import CKernels
public import Layouts
internal import Platform
public import Tensors

extension ModelWeights {
    /// Takes every tensor of a model from a checkpoint. Dense tensors are mapped and stay on disk until they are used;
    /// others are read into memory.
    /// - Throws: `malformed` when something is missing or misshapen, `unsupported` for element types that the forward
    ///   pass cannot compute with.
    public init(_ reader: any CheckpointReader, _ match: LayoutMatch) throws {
        try match.requireComplete(file: reader.path)
        let source = TensorSource(reader)
        var matrices: [TensorRole: WeightMatrix] = [:]
        var vectors: [TensorRole: [Float]] = [:]
        for role in TensorRole.all(in: match.config) {
            guard let tensor = match.rows(of: role) else {
                throw CheckpointError.malformed("the checkpoint has no \(role)", file: reader.path)
            }
            if role.role.isNorm || role.role.isBias {
                vectors[role] = try source.vector(tensor)
            } else {
                matrices[role] = try source.matrix(tensor)
            }
        }
        // Llama 3.1's frequencies, as llama.cpp's converter stores them.
        var config = match.config
        let factors = try reader.tensors.first { $0.name == "rope_freqs.weight" }.map { tensor in
            do {
                try RotaryEmbedding.check(factors: tensor.shape.count, of: config)
            } catch let error as CheckpointError {
                throw error.at(file: reader.path, place: tensor.name)
            }
            return try source.floats(tensor)
        }
        // They are the scaling already.
        if factors != nil, case .llama3 = config.ropeScaling { config.ropeScaling = .none }
        self.init(config: config, matrices: matrices, vectors: vectors, ropeFactors: factors)
    }
}

/// Memory that holds a tensor's bytes for as long as it lives.
private final class TensorBytes: MappedPages {
    let bytes: UnsafeRawBufferPointer
    private let owner: MappedFile?
    var isMapped: Bool { owner?.isOnDisk ?? false }
    private var isTaken = false

    init(mapped file: MappedFile, _ bytes: UnsafeRawBufferPointer) {
        owner = file
        self.bytes = bytes
    }

    init(read count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 64)
        owner = nil
        bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        do {
            try fill(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
        } catch {
            buffer.deallocate()
            throw error
        }
    }

    deinit { if owner == nil { bytes.deallocate() } }

    func takeUnmapped() -> UnsafeRawBufferPointer? {
        defer { isTaken = true }
        return isMapped && !isTaken ? bytes : nil
    }

    func releasePages() {
        isTaken = false
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        guard isMapped, page > 0, let base = bytes.baseAddress else { return }
        // Whole pages of this tensor only. The file's bytes stay in the system's cache.
        let start = (Int(bitPattern: base) + page - 1) / page * page
        let end = (Int(bitPattern: base) + bytes.count) / page * page
        guard end > start, let from = UnsafeMutableRawPointer(bitPattern: start) else { return }
        madvise(from, end - start, Int32(MADV_DONTNEED))
    }
}

private final class TensorSource {
    private let reader: any CheckpointReader
    private var mapped: [String: MappedFile] = [:]
    private var tensors: [Int: TensorBytes] = [:]

    init(_ reader: any CheckpointReader) { self.reader = reader }

    func matrix(_ tensor: CanonicalTensor) throws -> WeightMatrix {
        let rows = tensor.shape.rows, columns = tensor.shape.columns
        var pointers: [UnsafeRawPointer] = []
        var owners: [ObjectIdentifier: AnyObject] = [:]
        var dtype: DType?
        pointers.reserveCapacity(rows)
        for run in tensor.runs {
            let info = reader.tensors[run.tensor]
            guard dtype == nil || dtype == info.dtype else {
                throw CheckpointError.unsupported("parts of \(tensor.role) have different types", place: info.name)
            }
            dtype = info.dtype
            let bytes = try bytes(run.tensor)
            owners[ObjectIdentifier(bytes)] = bytes
            // The tensor's size was checked against its shape when the file was opened.
            guard let rowBytes = info.dtype.byteCount(elements: columns), let base = bytes.bytes.baseAddress,
                run.count > 0, run.storedRow >= 0, run.storedStep > 0,
                let end = rowBytes.multiplied(by: run.storedRow + (run.count - 1) * run.storedStep + 1),
                end <= bytes.bytes.count
            else {
                throw CheckpointError.malformed("the tensor is too small for its rows", place: info.name)
            }
            for row in 0..<run.count { pointers.append(base + (run.storedRow + row * run.storedStep) * rowBytes) }
        }
        guard let dtype, pointers.count == rows else {
            throw CheckpointError.malformed("rows of \(tensor.role) are missing", file: reader.path)
        }
        do {
            return try WeightMatrix(rows: pointers, columns: columns, dtype: dtype, owners: Array(owners.values))
        } catch let error as CheckpointError {
            throw error.at(file: reader.path, place: "\(tensor.role)")
        }
    }

    func vector(_ tensor: CanonicalTensor) throws -> [Float] {
        var values = [Float](repeating: 0, count: tensor.shape.count)
        for run in tensor.runs {
            let stored = try floats(reader.tensors[run.tensor])
            for index in 0..<run.count {
                let from = run.storedRow + index * run.storedStep, to = run.canonicalRow + index
                guard stored.indices.contains(from), values.indices.contains(to) else {
                    throw CheckpointError.malformed(
                        "the tensor is too small", place: reader.tensors[run.tensor].name, expected: "\(tensor.shape)")
                }
                values[to] = stored[from]
            }
        }
        return values
    }

    /// A small tensor's values.
    func floats(_ info: TensorInfo) throws -> [Float] {
        let bytes = try reader.readAll(info)
        return try bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, info.shape.count > 0 else { return [] }
            do {
                return try WeightMatrix(rows: [base], columns: info.shape.count, dtype: info.dtype, owners: []).decoded()
            } catch let error as CheckpointError {
                throw error.at(file: reader.path, place: info.name)
            }
        }
    }

    private func bytes(_ index: Int) throws -> TensorBytes {
        if let known = tensors[index] { return known }
        let info = reader.tensors[index]
        let bytes: TensorBytes
        if info.isDenseNative, let place = try mapped(info) {
            bytes = place
        } else {
            bytes = try TensorBytes(read: info.byteCount) {
                try reader.read(info, elements: 0..<info.shape.count, into: $0)
            }
        }
        tensors[index] = bytes
        return bytes
    }

    /// The tensor's bytes in the mapped file; nil where the file is not as long as it said.
    private func mapped(_ info: TensorInfo) throws -> TensorBytes? {
        let path = info.extent.file.path
        let file: MappedFile
        if let known = mapped[path] {
            file = known
        } else {
            file = try info.extent.file.map()
            mapped[path] = file
        }
        guard let start = Int(exactly: info.extent.offset), let end = start.adding(info.byteCount),
            end <= file.bytes.count, UInt64(info.byteCount) <= info.extent.count
        else { return nil }
        return TensorBytes(mapped: file, UnsafeRawBufferPointer(rebasing: file.bytes[start..<end]))
    }
}
