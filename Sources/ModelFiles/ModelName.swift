// What a model's name says: organization, base name, size, fine-tune and version.
//
// The rules are those of llama.cpp's converter (gguf-py/gguf/metadata.py, described in ggml's docs/gguf.md under
// "GGUF Naming Convention"), so that the same folder name gives the same metadata.

/// The parts of a model's name. A part that the name does not tell is nil.
public struct ModelName: Sendable, Hashable {
    /// The name without its organization: "TinyLlama-1.1B-Chat-v1.0".
    public var fullName: String
    public var organization: String?
    /// "TinyLlama"
    public var basename: String?
    /// "Chat"
    public var finetune: String?
    /// "v1.0"
    public var version: String?
    /// "1.1B"
    public var sizeLabel: String?

    private enum Meaning { case basename, size, finetune, version, type }

    /// Takes a name apart.
    /// - Parameters:
    ///   - identifier: a folder's name, or a repository as "organization/name".
    ///   - parameters: number of the model's elements. A size in the name that is far from it is taken for something
    ///     else, like a context length. 0 when unknown: every size is believed.
    public init(identifier: String, parameters: Int) {
        guard !identifier.utf8.contains(UInt8(ascii: " ")) else {
            // A sentence and no identifier.
            fullName = identifier
            return
        }
        var name = identifier[...]
        if let slash = identifier.utf8.firstIndex(of: UInt8(ascii: "/")) {
            let owner = identifier[..<slash]
            name = identifier[identifier.utf8.index(after: slash)...]
            // "./name" and "../name" are paths.
            if owner.utf8.first != UInt8(ascii: ".") { organization = String(owner) }
        }
        fullName = String(name)
        interpret(
            name.unicodeScalars.split(separator: "-").map { Part(scalars: Array($0)) }, parameters: parameters)
    }

    /// A piece between two hyphens, with what it was found to mean.
    private struct Part {
        var scalars: [Unicode.Scalar]
        var meanings: Set<Meaning> = []

        init(scalars: [Unicode.Scalar]) { self.scalars = scalars }
        var text: String {
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            return text
        }
    }

    private mutating func interpret(_ split: [Part], parameters: Int) {
        var parts = split
        for index in parts.indices { Self.annotate(&parts[index], first: index == 0, parameters: parameters) }

        // "small" and the like say nothing where a number does.
        if parts.contains(where: { $0.meanings.contains(.size) && $0.scalars.contains(where: \.isDecimal) }) {
            for index in parts.indices where parts[index].scalars.allSatisfy(\.isLetter) {
                parts[index].meanings.remove(.size)
            }
        }

        // The base name is what comes before the first part that means something else.
        var atStart = true
        for index in parts.indices {
            let meanings = parts[index].meanings
            if atStart,
                meanings.contains(.version)
                    || meanings.isEmpty && parts[index].scalars.first?.isLetter == true
            {
                parts[index].meanings.insert(.basename)
            } else {
                atStart = false
                if meanings.isEmpty { parts[index].meanings.insert(.finetune) }
            }
        }
        // A version that ends the name is not part of the base name.
        for index in parts.indices.reversed() {
            guard parts[index].meanings.contains(.basename), parts[index].meanings.count > 1 else { break }
            parts[index].meanings.remove(.basename)
        }

        func joined(_ chosen: (Part) -> Bool, unique: Bool = false) -> String? {
            var texts: [String] = []
            for part in parts where chosen(part) {
                if !unique || !texts.contains(part.text) { texts.append(part.text) }
            }
            return texts.isEmpty ? nil : texts.joined(separator: "-")
        }
        sizeLabel = joined({ $0.meanings.contains(.size) }, unique: true)
        finetune = joined { $0.meanings.contains(.finetune) }
        version = joined { $0.meanings.contains(.version) && !$0.meanings.contains(.basename) }
        // A base name alone would be a guess.
        if sizeLabel != nil || finetune != nil || version != nil {
            basename = joined { $0.meanings.contains(.basename) }
        }
    }

    private static func annotate(_ part: inout Part, first: Bool, parameters: Int) {
        if Pattern.isVersion(part.scalars) {
            part.meanings.insert(.version)
        } else if Pattern.isType(part.scalars) {
            part.meanings.insert(.type)
            part.scalars = Array(part.text.uppercased().unicodeScalars)
        } else if !first, Pattern.isSize(part.scalars) {
            readSize(&part, parameters: parameters)
        } else if !first, Pattern.isTuning(part.scalars) {
            part.meanings.insert(.finetune)
        }
    }

    /// Writes a size in one way ("7b1" is 7.1B, "1_1b" 1.1B) and asks whether it can be this model's.
    private static func readSize(_ part: inout Part, parameters: Int) {
        var scalars = part.scalars.map { $0 == "_" ? "." : $0 }
        if let last = scalars.last, last.isDecimal, scalars.count >= 2 {
            let unit = scalars[scalars.count - 2]
            scalars.removeLast(2)
            scalars += [".", last, unit]
        }
        if scalars.count > 1, scalars[scalars.count - 2].isDecimal, let unit = scalars.last,
            let upper = "kmbt".unicodeScalars.contains(unit) ? Unicode.Scalar(unit.value - 32) : nil
        {
            scalars[scalars.count - 1] = upper
        }
        if parameters != 0, let last = scalars.last, let number = decimal(scalars.dropLast()) {
            let power = " KMBT".unicodeScalars.firstIndex(of: last)
                .map { " KMBT".unicodeScalars.distance(from: " KMBT".unicodeScalars.startIndex, to: $0) }
            var scale = 1.0
            for _ in 0..<(power ?? 0) { scale *= 1000 }
            let distance = (number * scale - Double(parameters)).magnitude
            // More than 7/8 away: likely a context length or a number of training tokens.
            let (sevenfold, overflow) = parameters.multipliedReportingOverflow(by: 7)
            if !overflow, distance > Double(sevenfold / 8) {
                part.meanings.insert(.finetune)
                scalars[scalars.count - 1] =
                    last.value >= 0x41 && last.value <= 0x5A ? Unicode.Scalar(last.value + 32) ?? last : last
            }
        }
        if part.meanings.isEmpty { part.meanings.insert(.size) }
        part.scalars = scalars
    }

    private static func decimal(_ scalars: some Sequence<Unicode.Scalar>) -> Double? {
        var text = ""
        for scalar in scalars {
            if let digit = scalar.decimalValue {
                text += String(digit)
            } else if scalar == "." {
                text += "."
            } else {
                return nil
            }
        }
        return Double(text)
    }

    /// A name as a title: hyphens become spaces, words in small letters get a capital, versions and sizes stay.
    public static func title(_ name: String) -> String {
        let spaced = name.unicodeScalars.map { $0 == "-" ? " " : $0 }
        return spaced.split(whereSeparator: \.properties.isWhitespace).map { word in
            let scalars = Array(word)
            var text = ""
            guard isLowercased(scalars), !Pattern.isVersionWord(scalars) else {
                text.unicodeScalars.append(contentsOf: scalars)
                return text
            }
            var afterLetter = false
            for scalar in scalars {
                text += afterLetter ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
                afterLetter = scalar.properties.isCased
            }
            return text
        }.joined(separator: " ")
    }

    /// Whether there are letters with case and all of them are small.
    private static func isLowercased(_ scalars: [Unicode.Scalar]) -> Bool {
        scalars.contains(where: \.properties.isLowercase)
            && !scalars.contains { $0.properties.isUppercase || $0.properties.generalCategory == .titlecaseLetter }
    }

    /// The number of parameters as a size label: two digits at least, "2.8M", "1.1B", "13B".
    public static func sizeLabel(parameters: Int) -> String {
        let count = Double(parameters.magnitude)
        let (scaled, unit): (Double, String) =
            if count > 1e12 {
                (count * 1e-12, "T")
            } else if count > 1e9 {
                (count * 1e-9, "B")
            } else if count > 1e6 {
                (count * 1e-6, "M")
            } else {
                (count * 1e-3, "K")
            }
        let whole = scaled.rounded(.toNearestOrEven)
        let digits = whole < 1 ? 0 : whole < 10 ? 1 : 2
        return fixedPoint(scaled, digits: 2 - digits) + unit
    }
}

/// The patterns that parts of a name are recognised by. Each takes the whole part, whatever its case.
private enum Pattern {
    /// `(v|iter)?` and a dotted number.
    static func isVersion(_ part: [Unicode.Scalar]) -> Bool {
        var at = NameCursor(part)
        if !at.skip("iter") { at.skip("v") }
        guard at.skipDigits() else { return false }
        while at.skip(".") {
            guard at.skipDigits() else { return false }
        }
        return at.isAtEnd
    }

    /// A quantization or float type: Q4_K_M, IQ2_XS, FP16, BF16, F32.
    static func isType(_ part: [Unicode.Scalar]) -> Bool {
        var at = NameCursor(part)
        at.skip("i")
        if at.skip("q"), at.skipDigit() {
            while at.skip("_") {
                guard at.skipWordCharacter() else { return false }
            }
            return at.isAtEnd
        }
        at = NameCursor(part)
        at.skip("b")
        guard at.skip("f") else { return false }
        at.skip("p")
        return (at.skip("16") || at.skip("32")) && at.isAtEnd
    }

    /// 7B, 1.1b, 120M, 8x7B, A2.7B, 7b1; or a word for a size.
    static func isSize(_ part: [Unicode.Scalar]) -> Bool {
        for word in ["small", "mini", "medium", "large", "xl", "xxl"] {
            var at = NameCursor(part)
            if at.skip(word), at.isAtEnd { return true }
        }
        // The prefix may or may not be taken: "8x7B" has one, "16B" has digits that are the number itself.
        for prefixed in [true, false] {
            var at = NameCursor(part)
            if prefixed {
                if !at.skip("a") {
                    guard at.skipDigits(), at.skip("x") else { continue }
                }
            }
            guard at.skipDigits() else { continue }
            if at.skip(".") || at.skip("_") {
                guard at.skipDigits() else { continue }
            }
            guard at.skip("k") || at.skip("m") || at.skip("b") || at.skip("t") else { continue }
            at.skipDigit()
            if at.isAtEnd { return true }
        }
        return false
    }

    /// Fine-tunes that are easy to know.
    static func isTuning(_ part: [Unicode.Scalar]) -> Bool {
        ["chat", "instruct", "vision", "lora"].contains { word in
            var at = NameCursor(part)
            return at.skip(word) && at.isAtEnd
        }
    }

    /// A word of a title that keeps its small letters: a version, or one that begins with a digit.
    static func isVersionWord(_ word: [Unicode.Scalar]) -> Bool {
        if word.first?.isDecimal == true { return true }
        guard word.first == "v" else { return false }
        return isVersion(word)
    }
}

/// Walks over a part of a name; letters match whatever their case.
private struct NameCursor {
    private let scalars: [Unicode.Scalar]
    private var at = 0

    init(_ scalars: [Unicode.Scalar]) { self.scalars = scalars }

    var isAtEnd: Bool { at == scalars.count }

    @discardableResult
    mutating func skip(_ word: String) -> Bool {
        var place = at
        for letter in word.unicodeScalars {
            guard place < scalars.count, Self.fold(scalars[place]) == letter else { return false }
            place += 1
        }
        at = place
        return true
    }

    @discardableResult
    mutating func skipDigit() -> Bool {
        guard at < scalars.count, scalars[at].isDecimal else { return false }
        at += 1
        return true
    }

    mutating func skipDigits() -> Bool {
        guard skipDigit() else { return false }
        while skipDigit() {}
        return true
    }

    mutating func skipWordCharacter() -> Bool {
        guard at < scalars.count else { return false }
        let properties = scalars[at].properties
        guard scalars[at] == "_" || properties.isAlphabetic || properties.numericType != nil else { return false }
        at += 1
        return true
    }

    /// The small letter. The Kelvin sign, long s and dotless i match k, s and i, as regular expressions have it.
    private static func fold(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar.value {
        case 0x41...0x5A: Unicode.Scalar(scalar.value + 32) ?? scalar
        case 0x212A: "k"
        case 0x17F: "s"
        case 0x130, 0x131: "i"
        default: scalar
        }
    }
}

extension Unicode.Scalar {
    /// Whether it is a decimal digit of any script.
    var isDecimal: Bool { properties.generalCategory == .decimalNumber }

    var isLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var decimalValue: Int? {
        guard isDecimal, let value = properties.numericValue else { return nil }
        return Int(exactly: value)
    }
}
