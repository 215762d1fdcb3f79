// What the tests of comparisons share: the sample model, copies of it with something changed, conversions.

import Bytes
import Conversion
import Foundation
import Inspection
import Layouts
import Tensors

/// A folder that goes when its owner goes.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "pannier-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

enum Sample {
    /// The trained sample model: bf16 safetensors in Hugging Face's form.
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Samples/KJV-Llama-2.8M").path

    static let headDim = 32
    static let columns = 256

    /// Carries the sample elsewhere.
    static func convert(
        _ source: String = folder, to destination: String, _ container: ContainerKind, layout: String,
        precision: Precision = .source
    ) throws {
        let request = ConversionRequest(
            destination: destination, container: container, layout: try Layouts.named(layout), precision: precision,
            output: OutputOptions(sync: false), threads: 2)
        _ = try Converter(ModelSource(source), request).run { _ in }
    }

    /// The sample's folder again with its weights changed.
    static func copy(to folder: String, changing change: (inout SafetensorsText) throws -> Void) throws {
        try FileManager.default.copyItem(atPath: Self.folder, toPath: folder)
        let url = URL(filePath: folder + "/model.safetensors")
        var text = try SafetensorsText(Data(contentsOf: url))
        try change(&text)
        try text.data.write(to: url)
    }
}

/// A safetensors file taken apart, to change what is in it.
struct SafetensorsText {
    private(set) var header: [String: Any]
    private(set) var bytes: [UInt8]

    init(_ data: Data) throws {
        let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        header = try JSONSerialization.jsonObject(with: data.dropFirst(8).prefix(length)) as? [String: Any] ?? [:]
        bytes = Array(data.dropFirst(8 + length))
    }

    func range(of name: String) -> Range<Int> {
        let offsets = (header[name] as? [String: Any])?["data_offsets"] as? [Int] ?? [0, 0]
        return offsets[0]..<offsets[1]
    }

    /// The bytes of a tensor.
    subscript(name: String) -> [UInt8] {
        get { Array(bytes[range(of: name)]) }
        set { bytes.replaceSubrange(range(of: name), with: newValue) }
    }

    /// Calls a tensor something else.
    mutating func rename(_ name: String, to other: String) {
        header[other] = header.removeValue(forKey: name)
    }

    /// Says that a tensor has another shape of as many values.
    mutating func setShape(_ name: String, _ shape: [Int]) {
        var entry = header[name] as? [String: Any] ?? [:]
        entry["shape"] = shape
        header[name] = entry
    }

    mutating func setMetadata(_ values: [String: String]) { header["__metadata__"] = values }

    /// Puts a tensor of floats behind the others.
    mutating func add(_ name: String, _ values: [Float]) {
        header[name] = [
            "dtype": "F32", "shape": [values.count], "data_offsets": [bytes.count, bytes.count + 4 * values.count],
        ]
        values.withUnsafeBytes { bytes += $0 }
    }

    var data: Data {
        get throws {
            let json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys])
            let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
            return length + json + Data(bytes)
        }
    }
}

/// Compares two paths.
func difference(_ a: String, _ b: String, findCauses: Bool = true) throws -> CheckpointDifference {
    try Differ(ComparedCheckpoint(a), ComparedCheckpoint(b), threads: 2).run(findCauses: findCauses)
}
