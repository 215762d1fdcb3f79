// Where the tensors of a checkpoint that is being written lie: what all three writers keep, and check, in the same way.

internal import Bytes
internal import Tensors

/// A place for every tensor, fixed before a byte is written.
///
/// What a place is depends on the container: an offset in a file, or an entry of a zip archive.
struct TensorPlaces<Place: Sendable>: Sendable {
    private var places: [Place?]
    private let byteCounts: [Int]

    init(of tensors: [TensorPlan]) {
        places = Array(repeating: nil, count: tensors.count)
        byteCounts = tensors.map(\.byteCount)
    }

    /// Gives a tensor its place.
    mutating func put(_ tensor: Int, at place: Place) { places[tensor] = place }

    /// The place of a tensor into which bytes are to be stored.
    /// - Throws: `inputOutput` when the bytes reach beyond the tensor, or the tensor belongs to no file: nothing that
    ///   a caller does wrong may spoil another tensor's bytes.
    func place(of tensor: Int, at offset: Int, storing count: Int) throws -> Place {
        guard places.indices.contains(tensor), let place = places[tensor] else {
            throw CheckpointError(.inputOutput, "tensor \(tensor) has no place in the output")
        }
        guard offset >= 0, let end = offset.adding(count), end <= byteCounts[tensor] else {
            throw CheckpointError(
                .inputOutput, "bytes beyond the end of tensor \(tensor) were to be written",
                expected: "at most \(byteCounts[tensor]) bytes", found: "\(count) bytes at \(offset)")
        }
        return place
    }
}

/// Tensors that lie dense in plain files, as in safetensors and GGUF.
struct PlacedFiles: Sendable {
    private struct Place: Sendable {
        let file: Int
        let offset: UInt64
    }

    private var files: [OutputFile] = []
    private var places: TensorPlaces<Place>
    /// Bytes of all files.
    private(set) var totalBytes: UInt64 = 0

    init(of tensors: [TensorPlan]) { places = TensorPlaces(of: tensors) }

    /// Creates a file, writes its header and gives tensors their places behind it.
    /// - Parameters:
    ///   - size: of the whole file.
    ///   - tensors: each with its offset in the file.
    mutating func create(
        _ path: String, size: UInt64, header: [UInt8], tensors: some Sequence<(Int, UInt64)>
    ) throws {
        let file = try OutputFile(creating: path, size: size)
        try file.write(header, at: 0)
        for (tensor, offset) in tensors { places.put(tensor, at: Place(file: files.count, offset: offset)) }
        files.append(file)
        totalBytes += size
    }

    /// Stores part of a tensor; see `CheckpointWriter`.
    func write(tensor: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) throws {
        let place = try places.place(of: tensor, at: offset, storing: bytes.count)
        try files[place.file].write(bytes, at: place.offset + UInt64(offset))
    }
}
