// NumPy's .npy format, version 1.0 (numpy.lib.format): a magic, a Python literal, then the values.

internal import Bytes

/// Writes one array of f32, little-endian, row by row as the rows come.
public final class NPYWriter {
    private let file: OutputFile
    /// Where the array will be, for messages.
    private let shown: String
    private var offset: UInt64
    private let end: UInt64

    /// - Throws: `unsupported` when the array does not fit a file, and what creating it throws.
    public init(creating path: String, rows: Int, columns: Int) throws {
        let shown = StagedOutput.publishedPath(path)
        var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), \(columns)), }"
        // The values begin at a multiple of 64.
        while (10 + header.utf8.count + 1) % 64 != 0 { header += " " }
        header += "\n"
        guard rows >= 0, columns >= 0, let count = rows.multiplied(by: columns)?.multiplied(by: 4) else {
            throw CheckpointError.unsupported(
                "the array does not fit a file", file: shown, found: "\(rows) rows of \(columns) values")
        }
        let length = UInt16(truncatingIfNeeded: header.utf8.count)
        let magic: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
        file = try OutputFile(creating: path)
        try file.write(magic + Array(header.utf8), at: 0)
        self.shown = shown
        offset = UInt64(magic.count + header.utf8.count)
        end = offset + UInt64(count)
    }

    /// Writes the values that come next, in the order of the rows.
    /// - Throws: `usage` when they are more than the array still has room for, and what writing throws.
    public func append(_ values: UnsafeBufferPointer<Float>) throws {
        let bytes = UnsafeRawBufferPointer(values)
        guard UInt64(bytes.count) <= end - offset else {
            throw CheckpointError(
                .usage, "there are more values than the array's shape has", file: shown,
                expected: "at most \((end - offset) / 4) more", found: "\(values.count)")
        }
        #if _endian(big)
            try file.write(values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }, at: offset)
        #else
            try file.write(bytes, at: offset)
        #endif
        offset += UInt64(bytes.count)
    }

    /// Waits until the array is on the disk.
    /// - Throws: `usage` when rows are missing, and what flushing throws.
    public func finish() throws {
        guard offset == end else {
            throw CheckpointError(
                .usage, "the array's rows are not all written", file: shown, found: "\((end - offset) / 4) values missing")
        }
        try file.flush()
    }
}
