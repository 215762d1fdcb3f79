// Work in pieces on all cores: each worker owns its buffers and takes the next piece until none is left.

internal import Dispatch
internal import Synchronization

public enum Parallel {
    /// Does `count` pieces of work on up to `threads` threads; the calling thread works too. Pieces should take 200 µs
    /// or more, or taking them costs more than it brings.
    /// - Parameters:
    ///   - worker: makes what one thread owns for all of its pieces.
    ///   - body: does the piece of the given index.
    /// - Throws: the first error that any piece threw; pieces that were not begun are then left out.
    public static func perform<Worker: ~Copyable>(
        _ count: Int, threads: Int, worker: @Sendable () -> Worker,
        _ body: @Sendable (_ index: Int, _ worker: inout Worker) throws -> Void
    ) throws {
        guard count > 0 else { return }
        let next = Atomic<Int>(0)
        let failed = Atomic<Bool>(false)
        let failure = Locked<(any Error)?>(nil)
        DispatchQueue.concurrentPerform(iterations: max(1, min(threads, count))) { _ in
            var own = worker()
            while !failed.load(ordering: .relaxed) {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                do {
                    try body(index, &own)
                } catch {
                    failure.withValue { $0 = $0 ?? error }
                    failed.store(true, ordering: .relaxed)
                }
            }
        }
        if let error = failure.withValue({ $0 }) { throw error }
    }
}

/// A value that threads take turns with.
public final class Locked<Value>: @unchecked Sendable {
    private let lock = DispatchSemaphore(value: 1)
    private var value: Value

    public init(_ value: Value) { self.value = value }

    public func withValue<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.wait()
        defer { lock.signal() }
        return try body(&value)
    }
}

/// Memory that grows to the largest size asked for and is used again.
public struct ScratchBuffer: ~Copyable {
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    public init() {}

    deinit { memory.deallocate() }

    /// Exactly `count` bytes, aligned for vectors; what they held before is lost.
    public mutating func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if count > memory.count {
            memory.deallocate()
            memory = .allocate(byteCount: max(count, 4096), alignment: 64)
        }
        return UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
    }

    /// Exactly `count` floats; what they held before is lost.
    public mutating func reserveFloats(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        let bytes = reserve(count * MemoryLayout<Float>.stride)
        return UnsafeMutableBufferPointer(
            start: bytes.baseAddress?.assumingMemoryBound(to: Float.self), count: count)
    }
}
