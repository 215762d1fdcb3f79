// PyTorch's own files, as Tests/Golden/make_pytorch.py made them, give the tensors and scalars that PyTorch gives.

import Bytes
import Containers
import Foundation
import OrderedCollections
import Tensors
import Testing

/// What expected.json says of a file.
struct ExpectedCheckpoint: Sendable {
    struct Tensor: Sendable {
        let dtype: String
        let shape: [Int]
        let bytes: String
    }

    let name: String
    let tensors: [String: Tensor]
    let scalarNames: Set<String>

    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Golden/pytorch")

    var path: String { Self.folder.appendingPathComponent(name + ".pt").path }

    static let all: [ExpectedCheckpoint] = {
        guard let data = try? Data(contentsOf: folder.appendingPathComponent("expected.json")),
            let json = try? JSONSerialization.jsonObject(with: data) as? [String: [String: [String: Any]]]
        else { return [] }
        return json.keys.sorted().map { name in
            let tensors = (json[name]?["tensors"] ?? [:]).compactMapValues { value -> Tensor? in
                guard let entry = value as? [String: Any], let dtype = entry["dtype"] as? String,
                    let shape = entry["shape"] as? [Int], let bytes = entry["bytes"] as? String
                else { return nil }
                return Tensor(dtype: dtype, shape: shape, bytes: bytes)
            }
            return ExpectedCheckpoint(
                name: name, tensors: tensors, scalarNames: Set((json[name]?["scalars"] ?? [:]).keys))
        }
    }()
}

extension [UInt8] {
    var hex: String { map { String(format: "%02x", $0) }.joined() }
}

@Suite struct PyTorchGolden {
    @Test func thereAreFiles() {
        #expect(ExpectedCheckpoint.all.count >= 20)
    }

    @Test(arguments: ExpectedCheckpoint.all.map(\.name))
    func tensorsAndScalarsAreThoseOfPyTorch(_ name: String) throws {
        let expected = try #require(ExpectedCheckpoint.all.first { $0.name == name })
        let reader = try PyTorchReader(expected.path)
        #expect(Set(reader.tensors.map(\.name)) == Set(expected.tensors.keys))
        #expect(Set(reader.metadata.keys) == expected.scalarNames)
        #expect(!reader.globals.contains { !$0.isAllowed })
        let damaged = try reader.verifyChecksums(threads: 1)
        #expect(damaged.isEmpty)
        for tensor in reader.tensors {
            let wanted = try #require(expected.tensors[tensor.name])
            #expect(tensor.dtype.rawValue == wanted.dtype, "\(tensor.name)")
            #expect(tensor.shape.dimensions == wanted.shape, "\(tensor.name)")
            let whole = try reader.readAll(tensor)
            #expect(whole.hex == wanted.bytes, "\(tensor.name)")
            // Every part alone gives the same as the whole.
            let size = tensor.dtype.blockBytes
            for start in 0..<tensor.shape.count {
                for end in Set([start + 1, start + 3, start + 8, tensor.shape.count]) where end <= tensor.shape.count {
                    var part = [UInt8](repeating: 0, count: (end - start) * size)
                    try part.withUnsafeMutableBytes { try reader.read(tensor, elements: start..<end, into: $0) }
                    #expect(part == Array(whole[start * size..<end * size]), "\(tensor.name) \(start)..<\(end)")
                }
            }
        }
    }

    @Test(arguments: ["zip-protocol2", "zip-protocol5", "stream-protocol2", "stream-protocol4"])
    func bookkeepingBecomesTypedMetadata(_ name: String) throws {
        let reader = try PyTorchReader(ExpectedCheckpoint.folder.appendingPathComponent(name + ".pt").path)
        #expect(reader.metadata["iter_num"] == .i64(600))
        #expect(reader.metadata["hparams.name"] == .string("tiny"))
        #expect(reader.metadata["hparams.learning_rate"] == .f64(4e-4))
        #expect(reader.metadata["hparams.flag"] == .bool(true))
        #expect(reader.metadata["hparams.big"] == .i64(1 << 40))
        #expect(reader.metadata["hparams.neg"] == .i64(-3))
        #expect(
            reader.metadata["optimizer.param_groups.0.betas"]
                == .array(.other(type: .f64, values: [.f64(0.9), .f64(0.95)])))
        #expect(reader.tensors.map(\.name).contains("optimizer.state.0.exp_avg"))
        let protocolName = "pickle protocol \(name.suffix(1))"
        #expect(reader.details.hasSuffix(protocolName), "\(reader.details)")
    }

    @Test func viewsOfOneStorageShareItsBytes() throws {
        let reader = try PyTorchReader(ExpectedCheckpoint.folder.appendingPathComponent("zip-views.pt").path)
        let tensors = Dictionary(uniqueKeysWithValues: reader.tensors.map { ($0.name, $0) })
        let whole = try #require(tensors["whole"])
        #expect(whole.isDenseNative)
        #expect(tensors["shared"]?.extent.offset == whole.extent.offset)
        #expect(tensors["tail"]?.extent.offset == whole.extent.offset + 200)
        #expect(tensors["tail"]?.view == nil)
        #expect(tensors["transposed"]?.view == StridedView(offset: 0, strides: [1, 10]))
        #expect(tensors["steps"]?.view == StridedView(offset: 1, strides: [7]))
    }

    @Test func numbersOutsideOf64BitsAreKept() throws {
        let reader = try PyTorchReader(ExpectedCheckpoint.folder.appendingPathComponent("zip-numbers.pt").path)
        #expect(reader.metadata["long"] == .u64((1 << 63) + 5))
        #expect(reader.metadata["int"] == .i64(.min))
        #expect(reader.metadata["text"] == .string("ü\n"))
        #expect(reader.metadata["many"]?.array?.count == 300)
    }
}
