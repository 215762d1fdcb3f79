// Arithmetic on numbers that came out of a file: nil where the result does not fit.

extension FixedWidthInteger {
    /// The sum, or nil when it does not fit.
    @inlinable
    public func adding(_ other: Self) -> Self? {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? nil : sum
    }

    /// The difference, or nil when it does not fit.
    @inlinable
    public func subtracting(_ other: Self) -> Self? {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? nil : difference
    }

    /// The product, or nil when it does not fit.
    @inlinable
    public func multiplied(by other: Self) -> Self? {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? nil : product
    }

    /// The next multiple of `alignment`; nil when it does not fit, when this number is negative, and when `alignment` is
    /// not positive.
    @inlinable
    public func alignedUp(to alignment: Self) -> Self? {
        guard self >= 0, alignment > 0 else { return nil }
        let remainder = self % alignment
        return remainder == 0 ? self : adding(alignment - remainder)
    }
}

extension Sequence where Element: FixedWidthInteger {
    /// The product of all elements (1 for none), or nil when it does not fit.
    @inlinable
    public func checkedProduct() -> Element? {
        var product: Element = 1
        for factor in self {
            guard let next = product.multiplied(by: factor) else { return nil }
            product = next
        }
        return product
    }
}
