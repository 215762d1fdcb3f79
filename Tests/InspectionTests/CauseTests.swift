// Causes of differences that the other tests do not cover: fused tensors taken apart wrongly, layers off by one, factors.

import Foundation
import Inspection
import Layouts
import Tensors
import Testing

@Suite struct CauseTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private static let rowBytes = Sample.columns * 2

    /// Rows of a tensor of the sample.
    private static func rows(_ bytes: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: rowBytes).map { Array(bytes[$0..<$0 + rowBytes]) }
    }

    private static let parts = ["q", "k", "v"].map { "model.layers.1.self_attn.\($0)_proj.weight" }

    /// Every difference has one cause, of the given kind.
    private func expect(
        _ kind: DifferenceCause.Kind, in names: [String], _ change: (inout SafetensorsText) throws -> Void
    ) throws {
        let other = folder.file("other-\(UUID().uuidString)")
        try Sample.copy(to: other, changing: change)
        let changed = try difference(Sample.folder, other).changed()
        #expect(changed.map(\.name).sorted() == names.sorted())
        for tensor in changed { #expect(tensor.causes.map(\.kind) == [kind], "\(tensor.name)") }
        // Without looking for them there are none.
        #expect(try difference(Sample.folder, other, findCauses: false).changed().allSatisfy(\.causes.isEmpty))
    }

    /// Lit-GPT once stored Q, K and V by groups of heads; today one after another. Whoever confuses them gets rows of
    /// all three in each.
    @Test(arguments: [true, false])
    func fusedRowsOfTheOtherOrderAreExplained(interleaved: Bool) throws {
        try expect(.qkvGrouping, in: Self.parts) { text in
            let whole = Self.parts.map { Self.rows(text[$0]) }
            let groups = 2, shares = whole.map { $0.count / groups }
            var byGroups: [[UInt8]] = []
            for group in 0..<groups {
                for part in 0..<3 { byGroups += whole[part][group * shares[part]..<(group + 1) * shares[part]] }
            }
            var made: [[[UInt8]]] = [[], [], []]
            if interleaved {
                var at = 0
                for part in 0..<3 {
                    made[part] = Array(byGroups[at..<at + whole[part].count])
                    at += whole[part].count
                }
            } else {
                let joined = whole.flatMap { $0 }
                var at = 0
                for _ in 0..<groups {
                    for part in 0..<3 {
                        made[part] += joined[at..<at + shares[part]]
                        at += shares[part]
                    }
                }
            }
            for (part, name) in Self.parts.enumerated() { text[name] = made[part].flatMap { $0 } }
        }
    }

    @Test(arguments: ["self_attn.q_proj", "mlp.down_proj", "post_attention_layernorm"])
    func layersOffByOneAreExplained(part: String) throws {
        try expect(.layerShifted, in: ["model.layers.2.\(part).weight"]) { text in
            text["model.layers.2.\(part).weight"] = text["model.layers.1.\(part).weight"]
        }
    }

    @Test func factorsAreExplained() throws {
        let name = "model.layers.0.mlp.gate_proj.weight"
        // Twice: one more in the exponent of a bf16, which is its bits 7 to 14.
        try expect(.scaled, in: [name]) { text in
            var bytes = text[name]
            for at in stride(from: 0, to: bytes.count, by: 2) {
                let word = UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
                let twice = word & 0x7F80 == 0 ? word : word + 0x80
                bytes[at] = UInt8(truncatingIfNeeded: twice)
                bytes[at + 1] = UInt8(truncatingIfNeeded: twice >> 8)
            }
            text[name] = bytes
        }
        // The other sign.
        try expect(.scaled, in: [name]) { text in
            var bytes = text[name]
            for at in stride(from: 1, to: bytes.count, by: 2) { bytes[at] ^= 0x80 }
            text[name] = bytes
        }
    }

    /// One value that is not as predicted, and nothing is claimed.
    @Test func almostACauseIsNone() throws {
        let name = "model.layers.2.self_attn.q_proj.weight", other = folder.file("other")
        try Sample.copy(to: other) { text in
            var bytes = text["model.layers.1.self_attn.q_proj.weight"]
            bytes[bytes.count / 2] ^= 1
            text[name] = bytes
        }
        let changed = try difference(Sample.folder, other).changed()
        #expect(changed.map(\.name) == [name])
        #expect(changed.first?.causes.isEmpty == true)
    }
}
