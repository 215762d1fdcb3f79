// How text is split into words before byte-level BPE: GGUF names the way in `tokenizer.ggml.pre`, a tokenizer.json says it in
// regular expressions.
//
// llama.cpp's converter knows a tokenizer by the hash of what it makes of one text. The split is decided by the expressions in
// tokenizer.json, so that is what is compared here; they are those that the tokenizers' publishers put there. Which names
// llama.cpp treats alike, and what else a name decides, is in its src/llama-vocab.cpp.

package import JSONText

/// A way of splitting text that has a name.
package struct PreTokenizer: Sendable {
    /// GGUF's name, by which a file is written.
    package let name: String
    /// Names that mean the same.
    package let aliases: [String]
    /// Regular expressions, each of which splits what the one before it left: every match is a word, and so is what lies
    /// between two.
    package let expressions: [String]
    /// Nil where text is not split so here: the name is only read and written.
    package let pattern: WordPattern?
    /// A word that is a token is taken whole: the vocabulary was not made by merging alone (Llama 3).
    package let ignoresMerges: Bool
    /// bos stands before a text where nothing else is said.
    package let addsBos: Bool

    private init(
        _ name: String, aliases: [String] = [], _ expressions: [String], _ pattern: WordPattern?,
        ignoresMerges: Bool = false, addsBos: Bool = false
    ) {
        self.name = name
        self.aliases = aliases
        self.expressions = expressions
        self.pattern = pattern
        self.ignoresMerges = ignoresMerges
        self.addsBos = addsBos
    }

    // MARK: Expressions

    /// GPT-2's, which ByteLevel has built in.
    package static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    /// Every number by itself, as the step Digits says it.
    package static let singleNumbers = #"\p{N}"#
    private static let numbers = #"\p{N}+"#

    /// Llama 3's and its kin's, which differ in how they take numbers.
    private static func llama3(numbers: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    private static let tekken: String = {
        let before = #"[^\r\n\p{L}\p{N}]?"#
        let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#, lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        return "\(before)\(upper)*\(lower)+|\(before)\(upper)+\(lower)*"
            + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }()

    // MARK: The table

    /// The first of those with the same expressions is the one that is written.
    package static let all: [PreTokenizer] = [
        PreTokenizer(
            "llama-bpe",
            aliases: ["llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
            [llama3(numbers: #"\p{N}{1,3}"#)], .llama3, ignoresMerges: true, addsBos: true),
        PreTokenizer("smaug-bpe", aliases: ["dbrx"], [llama3(numbers: #"\p{N}{1,3}"#)], .llama3),
        PreTokenizer(
            "qwen2",
            aliases: [
                "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2",
            ],
            [llama3(numbers: #"\p{N}"#)], .qwen2),
        PreTokenizer("tekken", [tekken], nil, ignoresMerges: true, addsBos: true),
        PreTokenizer(
            "gpt-2",
            aliases: [
                "gpt2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
                "modern-bert", "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling",
            ],
            [gpt2], .gpt2),
        PreTokenizer(
            "smollm", aliases: ["minerva-7b", "starcoder", "refact", "command-r", "codeshell", "exaone", "mellum2"],
            [singleNumbers, gpt2], .smollm),
        // What llama.cpp does where a file says nothing.
        PreTokenizer("default", aliases: [""], [#"[\p{P}\$\+<=>\^~\|]+"#, gpt2, numbers, "[0-9][0-9][0-9]"], .ggmlDefault),
    ]

    /// The way that GGUF's name stands for; nil for names that are not known here.
    package static func named(_ name: String) -> PreTokenizer? {
        all.first { $0.name == name || $0.aliases.contains(name) }
    }

    // MARK: tokenizer.json

    /// The way that the `pre_tokenizer` of a tokenizer.json splits; nil where it is none of the known ones.
    package static func of(_ json: JSONValue?) -> PreTokenizer? {
        var found: [String] = [], isByteLevel = false
        for step in TokenizerJSON.steps(json, key: "pretokenizers") {
            // ByteLevel turns text into the names of its bytes: what comes after it splits those.
            guard !isByteLevel, let expressions = expressions(of: step) else { return nil }
            found += expressions
            isByteLevel = step["type"]?.string == "ByteLevel"
        }
        guard isByteLevel else { return nil }
        return all.first {
            $0.expressions.count == found.count
                && zip($0.expressions, found).allSatisfy { $0.utf8.elementsEqual($1.utf8) }
        }
    }

    /// The expressions by which a step splits; nil for steps that are not known to split by any.
    private static func expressions(of step: JSONValue) -> [String]? {
        switch step["type"]?.string {
        case "ByteLevel": return step["use_regex"]?.bool ?? true ? [gpt2] : []
        case "Digits": return [step["individual_digits"]?.bool ?? false ? singleNumbers : numbers]
        case "Split":
            let behavior = step["behavior"]?.string ?? "Isolated"
            // The expressions match all of a text, so that there is nothing between matches to be removed.
            guard behavior == "Isolated" || behavior == "Removed" && step["invert"]?.bool == true else { return nil }
            return step["pattern"]?["Regex"]?.string.map { [$0] }
        default: return nil
        }
    }

    /// The steps of a `pre_tokenizer` for people: expressions and kinds of steps.
    static func description(of json: JSONValue?) -> String {
        let steps = TokenizerJSON.steps(json, key: "pretokenizers").map { step in
            step["pattern"]?["Regex"]?.string ?? step["type"]?.string ?? "a nameless step"
        }
        return steps.isEmpty ? "no pre_tokenizer" : steps.joined(separator: ", ")
    }
}
