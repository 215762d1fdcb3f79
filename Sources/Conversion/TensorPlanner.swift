// The tensors of a conversion: which rows of the source make up each tensor of the target layout, and in which dtype.

internal import Bytes
internal import Layouts
internal import Quantization
public import Tensors

/// The precision that is asked for.
public enum Precision: Sendable, Hashable {
    /// The source's own, tensor by tensor: nothing is lost unasked.
    case source
    case fixed(DType)
}

/// Plans the tensors of a model in a target layout.
struct TensorPlanner {
    let source: ModelSource
    let layout: Layout
    let container: ContainerKind
    let precision: Precision

    /// Every tensor of the target, in the order of the source where the target is GGUF (as llama.cpp's converter
    /// writes them) and in the layout's natural order elsewhere.
    /// - Throws: `malformed` when the source lacks a tensor; `unsupported` when a dtype cannot be had.
    func steps() throws -> [ConversionStep] {
        try source.match.requireComplete(file: source.path)
        var steps: [(order: Int, step: ConversionStep)] = []
        let common = try commonHalf(), places = places()
        for spec in try layout.specs(for: source.config) {
            guard let segments = try segments(of: spec) else { continue }
            let from = Set(segments.map(\.tensor)).map { source.reader.tensors[$0].dtype }
            let widest = Self.widest(from)
            let dtype = try target(for: spec, from: from, widest: widest, common: common)
            let target: TensorPlan
            do {
                target = try TensorPlan(name: spec.name, dtype: dtype, shape: spec.shape)
            } catch let error as CheckpointError {
                throw error.at(file: source.path)
            }
            let order = segments.map { places[$0.tensor] }.min() ?? 0
            steps.append((order, ConversionStep(target: target, origin: .rows(segments), from: widest)))
        }
        guard container == .gguf else { return steps.map(\.step) }
        return steps.enumerated()
            .sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }
            .map(\.element.step)
    }

    /// The place of each of the source's tensors in llama.cpp's order: that of a safetensors file goes by names, where the file
    /// itself has the wider dtypes first (SafetensorsLocal in gguf-py/gguf/utility.py).
    private func places() -> [Int] {
        let tensors = source.reader.tensors
        guard source.reader.kind == .safetensors else { return Array(tensors.indices) }
        var files: [String: Int] = [:]
        for tensor in tensors where files[tensor.extent.file.path] == nil { files[tensor.extent.file.path] = files.count }
        let keys = tensors.map { (file: files[$0.extent.file.path] ?? 0, name: Array($0.name.utf8)) }
        let sorted = tensors.indices.sorted { a, b in
            if keys[a].file != keys[b].file { return keys[a].file < keys[b].file }
            return keys[a].name.lexicographicallyPrecedes(keys[b].name)
        }
        var places = [Int](repeating: 0, count: tensors.count)
        for (place, tensor) in sorted.enumerated() { places[tensor] = place }
        return places
    }

    /// Where the rows of a target tensor lie in the source; nil for an optional tensor that the source does not store.
    private func segments(of spec: StoredSpec) throws -> [RowSegment]? {
        if spec.optional, spec.roles.allSatisfy({ !source.match.stores($0) }) { return nil }
        var canonical: [TensorRole: [SourceRun]] = [:]
        var segments: [RowSegment] = []
        for run in spec.runs {
            if canonical[run.role] == nil {
                guard let found = source.match.rows(of: run.role) else {
                    throw CheckpointError.malformed(
                        "the source has no \(run.role)", file: source.path, place: spec.name,
                        remedy: "`pannier verify` lists what is missing")
                }
                canonical[run.role] = found.runs
            }
            let end = run.canonicalRow + run.count
            for piece in canonical[run.role] ?? [] {
                let first = max(run.canonicalRow, piece.canonicalRow)
                let last = min(end, piece.canonicalRow + piece.count)
                guard first < last else { continue }
                segments.append(
                    RowSegment(
                        tensor: piece.tensor,
                        sourceRow: piece.storedRow + (first - piece.canonicalRow) * piece.storedStep,
                        sourceStep: piece.storedStep,
                        targetRow: run.storedRow + (first - run.canonicalRow) * run.storedStep,
                        targetStep: run.storedStep, count: last - first))
            }
        }
        return segments
    }

    /// The dtype that holds every value of several dtypes.
    private static func widest(_ dtypes: [DType]) -> DType {
        let distinct = Set(dtypes)
        guard distinct.count > 1 else { return dtypes.first ?? .f32 }
        return distinct.contains(.f64) ? .f64 : .f32
    }

    private func target(
        for spec: StoredSpec, from: [DType], widest: DType, common: DType?
    ) throws -> DType {
        if let odd = from.first(where: { !$0.isFloat && !$0.isQuantized }) { try checkCarried(odd, as: spec.name) }
        let isVector = spec.shape.rank <= 1 || spec.roles.allSatisfy(\.role.isNorm)
        switch (container, precision) {
        case (.gguf, .source):
            return isVector && widest.isFloat || widest == .f64 ? .f32 : widest
        case (.gguf, .fixed(let dtype)):
            if isVector { return .f32 }
            // Where rows are no whole blocks llama.cpp's converter falls back to F16.
            return spec.shape.columns % dtype.blockElements == 0 ? dtype : .f16
        case (_, .source):
            if widest.isQuantized { return .f32 }
            if isVector, widest == .f32, let common, try isExact(spec, in: common) { return common }
            return widest
        case (_, .fixed(let dtype)):
            try Self.check(dtype, in: container)
            return dtype
        }
    }

    /// 8-bit floats and their like mean something only with scales that lie beside them, so they are never turned into
    /// other floats.
    /// - Throws: `unsupported` where they would have to be.
    private func checkCarried(_ dtype: DType, as name: String) throws {
        let isHeld = container == .safetensors || container == .pytorch && !Self.unknownToPyTorch.contains(dtype)
        guard precision != .source || !isHeld else { return }
        let remedy =
            precision != .source && isHeld
            ? "leave --dtype out, and they are carried as they are"
            : "carry them as they are with --to safetensors and without --dtype, or decode them with their scales first"
        throw CheckpointError.unsupported(
            "\(dtype) values are carried as they are, never turned into other floats", file: source.path, place: name,
            expected: "floats of 16 bits or more, or blocks of GGUF", found: "\(dtype)", remedy: remedy)
    }

    private static let unknownToPyTorch: Set<DType> = [.f4, .f6e2m3, .f6e3m2]

    /// - Throws: `usage` for a block format outside GGUF.
    static func check(_ dtype: DType, in container: ContainerKind) throws {
        guard dtype.isQuantized, container != .gguf else { return }
        throw CheckpointError(
            .usage, "\(dtype) is a block format of GGUF; \(container.rawValue) files hold plain floats",
            remedy: "choose --to gguf, or --dtype f32, f16 or bf16")
    }

    /// The half precision that all matrices of the source have, if they do. GGUF keeps vectors in f32 beside them;
    /// the other containers do not, and get them back in the half precision where that loses nothing.
    private func commonHalf() throws -> DType? {
        guard source.reader.kind == .gguf, container != .gguf, precision == .source else { return nil }
        let matrices = Set(
            source.match.matched.map { source.reader.tensors[$0.tensor] }.filter { $0.shape.rank > 1 }.map(\.dtype))
        guard let only = matrices.first, matrices.count == 1, only == .f16 || only == .bf16 else { return nil }
        return only
    }

    /// Whether every value of a (small) f32 tensor can be said in a half precision.
    private func isExact(_ spec: StoredSpec, in half: DType) throws -> Bool {
        let there = try ElementConverter(from: .f32, to: half)
        let back = try ElementConverter(from: half, to: .f32)
        for index in Set((try segments(of: spec) ?? []).map(\.tensor)) {
            let tensor = source.reader.tensors[index]
            let bytes = try source.reader.readAll(tensor)
            let count = tensor.shape.count
            guard bytes.count == count * 4 else { return false }
            var halves = [UInt8](repeating: 0, count: count * 2)
            var again = [UInt8](repeating: 0, count: count * 4)
            let none = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)
            bytes.withUnsafeBytes { bytes in
                halves.withUnsafeMutableBytes { halves in
                    _ = there.convert(bytes, into: halves, rows: 1, columns: count, floats: none, importance: nil)
                    again.withUnsafeMutableBytes {
                        _ = back.convert(
                            UnsafeRawBufferPointer(halves), into: $0, rows: 1, columns: count, floats: none,
                            importance: nil)
                    }
                }
            }
            if again != bytes { return false }
        }
        return true
    }
}
