// How text is split before byte-level BPE: GGUF names the way in `tokenizer.ggml.pre`.
//
// llama.cpp's converter knows a tokenizer by the hash of what it makes of one text. The split is decided by the regular
// expression in tokenizer.json, so that is what is compared here. The expressions are those that the tokenizers'
// publishers put into their tokenizer.json.

internal import JSONText

enum PreTokenizer {
    /// Regular expressions by GGUF's name, the first by which a file is written.
    static let patterns: [(name: String, regex: String)] = [
        (
            "llama-bpe",
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        ),
        (
            "qwen2",
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        ),
        (
            "tekken",
            #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        ),
    ]

    /// GGUF's name for the way a tokenizer.json splits, and a warning when it is not known for sure.
    static func name(of tokenizer: JSONValue) -> (name: String, warning: String?) {
        let steps = steps(of: tokenizer["pre_tokenizer"])
        let splits = steps.filter { $0["type"]?.string == "Split" }
        let digits = steps.first { $0["type"]?.string == "Digits" }
        let byteLevel = steps.first { $0["type"]?.string == "ByteLevel" }
        if splits.count == 1, digits == nil, let regex = splits[0]["pattern"]?["Regex"]?.string,
            byteLevel?["use_regex"]?.bool == false
        {
            for (name, known) in patterns where known.utf8.elementsEqual(regex.utf8) { return (name, nil) }
        }
        if splits.isEmpty, byteLevel != nil, byteLevel?["use_regex"]?.bool ?? true {
            if let digits, digits["individual_digits"]?.bool == true { return ("smollm", nil) }
            if digits == nil { return ("gpt-2", nil) }
        }
        return (
            "default",
            "the way tokenizer.json splits text is not one that GGUF has a name for: tokenizer.ggml.pre is written as \"default\" and text may be cut otherwise; set it with --metadata tokenizer.ggml.pre=str:NAME"
        )
    }

    /// The regular expression that GGUF's name stands for; nil for GPT-2's, which ByteLevel has built in.
    static func regex(named name: String) -> String? {
        let name = ["llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2"][name] ?? name
        return patterns.first { $0.name == name }?.regex
    }

    /// Whether the name is one of those that split as GPT-2 does.
    static func isGPT2(_ name: String) -> Bool { ["gpt-2", "gpt2", "default", ""].contains(name) }

    private static func steps(of json: JSONValue?) -> [JSONValue] {
        guard let json, json.object != nil else { return [] }
        return json["type"]?.string == "Sequence" ? json["pretokenizers"]?.array ?? [] : [json]
    }
}
