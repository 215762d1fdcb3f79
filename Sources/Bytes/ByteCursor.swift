// Reading integers, floats and strings one after another from a file, always checked.

/// Byte order of the numbers in a file.
public enum Endianness: String, Sendable {
    case little, big

    /// The order of this machine.
    public static var native: Endianness {
        UInt16(1).littleEndian == 1 ? .little : .big
    }
}

/// A cursor over a file: checked reads that move forward, through a window so that small reads cost little.
///
/// Lengths that the file claims are compared with the bytes that remain before anything is allocated.
public struct FileCursor {
    public let file: File
    public var endianness: Endianness
    /// Where the next read begins.
    public private(set) var offset: UInt64
    /// Nothing is read at or beyond this offset.
    public let end: UInt64

    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0
    private static let windowSize: UInt64 = 1 << 16

    public init(_ file: File, at offset: UInt64 = 0, end: UInt64? = nil, endianness: Endianness = .little) {
        self.file = file
        self.offset = offset
        self.end = min(end ?? file.size, file.size)
        self.endianness = endianness
    }

    /// Bytes between the cursor and the end.
    public var remaining: UInt64 { offset < end ? end - offset : 0 }

    /// Refuses when fewer than `count` bytes remain.
    public func require(_ count: UInt64, for what: String) throws {
        guard count <= remaining else {
            throw CheckpointError.malformed(
                "\(what) reaches beyond the end of the file", file: file.path, offset: offset,
                expected: "at most \(remaining) bytes", found: "\(count)",
                remedy: "the file is truncated or damaged")
        }
    }

    /// The next `count` bytes.
    public mutating func bytes(_ count: UInt64, for what: String) throws -> [UInt8] {
        try require(count, for: what)
        guard let length = Int(exactly: count) else {
            throw CheckpointError.malformed("\(what) is too long", file: file.path, offset: offset)
        }
        if count > Self.windowSize {
            let out = try file.bytes(at: offset, count: length)
            offset += count
            return out
        }
        try fill(length)
        let start = Int(offset - windowStart)
        offset += count
        return Array(window[start..<start + length])
    }

    /// Moves forward without reading.
    public mutating func skip(_ count: UInt64, for what: String) throws {
        try require(count, for: what)
        offset += count
    }

    /// The next integer in the cursor's byte order.
    public mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self, for what: String) throws -> T {
        let size = MemoryLayout<T>.size
        try require(UInt64(size), for: what)
        try fill(size)
        let start = Int(offset - windowStart)
        let raw = window.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: start, as: T.self) }
        offset += UInt64(size)
        return endianness == .little ? T(littleEndian: raw) : T(bigEndian: raw)
    }

    public mutating func float32(for what: String) throws -> Float {
        Float(bitPattern: try integer(UInt32.self, for: what))
    }

    public mutating func float64(for what: String) throws -> Double {
        Double(bitPattern: try integer(UInt64.self, for: what))
    }

    /// The next `count` bytes as strict UTF-8.
    public mutating func string(_ count: UInt64, for what: String) throws -> String {
        let start = offset
        let raw = try bytes(count, for: what)
        guard let text = String(validating: raw, as: UTF8.self) else {
            throw CheckpointError.malformed("\(what) is not valid UTF-8", file: file.path, offset: start)
        }
        return text
    }

    /// Makes the window hold `count` bytes from the cursor; `count` is at most the window's size and remains.
    private mutating func fill(_ count: Int) throws {
        let have = windowStart + UInt64(window.count)
        if offset >= windowStart, offset + UInt64(count) <= have { return }
        let length = Int(min(Self.windowSize, end - offset))
        window = try file.bytes(at: offset, count: max(length, count))
        windowStart = offset
    }
}

extension UnsafeRawBufferPointer {
    /// A little-endian integer at `offset`, or nil when it does not lie within the buffer.
    @inlinable
    public func littleEndian<T: FixedWidthInteger>(_ type: T.Type = T.self, at offset: Int) -> T? {
        guard offset >= 0, let end = offset.adding(MemoryLayout<T>.size), end <= count else { return nil }
        return T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
