// Products of weight matrices with a batch of activations, shared between the threads.

internal import CKernels

/// The arithmetic of the batch products.
public enum Compute: String, Sendable, CaseIterable {
    /// Weights exact, activations and sums f32.
    case f32
    /// Weights and activations rounded to bf16, sums f32. Where the machine has no bf16 products this is f32.
    case bf16
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
        let count = Int64(tokens), width = Int64(columns), packed = packed.pointer
        pool.run(Int(pannier_panels(count))) { panel, _ in
            pack(input, width, count, width, Int64(panel), Int64(panel) + 1, packed)
        }
        // Chunks of one tile of rows, over all projections: the last ones are shared as evenly as the first.
        let scratch = scratch.map(\.pointer)
        run(projections.map { Job($0, input: packed, chunkRows: 48) }) { job, rows, thread in
            matmul(
                job.matrix, Int64(rows.lowerBound), Int64(rows.upperBound), job.input, count, job.out,
                Int64(job.rows), scratch[thread])
        }
    }

    private func multiplyOne(_ one: UnsafePointer<Float>, columns: Int, _ projections: [Projection]) {
        // At most two orders of the activations are met: most projections of a layer are of one format.
        let stride = Int(pannier_prepared_floats(Int64(columns)))
        var prepared: [(kind: pannier_weight_kind, at: UnsafeMutablePointer<Float>)] = []
        var waiting = projections[...]
        while !waiting.isEmpty {
            prepared.removeAll(keepingCapacity: true)
            var jobs: [Job] = []
            while let projection = waiting.first {
                let kind = projection.matrix.kernel.pointee.kind
                let input: UnsafeMutablePointer<Float>
                if let known = prepared.first(where: { $0.kind == kind }) {
                    input = known.at
                } else if prepared.count < 2 {
                    input = packed.pointer + prepared.count * stride
                    pannier_prepare(kind, one, Int64(columns), input)
                    prepared.append((kind, input))
                } else {
                    break
                }
                // About 64 KiB of weights a chunk.
                let rows = max(8, (64 << 10) / max(1, projection.matrix.rowBytes))
                jobs.append(Job(projection, input: input, chunkRows: rows))
                waiting = waiting.dropFirst()
            }
            run(jobs) { job, rows, _ in
                pannier_matvec(job.matrix, Int64(rows.lowerBound), Int64(rows.upperBound), job.input, job.out)
            }
        }
    }

    /// One projection of a loop. Only plain values: counting references between threads would cost more than a chunk.
    private struct Job {
        let matrix: UnsafePointer<pannier_matrix>
        let rows: Int
        let input: UnsafePointer<Float>
        let out: UnsafeMutablePointer<Float>
        let chunkRows: Int
        var chunks: Int { (rows + chunkRows - 1) / chunkRows }

        init(_ projection: Projection, input: UnsafePointer<Float>, chunkRows: Int) {
            matrix = UnsafePointer(projection.matrix.kernel)
            rows = projection.matrix.rows
            self.input = input
            out = projection.out
            self.chunkRows = chunkRows
        }
    }

    /// Runs the rows of all jobs in chunks.
    private func run(_ jobs: [Job], _ body: (_ job: Job, _ rows: Range<Int>, _ thread: Int) -> Void) {
        jobs.withUnsafeBufferPointer { jobs in
            pool.run(jobs.reduce(0) { $0 + $1.chunks }) { chunk, thread in
                var chunk = chunk
                for job in jobs {
                    if chunk < job.chunks {
                        let first = chunk * job.chunkRows
                        return body(job, first..<min(job.rows, first + job.chunkRows), thread)
                    }
                    chunk -= job.chunks
                }
            }
        }
    }
}
