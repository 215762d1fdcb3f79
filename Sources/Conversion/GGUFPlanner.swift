// The plan of a GGUF: tensors in llama.cpp's order and types, and the metadata that its converter writes.

internal import Bytes
internal import Layouts
internal import ModelFiles
internal import OrderedCollections
internal import Quantization
internal import Tensors

/// Plans a GGUF file from any source.
struct GGUFPlanner {
    private let source: ModelSource
    private let request: ConversionRequest

    init(_ source: ModelSource, _ request: ConversionRequest) {
        self.source = source
        self.request = request
    }

    func plan() throws -> ConversionPlan {
        var steps: [ConversionStep] = []
        if !request.vocabularyOnly {
            steps = try TensorPlanner(
                source: source, layout: request.layout, container: .gguf, precision: request.precision
            ).steps()
            if source.reader.kind != .gguf, let factors = RoPEFactors.values(for: source.config) {
                steps.insert(try Self.factorStep(factors), at: 0)
            }
            steps += try extraSteps()
        }
        var (metadata, warnings) = try metadata(steps)
        for (key, value) in request.overrides { metadata[key] = value }
        return ConversionPlan(steps: steps, metadata: metadata, warnings: source.warnings + warnings)
    }

    private static func factorStep(_ factors: [Float]) throws -> ConversionStep {
        guard let shape = Shape([factors.count]) else {
            throw CheckpointError.malformed("too many RoPE factors", place: RoPEFactors.tensorName)
        }
        let bytes = factors.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        return ConversionStep(
            target: try TensorPlan(name: RoPEFactors.tensorName, dtype: .f32, shape: shape), origin: .bytes(bytes),
            from: .f32)
    }

    /// The factors that a GGUF source holds already.
    private func extraSteps() throws -> [ConversionStep] {
        guard source.reader.kind == .gguf else { return [] }
        var steps: [ConversionStep] = []
        for (index, tensor) in source.reader.tensors.enumerated() where tensor.name == RoPEFactors.tensorName {
            let segment = RowSegment(
                tensor: index, sourceRow: 0, sourceStep: 1, targetRow: 0, targetStep: 1, count: tensor.shape.rowCount)
            steps.append(
                ConversionStep(
                    target: try TensorPlan(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape),
                    origin: .rows([segment]), from: tensor.dtype))
        }
        return steps
    }

    // MARK: Metadata

    private func metadata(_ steps: [ConversionStep]) throws -> (Metadata, [String]) {
        let fileType = Self.fileType(of: steps, precision: request.precision)
        if source.reader.kind == .gguf {
            var metadata = source.reader.metadata
            for key in ["split.no", "split.count", "split.tensors.count"] { metadata.removeValue(forKey: key) }
            if let fileType, request.precision != .source { metadata["general.file_type"] = .u32(fileType.rawValue) }
            if let name = request.modelName { metadata["general.name"] = .string(name) }
            return (metadata, [])
        }
        let builder = GGUFMetadataBuilder(
            config: source.config, folder: try ModelFolder(reading: source.folder, name: source.name),
            modelName: request.modelName, fileType: fileType ?? .f32,
            parameters: steps.reduce(0) { $0 + $1.target.shape.count })
        return try builder.build()
    }

    /// `general.file_type`: what was asked for, or the type that most bytes of the matrices have.
    private static func fileType(of steps: [ConversionStep], precision: Precision) -> GGUFFileType? {
        if case .fixed(let dtype) = precision { return GGUFFileType(dtype) }
        var bytes: OrderedDictionary<DType, Int> = [:]
        for step in steps where step.target.shape.rank > 1 {
            bytes[step.target.dtype, default: 0] += step.target.byteCount
        }
        return bytes.elements.max { $0.value < $1.value }.flatMap { GGUFFileType($0.key) }
    }
}
