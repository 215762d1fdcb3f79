// From the bytes of a piece to its id, without making a string for each question.

/// A hash table over the pieces' UTF-8. The first of equal pieces counts.
struct PieceTable: Sendable {
    private var bytes: [UInt8] = []
    private var starts: [Int] = [0]
    private var slots: [Int32]
    /// Length of the longest piece in bytes; longer text is in no piece.
    private(set) var longest = 0

    /// - Parameter included: pieces that may be found.
    init(_ pieces: [String], where included: (Int) -> Bool) {
        var capacity = 16
        while capacity < pieces.count * 2 { capacity *= 2 }
        slots = Array(repeating: -1, count: capacity)
        starts.reserveCapacity(pieces.count + 1)
        for (id, piece) in pieces.enumerated() {
            bytes.append(contentsOf: piece.utf8)
            starts.append(bytes.count)
            guard included(id) else { continue }
            longest = max(longest, bytes.count - starts[id])
            let slot: Int = bytes.withUnsafeBufferPointer { all in
                self.slot(of: UnsafeBufferPointer(rebasing: all[starts[id]..<all.count]), in: all)
            }
            if slots[slot] < 0 { slots[slot] = Int32(truncatingIfNeeded: id) }
        }
    }

    /// The id of a piece, or nil.
    func id(of text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard text.count <= longest else { return nil }
        let id = bytes.withUnsafeBufferPointer { slots[slot(of: text, in: $0)] }
        return id < 0 ? nil : Int(id)
    }

    func id(of text: String) -> Int? {
        var text = text
        return text.withUTF8 { id(of: $0) }
    }

    /// Where the piece is or would be. The table is never more than half full.
    private func slot(of text: UnsafeBufferPointer<UInt8>, in all: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(text))
        var slot = Int(truncatingIfNeeded: UInt(bitPattern: hasher.finalize()) & UInt(slots.count - 1))
        while slots[slot] >= 0 {
            let id = Int(slots[slot]), length = starts[id + 1] - starts[id]
            if length == text.count, all[starts[id]..<starts[id + 1]].elementsEqual(text) { break }
            slot = (slot + 1) & (slots.count - 1)
        }
        return slot
    }
}
