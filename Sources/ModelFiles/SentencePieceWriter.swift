// tokenizer.model out of a GGUF's vocabulary: a SentencePiece BPE model that cuts text into the same ids. Field numbers
// from sentencepiece_model.proto in github.com/google/sentencepiece; wire format: protobuf.dev, "Encoding".

internal import Bytes
internal import Tokenizers

enum SentencePieceWriter {
    /// The bytes of tokenizer.model; nil with a warning when the vocabulary has no unknown token.
    ///
    /// SentencePiece loads only models with exactly one unknown piece, without empty or repeated pieces, and with all
    /// 256 bytes or none; what does not fit is renamed and marked as unused.
    static func model(of vocabulary: GGUFVocabulary, warnings: inout [String]) -> [UInt8]? {
        var pieces = Array(vocabulary.tokens.prefix(vocabulary.ownCount))
        guard
            let unknown = pieces.firstIndex(where: { $0.type == .unknown })
                ?? vocabulary.ids["unk"].flatMap({ $0 < pieces.count ? $0 : nil })
                ?? pieces.firstIndex(where: { $0.text == "<unk>" })
        else {
            warnings.append("the vocabulary has no unknown token: no tokenizer.model can be made of it")
            return nil
        }
        restoreBytes(&pieces, vocabulary)
        let bytes = Set(pieces.compactMap { $0.type == .byte ? SentencePieceBytes.byte(of: $0.text) : nil })
        let byteFallback = bytes.count == 256
        if !bytes.isEmpty, !byteFallback {
            warnings.append(
                "the vocabulary has only \(bytes.count) of the 256 bytes: tokenizer.model does not fall back to them")
        }
        var seen: Set<ExactText> = []
        for id in pieces.indices {
            if id == unknown {
                pieces[id].type = .unknown
            } else if pieces[id].type == .unknown {
                pieces[id].type = .control
            }
            if pieces[id].type == .byte, !byteFallback || SentencePieceBytes.byte(of: pieces[id].text) == nil {
                pieces[id].type = .unused
            }
            if pieces[id].type == .userDefined { pieces[id].text = escapingSpaces(pieces[id].text) }
            if !pieces[id].score.isFinite { pieces[id].score = 0 }
            if pieces[id].text.isEmpty || !seen.insert(ExactText(pieces[id].text)).inserted {
                warnings.append("token \(id) is empty or there twice: tokenizer.model has it as unused")
                pieces[id] = .init(text: "[UNUSED\(id)]", score: pieces[id].score, type: .unused)
                seen.insert(ExactText(pieces[id].text))
            }
        }
        let scores = pieces.lazy.filter { $0.type == .normal }.map(\.score)
        if scores.count > 1, Set(scores).count == 1 {
            warnings.append(
                "all scores of the vocabulary are the same: the order of merges is lost, and text may be cut otherwise than "
                    + "the model was trained on")
        }

        var message = ProtobufWriter()
        for piece in pieces {
            var entry = ProtobufWriter()
            entry.field(1, bytes: piece.text.utf8)
            entry.field(2, float: piece.score)
            // Normal is the default and is left out, as SentencePiece itself does.
            if piece.type != .normal { entry.field(3, integer: Int(piece.type.rawValue)) }
            message.field(1, bytes: entry.bytes)
        }
        message.field(2, bytes: trainer(vocabulary, pieces, unknown: unknown, byteFallback: byteFallback))
        var normalizer = ProtobufWriter()
        normalizer.field(1, bytes: (vocabulary.charactersMap.isEmpty ? "identity" : "custom").utf8)
        if !vocabulary.charactersMap.isEmpty { normalizer.field(2, bytes: vocabulary.charactersMap) }
        normalizer.field(3, integer: vocabulary.addsSpacePrefix ?? true ? 1 : 0)
        normalizer.field(4, integer: vocabulary.removesExtraWhitespaces ?? false ? 1 : 0)
        normalizer.field(5, integer: 1)
        message.field(3, bytes: normalizer.bytes)
        return message.bytes
    }

    private static func trainer(
        _ vocabulary: GGUFVocabulary, _ pieces: [GGUFVocabulary.Token], unknown: Int, byteFallback: Bool
    ) -> [UInt8] {
        /// Special pieces are found by their name and have to be control pieces of the model itself.
        func special(_ role: String) -> Int? {
            guard let id = vocabulary.ids[role], id < pieces.count, pieces[id].type == .control else { return nil }
            return id
        }
        var trainer = ProtobufWriter()
        trainer.field(3, integer: 2)  // BPE
        trainer.field(4, integer: pieces.count)
        trainer.field(35, integer: byteFallback ? 1 : 0)
        trainer.field(40, integer: unknown)
        trainer.field(41, integer: special("bos") ?? -1)
        trainer.field(42, integer: special("eos") ?? -1)
        trainer.field(43, integer: special("pad") ?? -1)
        trainer.field(45, bytes: pieces[unknown].text.utf8)
        for (role, field) in [("bos", 46), ("eos", 47), ("pad", 48)] as [(String, UInt64)] {
            if let id = special(role) { trainer.field(field, bytes: pieces[id].text.utf8) }
        }
        return trainer.bytes
    }

    /// Puts bytes back that an added token took the place of: they lie in one run, and tokenizer_config.json says again
    /// what was added.
    private static func restoreBytes(_ pieces: inout [GGUFVocabulary.Token], _ vocabulary: GGUFVocabulary) {
        guard
            let (id, byte) = pieces.enumerated().lazy.compactMap({ id, piece in
                piece.type == .byte ? SentencePieceBytes.byte(of: piece.text).map { (id, $0) } : nil
            }).first, id >= Int(byte)
        else { return }
        let first = id - Int(byte)
        guard first + 256 <= pieces.count else { return }
        for byte in UInt8.min...UInt8.max {
            let place = first + Int(byte)
            if vocabulary.isAdded(place) {
                pieces[place] = .init(text: SentencePieceBytes.piece(for: byte), score: 0, type: .byte)
            }
        }
    }

    private static func escapingSpaces(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars { out.unicodeScalars.append(scalar == " " ? "\u{2581}" : scalar) }
        return out
    }
}

/// Builds a Protocol Buffers message, its fields in the order of the calls.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// An integer, boolean or enumeration; negative ones take ten bytes.
    mutating func field(_ number: UInt64, integer value: Int) {
        varint(number << 3)
        varint(UInt64(bitPattern: Int64(value)))
    }

    mutating func field(_ number: UInt64, float value: Float) {
        varint(number << 3 | 5)
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
        }
    }

    /// Text, bytes or an embedded message.
    mutating func field(_ number: UInt64, bytes value: some Collection<UInt8>) {
        varint(number << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
}
