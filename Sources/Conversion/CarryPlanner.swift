// Carrying tensors under their own names and in their own shapes: a change of container alone.

internal import Bytes
internal import OrderedCollections
internal import Tensors

/// Plans a checkpoint that keeps every tensor, whatever model it is of.
struct CarryPlanner {
    let reader: any CheckpointReader
    let container: ContainerKind
    let precision: Precision

    /// - Throws: `unsupported` when a tensor's dtype cannot be had in the container.
    func plan() throws -> ConversionPlan {
        let steps = try reader.tensors.enumerated().map { index, tensor in
            if container == .pytorch, [.f4, .f6e2m3, .f6e3m2].contains(tensor.dtype) {
                throw CheckpointError.unsupported(
                    "PyTorch has no \(tensor.dtype)", file: reader.path, place: tensor.name,
                    remedy: "carry it with --to safetensors, which has it")
            }
            return ConversionStep(
                target: try TensorPlan(name: tensor.name, dtype: dtype(of: tensor), shape: tensor.shape),
                origin: .rows([
                    RowSegment(
                        tensor: index, sourceRow: 0, sourceStep: 1, targetRow: 0, targetStep: 1,
                        count: tensor.shape.rowCount)
                ]), from: tensor.dtype)
        }
        return ConversionPlan(
            steps: steps, metadata: container == .gguf ? reader.metadata : [:],
            warnings: container == .gguf || reader.kind != .pytorch ? [] : leftBehind)
    }

    /// Numbers are turned into the precision that is asked for; integers, truth values and 8-bit floats stay.
    private func dtype(of tensor: TensorInfo) -> DType {
        switch precision {
        case .fixed(let dtype) where tensor.dtype.isQuantized || [.f16, .bf16, .f32, .f64].contains(tensor.dtype): dtype
        case _ where tensor.dtype.isQuantized && container != .gguf: .f32
        default: tensor.dtype
        }
    }

    /// Scalars of a pickle have no place among tensors.
    private var leftBehind: [String] {
        let names = reader.metadata.keys
        guard let first = names.first else { return [] }
        return ["left behind, since they are no tensors: \(first)" + (names.count > 1 ? " and \(names.count - 1) more" : "")]
    }
}
