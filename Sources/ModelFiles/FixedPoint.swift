// A number with a fixed count of decimals, rounded as C's printf does: from the exact binary value, ties to even.

internal import Platform

/// `value` as text with `digits` decimals.
func fixedPoint(_ value: Double, digits: Int) -> String {
    var buffer = [CChar](repeating: 0, count: 400)
    let length = withVaList([Int32(clamping: digits), value]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
    let used = max(0, min(Int(length), buffer.count - 1))
    return String(decoding: buffer[..<used].map(UInt8.init(bitPattern:)), as: UTF8.self)
}
