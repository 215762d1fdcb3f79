// A block format: how rows of numbers become blocks and come back. One file a family in Formats/, one registry here.

internal import CKernels
public import Tensors

/// Quantizes and decodes rows of one `DType`.
///
/// Quantizing gives the bytes that ggml's `ggml_quantize_chunk` gives, decoding the bits of its `to_float`, at every
/// CPU level. The plain floats are formats too, with blocks of one element, so that any of them can be the source or
/// the target of a conversion.
public struct BlockFormat: Sendable {
    /// How a format stands to importance matrices.
    public enum Importance: String, Sendable {
        /// A matrix makes no difference.
        case unused
        /// A matrix improves the result; without one there is another, simpler search.
        case optional
        /// Without a matrix there is no search at all: refused.
        case required
    }

    /// Where the scales of a block lie, for `firstInvalidBlock`.
    public enum ScaleLayout: Sendable {
        /// Half floats at these byte offsets of each block.
        case halves([Int])
        /// One power-of-two exponent (E8M0) at this offset, of which 255 means NaN.
        case exponent(Int)
        /// IQ1_M: the half float is spread over the upper four bits of the four 16-bit words at this offset.
        case spreadHalf(Int)
        /// Plain floats, or scales of which every byte means a finite value.
        case none
    }

    public let dtype: DType
    /// ggml's type id (`enum ggml_type` of ggml.h), as GGUF files carry it.
    public let ggmlType: UInt32
    public let importance: Importance
    /// What a block holds, in a line.
    public let summary: String
    public let scales: ScaleLayout

    private let encoder: Encoder
    private let decoder: Decoder

    typealias Encoder = @Sendable (
        _ source: UnsafePointer<Float>, _ target: UnsafeMutableRawPointer, _ rows: Int, _ columns: Int,
        _ importance: UnsafePointer<Float>?
    ) -> Void
    typealias Decoder = @Sendable (
        _ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int
    ) -> Void

    /// A format whose kernels are in CKernels' table under its ggml type.
    init(
        _ dtype: DType, ggmlType: UInt32, importance: Importance, scales: ScaleLayout, summary: String
    ) {
        self.init(
            dtype, ggmlType: ggmlType, importance: importance, scales: scales, summary: summary,
            encoder: { source, target, rows, columns, weights in
                guard let kernel = pannier_quantizer(Int32(ggmlType)) else {
                    preconditionFailure("no kernel quantizes \(dtype)")
                }
                kernel(source, target, Int64(rows), Int64(columns), weights)
            },
            decoder: { source, target, count in
                guard let kernel = pannier_dequantizer(Int32(ggmlType)) else {
                    preconditionFailure("no kernel decodes \(dtype)")
                }
                kernel(source, target, Int64(count))
            })
    }

    /// A format with its own functions.
    init(
        _ dtype: DType, ggmlType: UInt32, importance: Importance, scales: ScaleLayout, summary: String,
        encoder: @escaping Encoder, decoder: @escaping Decoder
    ) {
        self.dtype = dtype
        self.ggmlType = ggmlType
        self.importance = importance
        self.scales = scales
        self.summary = summary
        self.encoder = encoder
        self.decoder = decoder
    }

    /// Whether tensors come out as noise without an importance matrix, so that they are refused. The embedding and the
    /// output are spared where there is a search without one, as matrices seldom have them.
    public var needsMatrix: Bool { importance == .required || [.iq1_m, .iq2_s, .iq3_xxs].contains(dtype) }

    public var name: String { dtype.rawValue }
    /// Elements in a block.
    public var blockElements: Int { dtype.blockElements }
    /// Bytes of a block.
    public var blockBytes: Int { dtype.blockBytes }

    /// Quantizes `rows` rows of `columns` elements.
    ///
    /// The values must be finite (`FloatKernels.allFinite`): the caller refuses others, naming the tensor. Sizes are
    /// the caller's to get right, and checked: they come from a plan, not from a file.
    /// - Parameters:
    ///   - source: `rows * columns` elements, row after row.
    ///   - importance: one weight a column, or nil.
    ///   - target: at least `rows * columns / blockElements * blockBytes` bytes.
    public func quantize(
        _ source: UnsafeBufferPointer<Float>, rows: Int, columns: Int, importance: UnsafeBufferPointer<Float>? = nil,
        into target: UnsafeMutableRawBufferPointer
    ) {
        precondition(rows >= 0 && columns >= 0 && columns % blockElements == 0, "rows are whole blocks")
        let count = rows * columns
        precondition(
            source.count >= count && target.count >= count / blockElements * blockBytes, "the buffers hold the rows")
        precondition(importance.map { $0.count >= columns } ?? true, "one weight a column")
        guard count > 0, let from = source.baseAddress, let to = target.baseAddress else { return }
        encoder(from, to, rows, columns, importance?.baseAddress)
    }

    /// Decodes as many elements as `target` holds, a multiple of the block. Any bytes may come in; what they mean may
    /// be infinite or NaN.
    public func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
        precondition(
            target.count % blockElements == 0 && source.count >= target.count / blockElements * blockBytes,
            "the buffers hold whole blocks")
        guard !target.isEmpty, let from = source.baseAddress, let to = target.baseAddress else { return }
        decoder(from, to, target.count)
    }

    // MARK: The registry

    /// Every format, the plain floats first.
    public static let all: [BlockFormat] =
        floats + legacyQuants + kQuants + iqQuants + ternaryQuants + smallQuants

    /// The format of a type, or nil for one that Pannier neither quantizes nor decodes (integers, 8-bit floats).
    public static func of(_ dtype: DType) -> BlockFormat? { byType[dtype] }

    private static let byType: [DType: BlockFormat] = Dictionary(
        all.map { ($0.dtype, $0) }, uniquingKeysWith: { first, _ in first })
}

extension BlockFormat: CustomStringConvertible {
    public var description: String { name }
}
