// CRC-32 as zip has it, of bytes that may arrive in pieces and in any order.

internal import CKernels

/// The checksum of a run of bytes and how many they are, so that runs can be joined.
public struct CRC32: Sendable, Equatable {
    public private(set) var value: UInt32 = 0
    public private(set) var count: UInt64 = 0

    public init() {}

    public init(_ bytes: UnsafeRawBufferPointer) { append(bytes) }

    public init(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    /// Takes in the bytes that follow.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        value = pannier_crc32(value, bytes.baseAddress, Int64(bytes.count))
        count &+= UInt64(bytes.count)
    }

    /// Takes in a run that follows and is checksummed already.
    public mutating func append(_ next: CRC32) {
        value = pannier_crc32_combine(value, next.value, next.count)
        count &+= next.count
    }
}
