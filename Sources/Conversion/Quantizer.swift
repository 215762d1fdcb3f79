// The whole road of a quantization, in one pass from any source.

internal import Bytes
internal import Containers
internal import OrderedCollections
public import Quantization
internal import Tensors

/// Quantizes an open, recognised checkpoint to GGUF.
public struct Quantizer: Sendable {
    private let converter: Converter
    /// What was chosen for a target size, in words.
    public let choice: String?
    /// The file type that was asked for, or chosen for a target size.
    public let fileType: FileType
    public var plan: ConversionPlan { converter.plan }

    /// Plans the quantization; nothing is written.
    public init(_ source: ModelSource, _ conversion: ConversionRequest, _ request: QuantizationRequest) throws {
        var conversion = conversion
        conversion.precision = .source
        let plain = try GGUFPlanner(source, conversion).plan()
        let (plan, fileType, choice) = try QuantizationPlanner(source, request).plan(plain)
        self.choice = choice
        self.fileType = fileType
        var split: [[Int]]?
        if request.keepSplit, source.reader.files.count > 1 { split = source.parts(of: plan.steps) }
        converter = Converter(source, conversion, plan: plan, split: split)
    }

    public func outputBytes() throws -> UInt64 { try converter.outputBytes() }

    /// Carries out the plan; see `Converter.run`.
    @discardableResult
    public func run(
        compareEvery: Int = 0, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> Converter.Outcome {
        try converter.run(compareEvery: compareEvery, progress: progress)
    }
}

extension ModelSource {
    /// The places of the steps that are made of each of the source's files, for an output in as many parts.
    func parts(of steps: [ConversionStep]) -> [[Int]] {
        var parts = [[Int]](repeating: [], count: reader.files.count)
        for (index, step) in steps.enumerated() {
            var part = 0
            if case .rows(let segments) = step.origin, let first = segments.first {
                let file = reader.tensors[first.tensor].extent.file.path
                part = reader.files.firstIndex { $0.path == file } ?? 0
            }
            parts[part].append(index)
        }
        return parts
    }
}

extension ImportanceMatrix {
    /// Reads an importance matrix in its GGUF form, or in the older .dat form.
    ///
    /// The GGUF form holds `NAME.in_sum2` and `NAME.counts` in F32 for every tensor (llama.cpp's tools/imatrix).
    public init(file path: String) throws {
        let file = try File(path)
        guard try file.size >= 4 && file.bytes(at: 0, count: 4) == Array("GGUF".utf8) else {
            try self.init(dat: file)
            return
        }
        let reader = try GGUFReader(path)
        self.init()
        if case .strings(let names)? = reader.metadata["imatrix.datasets"]?.array { datasets = names }
        chunkCount = reader.metadata["imatrix.chunk_count"]?.integer ?? 0
        var allowance = Allowance()
        let sumsEnding = ".in_sum2"
        let byName = Dictionary(reader.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for tensor in reader.tensors where tensor.name.hasSuffix(sumsEnding) {
            let name = String(tensor.name.dropLast(sumsEnding.count))
            guard let counts = byName[name + ".counts"], tensor.dtype == .f32, counts.dtype == .f32 else {
                throw CheckpointError.malformed(
                    "sums and counts of the importance matrix do not pair up", file: path, place: name,
                    expected: "\(name).in_sum2 and \(name).counts in F32")
            }
            do {
                for part in [tensor, counts] { try allowance.take(part.shape.count, for: part.name) }
                try add(name: name, sums: Self.floats(reader, tensor), counts: Self.floats(reader, counts))
            } catch let error as CheckpointError {
                throw error.at(file: path)
            }
        }
        guard !entries.isEmpty else {
            throw CheckpointError.malformed(
                "the file holds no importance matrix", file: path, expected: "tensors named NAME.in_sum2",
                remedy: "make one with `pannier imatrix MODEL --text FILE -o imatrix.gguf`")
        }
    }

    private static func floats(_ reader: GGUFReader, _ tensor: TensorInfo) throws -> [Float] {
        try reader.readAll(tensor).withUnsafeBytes { raw in
            (0..<tensor.shape.count).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
    }
}
