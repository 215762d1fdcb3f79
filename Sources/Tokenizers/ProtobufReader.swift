// Reading protocol buffers: the wire format of https://protobuf.dev/programming-guides/encoding/, without schemas.

internal import Bytes

/// Walks the fields of one message. Every length is compared with the bytes that are there.
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(Range<Int>)
        case fixed32(UInt32)
    }

    private let bytes: [UInt8]
    private let end: Int
    private var at: Int
    private let file: String?

    /// - Parameter range: where the message lies in `bytes`.
    init(_ bytes: [UInt8], range: Range<Int>, file: String?) {
        self.bytes = bytes
        self.at = range.lowerBound
        self.end = range.upperBound
        self.file = file
    }

    /// The next field's number and value, or nil at the message's end.
    mutating func next() throws -> (field: UInt64, value: Value)? {
        guard at < end else { return nil }
        let start = at
        let tag = try varint()
        let field = tag >> 3
        guard field > 0 else { throw fault("a field has the number 0", at: start) }
        switch tag & 7 {
        case 0: return (field, .varint(try varint()))
        case 1: return (field, .fixed64(try fixed(8)))
        case 2:
            let length = try varint()
            guard length <= UInt64(end - at) else {
                throw fault(
                    "a field is longer than its message", at: start, expected: "at most \(end - at) bytes",
                    found: "\(length)")
            }
            let range = at..<at + Int(length)
            at = range.upperBound
            return (field, .bytes(range))
        case 5: return (field, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw fault("a field has the wire type \(tag & 7)", at: start, expected: "0, 1, 2 or 5")
        }
    }

    private mutating func varint() throws -> UInt64 {
        let start = at
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard at < end else { throw fault("a number is cut off", at: start) }
            let byte = bytes[at]
            at += 1
            if shift == 63, byte > 1 { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw fault("a number does not fit 64 bits", at: start)
    }

    private mutating func fixed(_ count: Int) throws -> UInt64 {
        guard end - at >= count else { throw fault("a number is cut off", at: at) }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[at + index]) << UInt64(8 * index) }
        at += count
        return value
    }

    func fault(
        _ message: String, at offset: Int, expected: String? = nil, found: String? = nil
    ) -> CheckpointError {
        .malformed(
            message, file: file, offset: UInt64(offset), expected: expected, found: found,
            remedy: "fetch the tokenizer file again")
    }
}
