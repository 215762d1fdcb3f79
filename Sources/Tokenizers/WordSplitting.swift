// How byte-level tokenizers split text into words before merging, written by hand for the patterns in use.
//
// GPT-2:   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Llama 3: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// Qwen2:   as Llama 3, with \p{N} in place of \p{N}{1,3}
// SmolLM:  \p{N} first, then GPT-2's on what lies between
// default: [\p{P}\$\+<=>\^~\|]+ first, GPT-2's on what lies between, then \p{N}+ and [0-9][0-9][0-9]: llama.cpp's, for files
//          that name no pattern
// \p{L}, \p{N} and \s are Unicode's general categories L and N and the property White_Space.

/// A known splitting pattern.
public enum WordPattern: String, Sendable, CaseIterable {
    case gpt2
    case llama3
    case qwen2
    case smollm
    case ggmlDefault = "default"
}

/// Splits text into words, one after another; nothing is lost, the words in order are the text.
package struct WordSplitter: Sequence, IteratorProtocol {
    private enum Class: UInt8 {
        case letter, number, space, newline, other
    }

    private let pattern: WordPattern
    private let scalars: [Unicode.Scalar]
    private let classes: [Class]
    /// Where the next word begins.
    private var at = 0
    /// Where the stretch that is split now ends.
    private var limit = 0

    package init(_ text: String, _ pattern: WordPattern) {
        self.pattern = pattern
        scalars = Array(text.unicodeScalars)
        classes = scalars.map(Self.classify)
    }

    package mutating func next() -> String? {
        guard at < scalars.count else { return nil }
        if at == limit { limit = stretchEnd(at) }
        let end = wordEnd(at)
        var word = String.UnicodeScalarView()
        word.append(contentsOf: scalars[at..<end])
        at = end
        return String(word)
    }

    /// Where the stretch ends that is split by itself: the text, or what the pattern's first expression parts it into.
    private func stretchEnd(_ at: Int) -> Int {
        switch pattern {
        case .gpt2, .llama3, .qwen2: return scalars.count
        case .smollm:
            return classes[at] == .number ? at + 1 : classes[at...].firstIndex(of: .number) ?? classes.count
        case .ggmlDefault:
            let isMark = Self.isMark(scalars[at])
            return scalars[at...].firstIndex { Self.isMark($0) != isMark } ?? scalars.count
        }
    }

    /// `[\p{P}\$\+<=>\^~\|]`: of ASCII's punctuation and symbols all but the grave accent.
    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2f, 0x3a...0x40, 0x5b...0x5f, 0x7b...0x7e: return true
        case 0..<0x80: return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            return true
        default: return false
        }
    }

    /// CR and LF are white space that the patterns name.
    private static func classify(_ scalar: Unicode.Scalar) -> Class {
        switch scalar.value {
        case 0x0a, 0x0d: return .newline
        case 0x09, 0x0b, 0x0c, 0x20, 0x85, 0xa0: return .space
        case 0x30...0x39: return .number
        case 0x41...0x5a, 0x61...0x7a: return .letter
        case 0..<0x80: return .other
        default: break
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
        case .decimalNumber, .letterNumber, .otherNumber: return .number
        default: return scalar.properties.isWhitespace ? .space : .other
        }
    }

    private func isClass(_ wanted: Class, _ at: Int) -> Bool { at < limit && classes[at] == wanted }
    private func isBlank(_ at: Int) -> Bool { isClass(.space, at) || isClass(.newline, at) }

    private func run(_ wanted: Class, from at: Int, most: Int = .max) -> Int {
        var end = at
        while end < limit, end - at < most, classes[end] == wanted { end += 1 }
        return end
    }

    /// The alternatives of the pattern in order; the first that matches decides, as in the regular expression.
    private func wordEnd(_ at: Int) -> Int {
        if let end = contraction(at) { return end }
        let isSpaceChar = scalars[at] == " "
        switch pattern {
        case .gpt2, .smollm, .ggmlDefault:
            let start = isSpaceChar ? at + 1 : at
            for wanted in [Class.letter, .number, .other] where isClass(wanted, start) {
                // The space before numbers is split off by the expression that takes them alone.
                if pattern == .ggmlDefault, wanted == .number { return isSpaceChar ? start : groupEnd(at) }
                return run(wanted, from: start)
            }
        case .llama3, .qwen2:
            if isClass(.letter, at) { return run(.letter, from: at) }
            if isClass(.letter, at + 1), isClass(.space, at) || isClass(.other, at) {
                return run(.letter, from: at + 1)
            }
            if isClass(.number, at) { return run(.number, from: at, most: pattern == .llama3 ? 3 : 1) }
            let start = isSpaceChar && isClass(.other, at + 1) ? at + 1 : at
            if isClass(.other, start) { return run(.newline, from: run(.other, from: start)) }
        }
        return blankEnd(at)
    }

    /// Within a run of numbers: the end of three digits 0 to 9, or of what stands before the next three.
    private func groupEnd(_ at: Int) -> Int {
        var end = at, digits = 0
        while isClass(.number, end) {
            digits = scalars[end].isASCII ? digits + 1 : 0
            end += 1
            if digits == 3 { return end - 3 == at ? end : end - 3 }
        }
        return end
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`, without the first for GPT-2.
    private func blankEnd(_ at: Int) -> Int {
        var end = at, lastNewline: Int?
        while isBlank(end) {
            if classes[end] == .newline { lastNewline = end }
            end += 1
        }
        if pattern == .llama3 || pattern == .qwen2, let lastNewline { return lastNewline + 1 }
        // The last blank before a word belongs to the word, unless it is the only one.
        if end < limit, end - at > 1 { return end - 1 }
        return Swift.max(end, at + 1)
    }

    private func contraction(_ at: Int) -> Int? {
        guard scalars[at] == "'", at + 1 < limit else { return nil }
        func letter(_ index: Int) -> Character? {
            guard index < limit else { return nil }
            guard pattern == .llama3 || pattern == .qwen2 else { return Character(scalars[index]) }
            // Case folding makes an s of the long s.
            if scalars[index].value == 0x17f { return "s" }
            guard scalars[index].isASCII else { return nil }
            return Character(scalars[index].properties.lowercaseMapping)
        }
        switch letter(at + 1) {
        case "s", "t", "m", "d": return at + 2
        case "r" where letter(at + 2) == "e", "v" where letter(at + 2) == "e", "l" where letter(at + 2) == "l":
            return at + 3
        default: return nil
        }
    }
}
