// How a GGUF is spread over several files, as llama-gguf-split does it.
//
// Source: tools/gguf-split of llama.cpp: the first part holds the metadata, every part holds its number, the number of
// parts and of all tensors.

internal import Bytes
public import OrderedCollections
public import Tensors

public enum GGUFSplit {
    /// Where a split begins a new file.
    public enum Limit: Sendable {
        case tensors(Int)
        /// Bytes of padded tensor data in one file.
        case bytes(UInt64)
    }

    /// Spreads tensors over files: in order, a new file where the next tensor would exceed the limit.
    /// - Parameter alignment: bytes of which each tensor takes a multiple in the first file. The others, which have no
    ///   metadata of their own, keep to GGUF's default.
    public static func spread(_ tensors: [TensorPlan], limit: Limit, alignment: UInt64) -> [[Int]] {
        var parts: [[Int]] = [[]]
        var size: UInt64 = 0
        func padded(_ tensor: TensorPlan) -> UInt64 {
            let alignment = parts.count == 1 ? alignment : GGUFHeader.defaultAlignment
            return UInt64(tensor.byteCount).alignedUp(to: alignment) ?? UInt64(tensor.byteCount)
        }
        for (index, tensor) in tensors.enumerated() {
            var bytes = padded(tensor)
            let isFull =
                switch limit {
                case .tensors(let count): parts[parts.count - 1].count >= max(1, count)
                case .bytes(let most): size + bytes > most
                }
            if isFull, !parts[parts.count - 1].isEmpty {
                parts.append([])
                size = 0
                bytes = padded(tensor)
            }
            parts[parts.count - 1].append(index)
            size += bytes
        }
        return parts
    }

    /// The files of a spread, PREFIX-00001-of-0000N.gguf.
    /// - Parameter countComesLast: as llama-gguf-split orders the keys; llama-quantize has `split.count` before
    ///   `split.tensors.count`.
    public static func parts(
        _ spread: [[Int]], prefix: String, metadata: Metadata, tensorCount: Int, countComesLast: Bool
    ) -> [GGUFPart] {
        spread.enumerated().map { number, tensors in
            var own: Metadata = number == 0 ? metadata : [:]
            for key in ["split.no", "split.count", "split.tensors.count"] { own.removeValue(forKey: key) }
            own["split.no"] = .u16(UInt16(clamping: number))
            let count = MetadataValue.u16(UInt16(clamping: spread.count))
            // The order in which the one and the other of llama.cpp's programs write them.
            if countComesLast { own["split.tensors.count"] = .i32(Int32(clamping: tensorCount)) }
            own["split.count"] = count
            if !countComesLast { own["split.tensors.count"] = .i32(Int32(clamping: tensorCount)) }
            return GGUFPart(
                name: SplitName.name(prefix: prefix, number: number + 1, count: spread.count), tensors: tensors,
                metadata: own)
        }
    }
}
