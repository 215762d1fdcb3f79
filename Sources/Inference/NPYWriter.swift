// NumPy's .npy format, version 1.0 (numpy.lib.format): a magic, a Python literal, then the values.

internal import Bytes

/// Writes one array of f32, little-endian, row by row as the rows come.
public final class NPYWriter {
    private let file: OutputFile
    private var offset: UInt64
    private let end: UInt64

    /// - Throws: `unsupported` when the array does not fit a file, and what creating it throws.
    public init(creating path: String, rows: Int, columns: Int) throws {
        var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), \(columns)), }"
        // The values begin at a multiple of 64.
        while (10 + header.utf8.count + 1) % 64 != 0 { header += " " }
        header += "\n"
        guard let count = rows.multiplied(by: columns)?.multiplied(by: 4) else {
            throw CheckpointError.unsupported("the array does not fit a file", file: path)
        }
        let length = UInt16(truncatingIfNeeded: header.utf8.count)
        let magic: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
        file = try OutputFile(creating: path)
        try file.write(magic + Array(header.utf8), at: 0)
        offset = UInt64(magic.count + header.utf8.count)
        end = offset + UInt64(count)
    }

    public func append(_ values: UnsafeBufferPointer<Float>) throws {
        let bytes = UnsafeRawBufferPointer(values)
        guard offset + UInt64(bytes.count) <= end else { return }
        #if _endian(big)
            try file.write(values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }, at: offset)
        #else
            try file.write(bytes, at: offset)
        #endif
        offset += UInt64(bytes.count)
    }

    public func finish() throws { try file.flush() }
}
