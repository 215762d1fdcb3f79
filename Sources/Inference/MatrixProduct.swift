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
        run(projections, by: { _ in 48 }) { projection, rows, thread in
            withUnsafePointer(to: projection.matrix.kernel) { kernel in
                matmul(
                    kernel, Int64(rows.lowerBound), Int64(rows.upperBound), packed, count, projection.out,
                    kernel.pointee.rows, self.scratch[thread].pointer)
            }
        }
    }

    private func multiplyOne(_ input: UnsafePointer<Float>, columns: Int, _ projections: [Projection]) {
        // At most two orders of the activations are met: most projections of a layer are of one format.
        let stride = Int(pannier_prepared_floats(Int64(columns)))
        var prepared: [(kind: pannier_weight_kind, at: UnsafeMutablePointer<Float>)] = []
        var waiting = projections[...]
        while !waiting.isEmpty {
            prepared.removeAll(keepingCapacity: true)
            var batch: [(Projection, UnsafeMutablePointer<Float>)] = []
            while let projection = waiting.first {
                let kind = projection.matrix.kernel.kind
                if let known = prepared.first(where: { $0.kind == kind }) {
                    batch.append((projection, known.at))
                } else if prepared.count < 2 {
                    let at = packed.pointer + prepared.count * stride
                    pannier_prepare(kind, input, Int64(columns), at)
                    prepared.append((kind, at))
                    batch.append((projection, at))
                } else {
                    break
                }
                waiting = waiting.dropFirst()
            }
            // About 64 KiB of weights a chunk.
            run(batch.map(\.0), by: { max(8, (64 << 10) / max(1, $0.rowBytes)) }) { projection, rows, _ in
                guard let at = batch.first(where: { $0.0.out == projection.out })?.1 else { return }
                withUnsafePointer(to: projection.matrix.kernel) { kernel in
                    pannier_matvec(kernel, Int64(rows.lowerBound), Int64(rows.upperBound), at, projection.out)
                }
            }
        }
    }

    /// Runs the rows of all projections in chunks.
    private func run(
        _ projections: [Projection], by size: (WeightMatrix) -> Int,
        _ body: (_ projection: Projection, _ rows: Range<Int>, _ thread: Int) -> Void
    ) {
        var firstChunks: [Int] = [], sizes: [Int] = [], chunks = 0
        for projection in projections {
            let size = size(projection.matrix)
            firstChunks.append(chunks)
            sizes.append(size)
            chunks += (projection.matrix.rows + size - 1) / size
        }
        pool.run(chunks) { chunk, thread in
            guard let index = firstChunks.lastIndex(where: { $0 <= chunk }) else { return }
            let first = (chunk - firstChunks[index]) * sizes[index]
            let projection = projections[index]
            body(projection, first..<min(projection.matrix.rows, first + sizes[index]), thread)
        }
    }
}
