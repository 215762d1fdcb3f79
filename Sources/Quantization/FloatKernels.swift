// Reductions over arrays of floats: finiteness, and what a quantization lost.

internal import CKernels

/// Vectorised reductions over arrays of `Float`.
public enum FloatKernels {
    /// Whether no value is NaN or infinite.
    public static func allFinite(_ values: UnsafeBufferPointer<Float>) -> Bool {
        guard let base = values.baseAddress else { return true }
        return pannier_all_finite_f32(base, Int64(values.count)) != 0
    }
}

/// What differs between values and their approximation; sums that can be added up over the parts of a tensor.
public struct QuantizationError: Sendable, Equatable {
    /// Sum of (reference - approximation)².
    public private(set) var squaredError = 0.0
    /// Sum of reference².
    public private(set) var squaredReference = 0.0
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
