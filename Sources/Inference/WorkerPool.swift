// Threads for loops of tens of microseconds, and the memory they compute in.

internal import CKernels
internal import Platform

/// Runs loops on all cores. One caller at a time.
final class WorkerPool: @unchecked Sendable {
    private let pool: OpaquePointer?
    let threads: Int

    /// - Parameter threads: the caller's counted; at least one.
    init(threads: Int) {
        pool = pannier_pool_create(Int32(clamping: max(1, threads)))
        self.threads = pool.map { Int(pannier_pool_threads($0)) } ?? 1
    }

    deinit { pannier_pool_destroy(pool) }

    /// Calls `body` with each chunk in `0 ..< chunks` and the number of the thread that runs it.
    func run(_ chunks: Int, _ body: (_ chunk: Int, _ thread: Int) -> Void) {
        typealias Body = (Int, Int) -> Void
        guard let pool, chunks > 1, threads > 1 else {
            for chunk in 0..<max(0, chunks) { body(chunk, 0) }
            return
        }
        withoutActuallyEscaping(body) { body in
            var body: Body = body
            withUnsafeMutablePointer(to: &body) { context in
                pannier_pool_run(
                    pool, Int64(chunks),
                    { context, chunk, thread in
                        context?.assumingMemoryBound(to: Body.self).pointee(Int(chunk), Int(thread))
                    }, context)
            }
        }
    }

    /// Splits `0 ..< count` into ranges of at most `size` and runs them.
    func run(over count: Int, by size: Int, _ body: (_ range: Range<Int>, _ thread: Int) -> Void) {
        let size = max(1, size)
        run((count + size - 1) / size) { chunk, thread in
            body(chunk * size..<min(count, (chunk + 1) * size), thread)
        }
    }
}

/// Floats at an address that does not move, zero at first, aligned for the widest vectors. Pages that are never
/// written take no memory.
final class FloatBuffer: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Float>
    let count: Int
    private let memory: UnsafeMutableRawPointer

    init(_ count: Int) {
        self.count = max(1, count)
        guard let memory = calloc(self.count + 16, MemoryLayout<Float>.stride) else {
            fatalError("not enough memory for \(self.count) activations")
        }
        self.memory = memory
        pointer = memory.alignedUp(toMultipleOf: 64).bindMemory(to: Float.self, capacity: self.count)
    }

    deinit { free(memory) }

    /// Gives the memory back to the system; what it held is lost.
    func releasePages() {
        // Whole pages inside: what shares a page with them belongs to others.
        let page = max(1, sysconf(Int32(_SC_PAGESIZE)))
        let start = UnsafeMutableRawPointer(pointer).alignedUp(toMultipleOf: page)
        let end = UnsafeMutableRawPointer(pointer + count).alignedDown(toMultipleOf: page)
        if end > start { madvise(start, end - start, MADV_DONTNEED) }
    }
}
