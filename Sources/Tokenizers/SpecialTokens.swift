// Tokens that are found in text whole, before any other splitting.

struct SpecialTokens: Sendable {
    private struct Entry: Sendable {
        let bytes: [UInt8]
        let id: Int
    }
    /// By first byte, the longest first.
    private var entries: [UInt8: [Entry]] = [:]

    init(_ tokens: [(text: String, id: Int)]) {
        for (text, id) in tokens {
            let bytes = Array(text.utf8)
            guard let first = bytes.first else { continue }
            entries[first, default: []].append(Entry(bytes: bytes, id: id))
        }
        for key in entries.keys { entries[key]?.sort { $0.bytes.count > $1.bytes.count } }
    }

    var isEmpty: Bool { entries.isEmpty }

    /// The longest token that begins at an offset.
    func match(in text: UnsafeBufferPointer<UInt8>, at offset: Int) -> (length: Int, id: Int)? {
        guard let candidates = entries[text[offset]] else { return nil }
        for candidate in candidates where candidate.bytes.count <= text.count - offset {
            if text[offset..<offset + candidate.bytes.count].elementsEqual(candidate.bytes) {
                return (candidate.bytes.count, candidate.id)
            }
        }
        return nil
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
            func flush() {
                if start < at { fragments.append(.text(String(decoding: bytes[start..<at], as: UTF8.self))) }
            }
            while at < bytes.count {
                if let (length, id) = match(in: bytes, at: at) {
                    flush()
                    fragments.append(.token(id))
                    at += length
                    start = at
                } else {
                    at += 1
                }
            }
            flush()
            return fragments
        }
    }
}
