// A model's weights as the forward pass meets them: canonical matrices whose rows stay in the file's own bytes.

internal import Bytes
internal import CKernels
public import Layouts
internal import struct Quantization.BlockFormat
public import Tensors

/// Memory of a file that is mapped: its pages come when they are touched, and can be given back.
protocol MappedPages: AnyObject {
    /// Gives the pages back to the system; they are read again when they are needed.
    func releasePages()
    /// The memory, where its pages were not asked for since it was mapped or they were given back. All of it is to be asked
    /// for.
    func takeUnmapped() -> UnsafeRawBufferPointer?
}

/// A weight matrix `[rows, columns]` in some block format. Its rows may lie anywhere, so a fused, interleaved or
/// permuted tensor serves without being copied.
public final class WeightMatrix: @unchecked Sendable {
    public let rows: Int
    public let columns: Int
    public let dtype: DType
    /// Where each row begins.
    private let pointers: UnsafeMutablePointer<UnsafeRawPointer?>
    /// What keeps the bytes alive: mapped files or buffers.
    private let owners: [AnyObject]
    /// The matrix as the kernels take it, for as long as this object lives.
    let kernel: UnsafeMutablePointer<pannier_matrix>
    /// The rows once more, laid out for one token.
    let groups: RowGroups?

    /// - Parameters:
    ///   - pointers: one a row; each has `columns` values of `dtype` behind it.
    ///   - owners: hold the memory that the pointers point to.
    ///   - groups: of the same rows.
    init(
        rows pointers: [UnsafeRawPointer], columns: Int, dtype: DType, owners: [AnyObject], groups: RowGroups? = nil
    ) throws {
        guard let decode = Self.decoder(of: dtype) else {
            throw CheckpointError.unsupported(
                "the forward pass has no kernel for \(dtype)", remedy: "convert the model to f32, f16 or bf16 first")
        }
        guard columns % dtype.blockElements == 0 else {
            throw CheckpointError.unsupported(
                "rows of \(columns) elements are no whole number of \(dtype) blocks",
                expected: "a multiple of \(dtype.blockElements)")
        }
        rows = pointers.count
        self.columns = columns
        self.dtype = dtype
        self.owners = owners
        self.groups = groups
        self.pointers = .allocate(capacity: max(1, pointers.count))
        for (row, pointer) in pointers.enumerated() { (self.pointers + row).initialize(to: pointer) }
        kernel = .allocate(capacity: 1)
        kernel.initialize(
            to: pannier_matrix(
                row: UnsafePointer(self.pointers), rows: Int64(pointers.count), columns: Int64(columns),
                block_elements: Int32(dtype.blockElements), block_bytes: Int32(dtype.blockBytes),
                kind: Self.kind(of: dtype, columns: columns), decode: decode,
                groups: groups.map { UnsafePointer($0.bytes) }))
    }

    deinit {
        pointers.deallocate()
        kernel.deallocate()
    }

    /// A matrix of f32 values of its own.
    package convenience init(values: [Float], columns: Int) throws {
        let buffer = FloatBuffer(values.count)
        for (index, value) in values.enumerated() { buffer.pointer[index] = value }
        let rows = columns > 0 ? values.count / columns : 0
        try self.init(
            rows: (0..<rows).map { UnsafeRawPointer(buffer.pointer + $0 * columns) }, columns: columns, dtype: .f32,
            owners: [buffer])
    }

    /// Bytes of a row.
    var rowBytes: Int { columns / dtype.blockElements * dtype.blockBytes }

    func row(_ index: Int) -> UnsafeRawPointer? { pointers[index] }

    /// Decodes a row exactly into `columns` floats.
    func decode(row index: Int, into target: UnsafeMutablePointer<Float>) {
        kernel.pointee.decode(pointers[index], target, Int64(columns))
    }

    /// Gives mapped pages back. A look at a few rows of an embedding maps the pages around them as well, and those of
    /// all tokens of a long text would stay.
    func releasePages() {
        for owner in owners { (owner as? any MappedPages)?.releasePages() }
    }

    /// Memory whose pages are better asked for together than touched one after another, where all rows are to be read.
    func takeUnmapped() -> [UnsafeRawBufferPointer] {
        owners.compactMap { ($0 as? any MappedPages)?.takeUnmapped() }
    }

    /// All values, row by row.
    package func decoded() -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { buffer, initialized in
            if let base = buffer.baseAddress {
                for row in 0..<rows { decode(row: row, into: base + row * columns) }
            }
            initialized = rows * columns
        }
    }

    /// The same bytes with the rows in another order (or only some of them).
    package func selecting(rows order: [Int]) throws -> WeightMatrix {
        try WeightMatrix(
            rows: order.compactMap { pointers[$0] }, columns: columns, dtype: dtype, owners: [self])
    }

    /// The same rows with their groups beside them, where products with one token gain by that and there is memory.
    func grouped(by pool: WorkerPool) throws -> WeightMatrix? {
        guard let groups = RowGroups(self, pool: pool) else { return nil }
        return try WeightMatrix(
            rows: (0..<rows).compactMap { pointers[$0] }, columns: columns, dtype: dtype, owners: owners, groups: groups)
    }

    private static func kind(of dtype: DType, columns: Int) -> pannier_weight_kind {
        switch dtype {
        case .f32: PANNIER_WEIGHT_F32
        case .f16: PANNIER_WEIGHT_F16
        case .bf16: PANNIER_WEIGHT_BF16
        // These loops take four blocks at a time.
        case .q8_0 where columns % 128 == 0: PANNIER_WEIGHT_Q8_0
        case .q4_0 where columns % 128 == 0: PANNIER_WEIGHT_Q4_0
        case .q4_1 where columns % 128 == 0: PANNIER_WEIGHT_Q4_1
        case .q5_0 where columns % 128 == 0: PANNIER_WEIGHT_Q5_0
        case .q5_1 where columns % 128 == 0: PANNIER_WEIGHT_Q5_1
        case .iq4_nl where columns % 128 == 0: PANNIER_WEIGHT_IQ4_NL
        case .q2_K: PANNIER_WEIGHT_Q2_K
        case .q3_K: PANNIER_WEIGHT_Q3_K
        case .q4_K: PANNIER_WEIGHT_Q4_K
        case .q5_K: PANNIER_WEIGHT_Q5_K
        case .q6_K: PANNIER_WEIGHT_Q6_K
        case .iq4_xs: PANNIER_WEIGHT_IQ4_XS
        default: PANNIER_WEIGHT_OTHER
        }
    }

    private static func decoder(of dtype: DType) -> pannier_decode_fn? {
        switch dtype {
        case .f32: pannier_decode_f32
        case .f16: pannier_f16_to_f32
        case .bf16: pannier_bf16_to_f32
        case .f64: pannier_f64_to_f32
        default:
            BlockFormat.of(dtype).flatMap { format in
                format.dtype.isQuantized ? pannier_dequantizer(Int32(clamping: format.ggmlType)) : nil
            }
        }
    }
}

/// All that the forward pass needs of a model, in canonical (Hugging Face's) order.
public struct ModelWeights: Sendable {
    public var config: ModelConfig
    /// Projections, the embedding and, unless it is tied, the output.
    public var matrices: [TensorRole: WeightMatrix]
    /// Norms and biases.
    public var vectors: [TensorRole: [Float]]
    /// What RoPE's frequencies are divided by, one a pair, where the file has them as a tensor (GGUF's `rope_freqs`).
    public var ropeFactors: [Float]?

    public init(
        config: ModelConfig, matrices: [TensorRole: WeightMatrix], vectors: [TensorRole: [Float]],
        ropeFactors: [Float]? = nil
    ) {
        self.config = config
        self.matrices = matrices
        self.vectors = vectors
        self.ropeFactors = ropeFactors
    }

    func matrix(_ role: Role, layer: Int? = nil) throws -> WeightMatrix {
        let key = TensorRole(role, layer: layer)
        guard let matrix = matrices[key] else { throw missing(key) }
        let shape = try role.shape(in: config)
        guard shape.rows == matrix.rows, shape.columns == matrix.columns else {
            throw CheckpointError.malformed(
                "the tensor does not fit the model", place: "\(key)", expected: "\(shape)",
                found: "[\(matrix.rows), \(matrix.columns)]", remedy: "check the config beside the checkpoint")
        }
        return matrix
    }

    func vector(_ role: Role, layer: Int? = nil) throws -> [Float] {
        let key = TensorRole(role, layer: layer)
        guard let vector = vectors[key] else { throw missing(key) }
        let shape = try role.shape(in: config)
        guard shape.count == vector.count else {
            throw CheckpointError.malformed(
                "the tensor does not fit the model", place: "\(key)", expected: "\(shape)", found: "[\(vector.count)]")
        }
        return vector
    }

    /// A bias, where the model has it.
    func bias(_ role: Role, layer: Int) throws -> [Float]? {
        vectors[TensorRole(role, layer: layer)] == nil ? nil : try vector(role, layer: layer)
    }

    private func missing(_ key: TensorRole) -> CheckpointError {
        .malformed("the checkpoint has no \(key)", remedy: "run pannier verify to see what else is missing")
    }
}
