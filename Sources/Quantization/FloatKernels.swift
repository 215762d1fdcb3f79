// Reductions over arrays of floats: what is no finite number, and what a quantization lost.

internal import CKernels
public import Tensors

/// Vectorised reductions over arrays of `Float`.
public enum FloatKernels {
    /// Whether no value is NaN or infinite.
    public static func allFinite(_ values: UnsafeBufferPointer<Float>) -> Bool {
        guard let base = values.baseAddress else { return true }
        return pannier_all_finite_f32(base, Int64(values.count)) != 0
    }

    /// The first element that is NaN or infinite in little-endian plain floats; nil where there is none, and for dtypes
    /// that are no plain floats.
    public static func firstNotFinite(in bytes: UnsafeRawBufferPointer, of dtype: DType) -> Int? {
        switch dtype {
        case .f16: first(in: bytes, exponent: 0x7C00 as UInt16)
        case .bf16: first(in: bytes, exponent: 0x7F80 as UInt16)
        case .f32: first(in: bytes, exponent: 0x7F80_0000 as UInt32)
        case .f64: first(in: bytes, exponent: 0x7FF0_0000_0000_0000 as UInt64)
        default: nil
        }
    }

    /// Whether one element of little-endian plain floats is a number and finite; true for dtypes that are no plain floats.
    public static func isFinite(_ element: Int, in bytes: UnsafeRawBufferPointer, of dtype: DType) -> Bool {
        let size = dtype.blockBytes
        guard element >= 0, element < bytes.count / size else { return true }
        let place = UnsafeRawBufferPointer(rebasing: bytes[element * size..<(element + 1) * size])
        return firstNotFinite(in: place, of: dtype) == nil
    }

    /// The first word whose exponent is all ones.
    @inline(__always)
    private static func first<Word: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        in bytes: UnsafeRawBufferPointer, exponent: Word
    ) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        let size = MemoryLayout<Word>.size, count = bytes.count / size
        // An exponent of ones and its lowest bit add up to the sign's bit, so that a run needs no branch.
        let lowest = exponent & (0 &- exponent)
        func sum(_ index: Int) -> Word {
            let word = Word(littleEndian: base.loadUnaligned(fromByteOffset: index &* size, as: Word.self))
            return (word & exponent) &+ lowest
        }
        var start = 0
        while start < count {
            let end = min(start + 4096, count)
            var all: Word = 0
            for index in start..<end { all |= sum(index) }
            if all > exponent { return (start..<end).first { sum($0) > exponent } }
            start = end
        }
        return nil
    }
}

/// What differs between values and their approximation; sums that can be added up over the parts of a tensor.
public struct QuantizationError: Sendable, Equatable {
    /// Sum of (reference - approximation)².
    private var squaredError = 0.0
    /// Sum of reference².
    private var squaredReference = 0.0
    /// The largest |reference - approximation|.
    public private(set) var largest = 0.0
    public private(set) var count = 0

    public init() {}

    /// Root of the mean squared error; 0 of nothing.
    public var rmse: Double { count == 0 ? 0 : (squaredError / Double(count)).squareRoot() }
    /// The error's norm over the reference's; 0 where the reference is all zeros.
    public var relative: Double { squaredReference > 0 ? (squaredError / squaredReference).squareRoot() : 0 }

    /// Adds the difference of two arrays of the same length.
    public mutating func add(reference: UnsafeBufferPointer<Float>, approximation: UnsafeBufferPointer<Float>) {
        let length = min(reference.count, approximation.count)
        guard length > 0, let a = reference.baseAddress, let b = approximation.baseAddress else { return }
        var sums = pannier_error()
        pannier_error_f32(a, b, Int64(length), &sums)
        squaredError += sums.squared_error
        squaredReference += sums.squared_reference
        largest = max(largest, sums.largest)
        count += length
    }

    /// Adds another part's sums.
    public static func += (left: inout QuantizationError, right: QuantizationError) {
        left.squaredError += right.squaredError
        left.squaredReference += right.squaredReference
        left.largest = max(left.largest, right.largest)
        left.count += right.count
    }
}
