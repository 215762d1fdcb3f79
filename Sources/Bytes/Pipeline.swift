// Work in pieces that is done in any order and used in the right one: digests of files, bytes behind each other.

internal import Dispatch
internal import Synchronization

extension Parallel {
    /// Makes pieces on all threads, passes them in order, one at a time, to `order`, and then in any order to `finish`.
    ///
    /// No thread waits for another as long as there are pieces to make: whoever has made the piece that is due passes
    /// it on, and those behind it that are ready.
    /// - Parameters:
    ///   - ahead: how many pieces may be there at a time: made or being made, and not finished. At least one a thread.
    ///   - make: makes the piece of the given index.
    ///   - order: is called for index 0, 1, 2, ..., never for two at once, from any thread.
    ///   - finish: is called with what `order` returned.
    /// - Throws: the first error that any of them threw; what was not begun is then left out.
    public static func inOrder<Worker: ~Copyable, Piece: Sendable, Ordered: Sendable>(
        _ count: Int, ahead: Int, threads: Int, worker: @Sendable () -> Worker,
        make: @Sendable (_ index: Int, _ worker: inout Worker) throws -> Piece,
        order: @Sendable (_ index: Int, _ piece: Piece) throws -> Ordered,
        finish: @Sendable (_ index: Int, _ ordered: Ordered) throws -> Void
    ) throws {
        let room = DispatchSemaphore(value: max(ahead, threads))
        let next = Atomic<Int>(0)
        let failed = Atomic<Bool>(false)
        let line = Locked(Line<Piece>())
        defer {
            // A semaphore may not be left with less than it began with.
            for _ in 0..<max(ahead, threads) { room.signal() }
        }
        try perform(count, threads: threads, worker: worker) { _, own in
            room.wait()
            guard !failed.load(ordering: .acquiring) else {
                room.signal()
                return
            }
            // Taken only when there is room: the piece that is due always has its place.
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            do {
                let piece = try make(index, &own)
                line.withValue { $0.ready[index] = piece }
                while let (due, piece) = line.withValue({ $0.take() }) {
                    let ordered = try order(due, piece)
                    line.withValue { $0.passed() }
                    try finish(due, ordered)
                    room.signal()
                }
            } catch {
                failed.store(true, ordering: .releasing)
                room.signal()
                throw error
            }
        }
    }

    /// Pieces that wait for their turn.
    private struct Line<Piece> {
        var ready: [Int: Piece] = [:]
        private var due = 0
        private var busy = false

        /// The piece whose turn it is, when it is there and the one before has passed.
        mutating func take() -> (Int, Piece)? {
            guard !busy, let piece = ready.removeValue(forKey: due) else { return nil }
            busy = true
            return (due, piece)
        }

        mutating func passed() {
            due += 1
            busy = false
        }
    }
}

/// Buffers of one size that pieces of work take and give back.
public final class BufferPool: Sendable {
    fileprivate final class Memory: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
        init(_ count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }
        deinit { bytes.deallocate() }
    }

    /// Memory that whoever took it may write. It is the pool's again after `give`, or freed with the last copy.
    public struct Buffer: @unchecked Sendable {
        fileprivate let memory: Memory
        /// As many bytes as were asked for.
        public let bytes: UnsafeMutableRawBufferPointer
    }

    private let size: Int
    private let free = Locked<[Memory]>([])

    public init(bytes: Int) { size = bytes }

    /// A buffer of `count` bytes, at most the pool's size.
    public func take(_ count: Int) -> Buffer {
        let memory = free.withValue { $0.popLast() } ?? Memory(size)
        return Buffer(memory: memory, bytes: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<min(count, size)]))
    }

    public func give(_ buffer: Buffer) { free.withValue { $0.append(buffer.memory) } }
}
