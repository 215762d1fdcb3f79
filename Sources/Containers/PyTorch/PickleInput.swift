// The bytes of a pickle, one after another, through a window.

import Bytes

struct PickleInput {
    let file: File
    /// What to call it in messages: the zip entry, or nil for the file itself.
    let place: String?
    private let end: UInt64
    private var window: [UInt8] = []
    private var windowStart: UInt64
    private var next = 0
    private static let windowSize: UInt64 = 1 << 18

    /// - Parameter end: nothing is read at or beyond it; the file's size at most.
    init(_ file: File, at offset: UInt64, end: UInt64, place: String? = nil) {
        self.file = file
        self.place = place
        self.end = min(end, file.size)
        windowStart = offset
    }

    var offset: UInt64 { windowStart + UInt64(next) }
    var remaining: UInt64 { offset < end ? end - offset : 0 }

    func fault(
        _ message: String, at place: UInt64? = nil, expected: String? = nil, found: String? = nil,
        remedy: String? = nil
    ) -> CheckpointError {
        .malformed(
            "malformed pickle: " + message, file: file.path, place: self.place, offset: place ?? offset,
            expected: expected, found: found, remedy: remedy)
    }

    /// Makes the window hold `count` bytes, at most its size, from here on.
    private mutating func fill(_ count: Int) throws {
        guard window.count - next < count else { return }
        guard UInt64(count) <= remaining else {
            throw fault("it ends too early", remedy: "the file is truncated or damaged")
        }
        let start = offset
        window = try file.bytes(at: start, count: Int(min(PickleInput.windowSize, end - start)))
        windowStart = start
        next = 0
    }

    mutating func byte() throws -> UInt8 {
        if next >= window.count { try fill(1) }
        defer { next += 1 }
        return window[next]
    }

    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws -> T {
        let size = MemoryLayout<T>.size
        try fill(size)
        let at = next
        next += size
        return T(littleEndian: window.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: T.self) })
    }

    mutating func bigEndianDouble() throws -> Double {
        Double(bitPattern: try integer(UInt64.self).byteSwapped)
    }

    /// The next `count` bytes; the claim is compared with what remains before anything is allocated.
    mutating func bytes(_ count: UInt64) throws -> [UInt8] {
        guard count <= remaining, let length = Int(exactly: count) else {
            throw fault("a length reaches beyond its end", expected: "at most \(remaining)", found: "\(count)")
        }
        if count <= PickleInput.windowSize / 4 {
            try fill(length)
            defer { next += length }
            return Array(window[next..<next + length])
        }
        let start = offset
        let out = try file.bytes(at: start, count: length)
        windowStart = start + count
        window = []
        next = 0
        return out
    }

    mutating func string(_ count: UInt64) throws -> String {
        let start = offset
        guard let text = String(validating: try bytes(count), as: UTF8.self) else {
            throw fault("a text is not valid UTF-8", at: start)
        }
        return text
    }

    /// The bytes up to the next line feed, which is passed over.
    mutating func line() throws -> [UInt8] {
        let start = offset
        var out: [UInt8] = []
        while true {
            let byte = try byte()
            if byte == UInt8(ascii: "\n") { return out }
            guard out.count < PickleLimits.line else { throw fault("a line is too long", at: start) }
            out.append(byte)
        }
    }

    mutating func textLine() throws -> String {
        let start = offset
        guard let text = String(validating: try line(), as: UTF8.self) else {
            throw fault("a text is not valid UTF-8", at: start)
        }
        return text
    }
}
