// Bytes of files, put together by hand.

/// Little- or big-endian numbers one after another.
package struct Builder {
    package var bytes: [UInt8] = []
    package var isBig = false

    package init() {}

    package mutating func integer<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: isBig ? value.bigEndian : value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func raw(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    package mutating func string(_ text: some Sequence<UInt8>) {
        let text = Array(text)
        integer(UInt64(text.count))
        raw(text)
    }

    package mutating func string(_ text: String) { string(text.utf8) }
}
