// Products of weight matrices with a batch of activations, shared between the threads.

internal import CKernels
internal import Platform

/// The arithmetic of the batch products.
public enum Compute: String, Sendable, CaseIterable {
    /// Weights exact, activations and sums f32.
    case f32
    /// Weights and activations rounded to bf16, sums f32. A machine whose products of bf16 are slow or missing rounds them to
    /// integers of 11 and 12 bits below the largest of 256 instead, which is closer. With AVX2, a single token's activations
    /// are rounded to 16 bits. Where neither is known this is f32.
    case bf16

    fileprivate var kernel: pannier_compute {
        switch self {
        case .f32: PANNIER_COMPUTE_F32
        case .bf16: PANNIER_COMPUTE_BF16
        }
    }
}

/// A projection whose result goes to `out`, `[tokens, matrix.rows]`.
struct Projection {
    let matrix: WeightMatrix
    let bias: [Float]?
    let out: UnsafeMutablePointer<Float>
}

/// Multiplies; owns the packed activations and each thread's scratch memory.
final class MatrixProduct {
    private let pool: WorkerPool
    private let compute: Compute
    private let packed: FloatBuffer
    private let scratch: [FloatBuffer]

    /// - Parameters:
    ///   - tokens: the largest batch.
    ///   - columns: the widest input.
    init(pool: WorkerPool, compute: Compute, tokens: Int, columns: Int) {
        self.pool = pool
        self.compute = compute
        packed = FloatBuffer(
            max(
                Int(pannier_packed_floats(Int64(tokens), Int64(columns))),
                2 * Int(pannier_prepared_floats(Int64(columns)))))
        scratch = (0..<pool.threads).map { _ in
            FloatBuffer(Int(pannier_matmul_scratch(Int64(tokens))) / MemoryLayout<Float>.size)
        }
    }

    /// Gives back the memory of the packed activations; the next product takes it again.
    func releasePages() { packed.releasePages() }

    /// Computes every projection of the same input: `out[t][r] = sum over k of W[r][k] * input[t][k] + bias[r]`.
    /// - Parameter input: `[tokens, columns]`.
    func multiply(_ input: UnsafePointer<Float>, tokens: Int, columns: Int, _ projections: [Projection]) {
        if tokens == 1 {
            multiplyOne(input, columns: columns, projections)
        } else {
            multiplyBatch(input, tokens: tokens, columns: columns, projections)
        }
        for projection in projections {
            guard let bias = projection.bias else { continue }
            bias.withUnsafeBufferPointer { bias in
                for token in 0..<tokens {
                    pannier_add(projection.out + token * bias.count, bias.baseAddress, Int64(bias.count))
                }
            }
        }
    }

    private func multiplyBatch(
        _ input: UnsafePointer<Float>, tokens: Int, columns: Int, _ projections: [Projection]
    ) {
        let pack = compute == .bf16 ? pannier_pack_bf16 : pannier_pack_f32
        let matmul = compute == .bf16 ? pannier_matmul_bf16 : pannier_matmul_f32
        mapPages(of: projections)
        let count = Int64(tokens), width = Int64(columns), packed = packed.pointer
        pool.run(Int(pannier_panels(count))) { panel, _ in
            pack(input, width, count, width, Int64(panel), Int64(panel) + 1, packed)
        }
        let jobs = projections.map { Job($0, input: packed) }
        let scratch = scratch.map(\.pointer)
        run(jobs, shares(jobs, by: Int(pannier_matmul_rows()))) { job, rows, thread in
            matmul(
                job.matrix, Int64(rows.lowerBound), Int64(rows.upperBound), job.input, count, job.out,
                Int64(job.rows), scratch[thread])
        }
    }

    /// Asks for what is not mapped yet: in one call a page costs a fraction of what it costs when it is touched, and what is
    /// not mapped cannot be fetched ahead.
    private func mapPages(of projections: [Projection]) {
        let chunk = 4 << 20
        for memory in projections.flatMap({ $0.matrix.takeUnmapped() }) {
            pool.run(over: memory.count, by: chunk) { range, _ in
                mapPagesToRead(UnsafeRawBufferPointer(rebasing: memory[range]))
            }
        }
    }

    private func multiplyOne(_ one: UnsafePointer<Float>, columns: Int, _ projections: [Projection]) {
        let compute = compute.kernel
        // At most two orders of the activations are met: most projections of a layer are of one format.
        let stride = Int(pannier_prepared_floats(Int64(columns)))
        var prepared: [(kind: pannier_weight_kind, grouped: Bool, at: UnsafeMutablePointer<Float>)] = []
        var waiting = projections[...]
        while !waiting.isEmpty {
            prepared.removeAll(keepingCapacity: true)
            var jobs: [Job] = []
            while let projection = waiting.first {
                let matrix = projection.matrix.kernel
                let kind = matrix.pointee.kind, grouped = matrix.pointee.groups != nil
                let input: UnsafeMutablePointer<Float>
                if let known = prepared.first(where: { $0.kind == kind && $0.grouped == grouped }) {
                    input = known.at
                } else if prepared.count < 2 {
                    input = packed.pointer + prepared.count * stride
                    pannier_prepare(matrix, compute, one, input)
                    prepared.append((kind, grouped, input))
                } else {
                    break
                }
                jobs.append(Job(projection, input: input))
                waiting = waiting.dropFirst()
            }
            // Rows in groups stay together.
            run(jobs, shares(jobs, by: Int(PANNIER_ROW_GROUP))) { job, rows, _ in
                pannier_matvec(
                    job.matrix, compute, Int64(rows.lowerBound), Int64(rows.upperBound), job.input, job.out)
            }
        }
    }

    /// Pieces of all rows, in the order in which threads take them: at first most of each thread's share, since memory is read
    /// fastest in long runs, then half of what would be each one's share of the rest, and so on, so that they end together.
    /// - Parameter group: the rows that stay together.
    private func shares(_ jobs: [Job], by group: Int) -> [Piece] {
        var pieces: [Piece] = [], done = jobs.map { _ in 0 }
        // A piece a thread of each job that has rows left.
        func takeRound(_ part: (_ rows: Int) -> Int) {
            for (index, job) in jobs.enumerated() {
                // A short piece takes longer to begin than it saves.
                let least = max(group, (32 << 10) / max(1, job.rowBytes))
                let size = (max(least, part(job.rows - done[index]) / pool.threads) + group - 1) / group * group
                let end = min(job.rows, done[index] + size * pool.threads)
                Piece.append(to: &pieces, job: index, done[index]..<end, by: size)
                done[index] = end
            }
        }
        takeRound { $0 * 3 / 4 }
        while zip(jobs, done).contains(where: { $0.rows > $1 }) { takeRound { $0 / 2 } }
        return pieces
    }

    /// One projection of a loop. Only plain values: counting references between threads would cost more than a piece.
    private struct Job {
        let matrix: UnsafePointer<pannier_matrix>
        let rows: Int
        let rowBytes: Int
        let input: UnsafePointer<Float>
        let out: UnsafeMutablePointer<Float>

        init(_ projection: Projection, input: UnsafePointer<Float>) {
            matrix = UnsafePointer(projection.matrix.kernel)
            rows = projection.matrix.rows
            rowBytes = projection.matrix.rowBytes
            self.input = input
            out = projection.out
        }
    }

    /// Rows of a job that one thread computes at a time.
    private struct Piece {
        let job: Int
        let rows: Range<Int>

        /// Appends a job's rows, `size` a piece.
        static func append(to pieces: inout [Piece], job: Int, _ rows: Range<Int>, by size: Int) {
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: max(1, size)) {
                pieces.append(Piece(job: job, rows: first..<min(rows.upperBound, first + max(1, size))))
            }
        }
    }

    private func run(
        _ jobs: [Job], _ pieces: [Piece], _ body: (_ job: Job, _ rows: Range<Int>, _ thread: Int) -> Void
    ) {
        jobs.withUnsafeBufferPointer { jobs in
            pieces.withUnsafeBufferPointer { pieces in
                pool.run(pieces.count) { index, thread in
                    let piece = pieces[index]
                    body(jobs[piece.job], piece.rows, thread)
                }
            }
        }
    }
}
