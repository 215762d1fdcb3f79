// The plain floats as formats: F32, F16, BF16 and F64.

internal import CKernels
internal import Tensors

extension BlockFormat {
    /// Blocks of one element, converted with rounding to nearest, ties to even.
    static let floats: [BlockFormat] = [
        BlockFormat(
            .f32, ggmlType: 0, importance: .unused, scales: .none, summary: "IEEE single precision",
            encoder: { source, target, rows, columns, _ in
                target.copyMemory(from: source, byteCount: rows * columns * 4)
            },
            decoder: { source, target, count in
                UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
            }),
        BlockFormat(
            .f16, ggmlType: 1, importance: .unused, scales: .none, summary: "IEEE half precision",
            encoder: { source, target, rows, columns, _ in
                pannier_f32_to_f16(source, target, Int64(rows * columns))
            },
            decoder: { source, target, count in pannier_f16_to_f32(source, target, Int64(count)) }),
        BlockFormat(
            .bf16, ggmlType: 30, importance: .unused, scales: .none, summary: "the upper half of a single",
            encoder: { source, target, rows, columns, _ in
                pannier_f32_to_bf16(source, target, Int64(rows * columns))
            },
            decoder: { source, target, count in pannier_bf16_to_f32(source, target, Int64(count)) }),
        BlockFormat(
            .f64, ggmlType: 28, importance: .unused, scales: .none, summary: "IEEE double precision",
            encoder: { source, target, rows, columns, _ in
                for i in 0..<rows * columns {
                    target.storeBytes(of: Double(source[i]), toByteOffset: i * 8, as: Double.self)
                }
            },
            decoder: { source, target, count in pannier_f64_to_f32(source, target, Int64(count)) }),
    ]
}
