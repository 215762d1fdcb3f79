// Tensor names taken apart: the prefix a training program wrapped round them, the layer's number, the rest.

/// A name with its layer's number taken out: "model.layers.7.mlp.up_proj.weight" is "model.layers.{i}.mlp..." of 7.
struct NamePattern: Hashable {
    let pattern: String
    let layer: Int?

    /// The first component that is a plain decimal number (no leading zeros, at most six digits) is the layer.
    init(_ name: some StringProtocol) {
        var position = name.utf8.startIndex
        let bytes = name.utf8
        while position < bytes.endIndex {
            let end = bytes[position...].firstIndex(of: UInt8(ascii: ".")) ?? bytes.endIndex
            let component = bytes[position..<end]
            if let first = component.first, component.count <= 6,
                component.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
                component.count == 1 || first != UInt8(ascii: "0")
            {
                layer = component.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
                pattern = String(name[..<position]) + "{i}" + String(name[end...])
                return
            }
            guard end < bytes.endIndex else { break }
            position = bytes.index(after: end)
        }
        pattern = String(name)
        layer = nil
    }
}

extension Layout {
    /// The longest chain of prefixes is this many.
    private static let longestChain = 4

    /// Every chain of this layout's prefixes that a name begins with, the empty one first.
    func prefixChains(of name: String) -> [Substring] {
        var chains = [name.prefix(0)]
        var rest = name[...]
        while chains.count <= Self.longestChain, let prefix = prefixes.first(where: { rest.hasPrefix($0) }) {
            rest = rest.dropFirst(prefix.count)
            chains.append(name[..<rest.startIndex])
        }
        return chains
    }

    /// Whether a whole name belongs to a part of a training checkpoint that is not the model.
    func isBookkeeping(_ name: String) -> Bool {
        let top = name.prefix { $0 != "." }
        return bookkeeping.contains { $0 == top }
    }

    /// `{i}` as people read it, and without the ending that says nothing: "transformer.h.N.mlp.swiglu.w1".
    var readableTell: String {
        let name = tell.split(separator: ".").map { $0 == "{i}" ? "N" : $0 }.joined(separator: ".")
        return name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
    }
}
