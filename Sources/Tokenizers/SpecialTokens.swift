// Tokens that are found in text whole, before any other splitting.

/// A tree over the tokens' bytes: what a token costs to find is its own length, however many there are.
struct SpecialTokens: Sendable {
    /// Tokens that have their first bytes in common. Between two nodes stand all bytes in which their tokens agree.
    private struct Node: Sendable {
        /// In `labels`: what these tokens go on with after the node above.
        var label: Range<Int>
        /// In `nodes`: those below, in the order of their labels' first bytes.
        var children = 0..<0
        /// The token that ends here.
        var id: Int?
    }
    private var labels: [UInt8] = []
    private var nodes = [Node(label: 0..<0)]

    /// How a token of a tokenizer.json is found in text: AddedToken in the documentation of `tokenizers`.
    struct Treatment: OptionSet, Sendable {
        let rawValue: UInt8
        /// Takes the white space before it along, or that after it.
        static let stripsLeft = Treatment(rawValue: 1)
        static let stripsRight = Treatment(rawValue: 2)
        /// Is not found within a word.
        static let isWord = Treatment(rawValue: 4)
    }
    private let treatments: [Int: Treatment]

    /// The first of equal tokens counts.
    /// - Parameter treatments: of those tokens that have one, by id.
    init(_ tokens: [(text: String, id: Int)], treatments: [Int: Treatment] = [:]) {
        self.treatments = treatments.filter { !$0.value.isEmpty }
        let bytes: [UInt8] = tokens.flatMap { $0.text.utf8 }
        let starts = tokens.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.text.utf8.count) }
        /// The byte at a place of a token, and one more; 0 behind its end.
        func key(_ token: Int, _ place: Int) -> Int {
            let at = starts[token] + place
            return at < starts[token + 1] ? Int(bytes[at]) + 1 : 0
        }

        // Tokens of one node stand side by side.
        var order = tokens.indices.filter { !tokens[$0].text.isEmpty }
        var pending = [(node: 0, members: 0..<order.count, depth: 0)]
        while let (node, members, depth) = pending.popLast() {
            // Sorted by the byte at `depth`, equal ones in the order they had.
            let unsorted = Array(order[members])
            var ends = [Int](repeating: 0, count: 257)
            for token in unsorted { ends[key(token, depth)] += 1 }
            var sum = members.lowerBound
            for value in ends.indices {
                let count = ends[value]
                ends[value] = sum
                sum += count
            }
            for token in unsorted {
                let value = key(token, depth)
                order[ends[value]] = token
                ends[value] += 1
            }
            if ends[0] > members.lowerBound { nodes[node].id = tokens[order[members.lowerBound]].id }

            let firstChild = nodes.count
            for value in 1...256 where ends[value] > ends[value - 1] {
                let group = ends[value - 1]..<ends[value], first = order[group.lowerBound]
                var end = depth + 1
                while key(first, end) > 0, order[group].allSatisfy({ key($0, end) == key(first, end) }) { end += 1 }
                let start = labels.count
                labels.append(contentsOf: bytes[starts[first] + depth..<starts[first] + end])
                nodes.append(Node(label: start..<labels.count, id: group.count == 1 ? tokens[first].id : nil))
                if group.count > 1 { pending.append((node: nodes.count - 1, members: group, depth: end)) }
            }
            nodes[node].children = firstChild..<nodes.count
        }
    }

    var isEmpty: Bool { nodes.count == 1 }

    /// The longest token that begins at an offset.
    func match(in text: UnsafeBufferPointer<UInt8>, at offset: Int) -> (length: Int, id: Int)? {
        var node = nodes[0], at = offset
        var longest: (length: Int, id: Int)?
        while at < text.count, let next = child(of: node, beginning: text[at]) {
            node = nodes[next]
            var place = node.label.lowerBound + 1
            at += 1
            while place < node.label.upperBound, at < text.count, labels[place] == text[at] {
                place += 1
                at += 1
            }
            guard place == node.label.upperBound else { break }
            if let id = node.id { longest = (at - offset, id) }
        }
        return longest
    }

    private func child(of node: Node, beginning byte: UInt8) -> Int? {
        var low = node.children.lowerBound, high = node.children.upperBound
        while low < high {
            let middle = (low + high) / 2
            if labels[nodes[middle].label.lowerBound] < byte { low = middle + 1 } else { high = middle }
        }
        guard low < node.children.upperBound, labels[nodes[low].label.lowerBound] == byte else { return nil }
        return low
    }

    enum Fragment: Equatable {
        case text(String)
        case token(Int)
    }

    /// The text, cut at every token, from the left.
    func split(_ text: String) -> [Fragment] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        var text = text
        return text.withUTF8 { bytes in
            var fragments: [Fragment] = []
            var start = 0, at = 0
            func flush(to end: Int) {
                if start < end { fragments.append(.text(String(decoding: bytes[start..<end], as: UTF8.self))) }
            }
            while at < bytes.count {
                guard let (length, id) = match(in: bytes, at: at) else {
                    at += 1
                    continue
                }
                var range = at..<at + length
                at = range.upperBound
                if let treatment = treatments[id], !Self.treat(&range, treatment, in: bytes, from: start) { continue }
                flush(to: range.lowerBound)
                fragments.append(.token(id))
                start = range.upperBound
                at = start
            }
            flush(to: at)
            return fragments
        }
    }

    /// Widens a token's range by the white space that goes with it.
    /// - Returns: false where it stands within a word and may not.
    private static func treat(
        _ range: inout Range<Int>, _ treatment: Treatment, in text: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> Bool {
        func before(_ end: Int) -> Unicode.Scalar? {
            var from = end - 1
            while from > 0, text[from] & 0xc0 == 0x80 { from -= 1 }
            return from < 0 ? nil : String(decoding: text[from..<end], as: UTF8.self).unicodeScalars.last
        }
        func after(_ from: Int) -> Unicode.Scalar? {
            var end = from + 1
            while end < text.count, text[end] & 0xc0 == 0x80 { end += 1 }
            return from < text.count ? String(decoding: text[from..<end], as: UTF8.self).unicodeScalars.first : nil
        }
        if treatment.contains(.isWord), [before(range.lowerBound), after(range.upperBound)].contains(where: isWordCharacter) {
            return false
        }
        var (lower, upper) = (range.lowerBound, range.upperBound)
        if treatment.contains(.stripsLeft) {
            while lower > start, let scalar = before(lower), scalar.properties.isWhitespace { lower -= scalar.utf8.count }
        }
        if treatment.contains(.stripsRight) {
            while let scalar = after(upper), scalar.properties.isWhitespace { upper += scalar.utf8.count }
        }
        range = lower..<upper
        return true
    }

    /// `\w` of regular expressions (Unicode Technical Standard 18, Annex C).
    private static func isWordCharacter(_ scalar: Unicode.Scalar?) -> Bool {
        guard let scalar else { return false }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return scalar.properties.isAlphabetic || scalar.properties.isJoinControl
        }
    }
}
