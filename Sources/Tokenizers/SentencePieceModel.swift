// tokenizer.model: SentencePiece's ModelProto. Field numbers from sentencepiece_model.proto of google/sentencepiece.

internal import Bytes

/// What kind of entry a piece of a vocabulary is. Raw values are SentencePiece's, which GGUF's `token_type` uses too.
public enum PieceType: Int32, Sendable, CaseIterable {
    case normal = 1
    case unknown = 2
    /// Never found in text: bos, eos.
    case control = 3
    /// Found in text whole, before any merging.
    case userDefined = 4
    case unused = 5
    /// One byte of text that has no piece, written `<0xNN>`.
    case byte = 6
}

/// A trained SentencePiece model: its pieces in the order of their ids, and how it treats text.
public struct SentencePieceModel: Sendable {
    public struct Piece: Sendable, Hashable {
        /// With U+2581 for spaces.
        public var text: String
        public var score: Float
        public var type: PieceType

        public init(text: String, score: Float, type: PieceType) {
            self.text = text
            self.score = score
            self.type = type
        }
    }

    /// TrainerSpec.ModelType.
    public enum Algorithm: UInt64, Sendable {
        case unigram = 1, bpe, word, char
    }

    public var pieces: [Piece] = []
    public var algorithm = Algorithm.unigram
    /// A space is put in front of the text.
    public var addDummyPrefix = true
    /// Runs of spaces become one, and outer ones go.
    public var removeExtraWhitespaces = true
    /// Spaces become U+2581.
    public var escapeWhitespaces = true
    public var byteFallback = false
    public var treatWhitespaceAsSuffix = false
    public var normalizer = ""
    /// A table of Unicode replacements (NFKC and the like), or nothing for the identity.
    public var charactersMap: [UInt8] = []
    public var unknownID = 0
    public var bosID = 1
    public var eosID = 2
    public var padID = -1

    /// Vocabularies larger than this are refused before they are read.
    public static let mostPieces = 1 << 22
    /// Ids that nothing names, at most, beside as many as there are names.
    static let mostHoles = 1 << 16

    /// - Parameter file: the name errors give.
    /// - Throws: `malformed` where the bytes are no ModelProto.
    public init(_ bytes: [UInt8], file: String? = nil) throws {
        var reader = ProtobufReader(bytes, range: 0..<bytes.count, file: file)
        while let (field, value) = try reader.next() {
            guard case .bytes(let range) = value else { continue }
            switch field {
            case 1:
                guard pieces.count < Self.mostPieces else {
                    throw reader.fault(
                        "too many pieces", at: range.lowerBound, expected: "at most \(Self.mostPieces)")
                }
                pieces.append(try Self.piece(bytes, range, file, id: pieces.count))
            case 2: try readTrainer(bytes, range, file)
            case 3: try readNormalizer(bytes, range, file)
            default: break
            }
        }
        guard !pieces.isEmpty else {
            throw CheckpointError.malformed(
                "no SentencePiece vocabulary", file: file, expected: "a ModelProto with pieces",
                remedy: "check that it is the tokenizer.model of the model and not a Git LFS pointer")
        }
    }

    private static func piece(_ bytes: [UInt8], _ range: Range<Int>, _ file: String?, id: Int) throws -> Piece {
        var piece = Piece(text: "", score: 0, type: .normal)
        var reader = ProtobufReader(bytes, range: range, file: file)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let text)):
                guard let string = String(validating: bytes[text], as: UTF8.self) else {
                    throw reader.fault("piece \(id) is not valid UTF-8", at: text.lowerBound)
                }
                piece.text = string
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .varint(let raw)):
                guard let type = Int32(exactly: raw).flatMap(PieceType.init) else {
                    throw reader.fault(
                        "piece \(id) has an unknown type", at: range.lowerBound, expected: "1 to 6", found: "\(raw)")
                }
                piece.type = type
            default: break
            }
        }
        return piece
    }

    private mutating func readTrainer(_ bytes: [UInt8], _ range: Range<Int>, _ file: String?) throws {
        var reader = ProtobufReader(bytes, range: range, file: file)
        while let (field, value) = try reader.next() {
            guard case .varint(let raw) = value else { continue }
            // Negative ids are written as 64-bit two's complement.
            let id = Int(truncatingIfNeeded: Int64(bitPattern: raw))
            switch field {
            case 3:
                guard let kind = Algorithm(rawValue: raw) else {
                    throw reader.fault("an unknown kind of model", at: range.lowerBound, found: "\(raw)")
                }
                algorithm = kind
            case 24: treatWhitespaceAsSuffix = raw != 0
            case 35: byteFallback = raw != 0
            case 40: unknownID = id
            case 41: bosID = id
            case 42: eosID = id
            case 43: padID = id
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ bytes: [UInt8], _ range: Range<Int>, _ file: String?) throws {
        var reader = ProtobufReader(bytes, range: range, file: file)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let name)): normalizer = String(decoding: bytes[name], as: UTF8.self)
            case (2, .bytes(let map)): charactersMap = Array(bytes[map])
            case (3, .varint(let raw)): addDummyPrefix = raw != 0
            case (4, .varint(let raw)): removeExtraWhitespaces = raw != 0
            case (5, .varint(let raw)): escapeWhitespaces = raw != 0
            default: break
            }
        }
    }
}
