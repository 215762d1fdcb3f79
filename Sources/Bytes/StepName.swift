// Which training step a checkpoint's name speaks of.

/// Numbers in names: `iter-001200-ckpt.pth`, `step-240k`, `checkpoint-500`, `model-900.safetensors`.
public enum StepName {
    /// The step that a file's or folder's name says, by number and not by spelling; nil when it says none.
    ///
    /// A number after "iter", "step" or "checkpoint" counts first, else the last one that is not part of a word like
    /// "f32". "240k" is 240000.
    public static func step(of name: String) -> Int? {
        let text = Array(name.lowercased().utf8)
        var candidates: [(value: Int, told: Bool)] = []
        var fraction: Int?
        var at = 0
        while at < text.count {
            guard isDigit(text[at]) else {
                at += 1
                continue
            }
            let start = at
            var value: Int? = 0
            while at < text.count, isDigit(text[at]) {
                value = value?.multiplied(by: 10)?.adding(Int(text[at] - 48))
                at += 1
            }
            if at < text.count, text[at] == UInt8(ascii: "k"), at + 1 == text.count || !isLetter(text[at + 1]) {
                value = value?.multiplied(by: 1000)
                at += 1
            }
            guard let value, start == 0 || !isLetter(text[start - 1]) || told(text[..<start]) else { continue }
            if at < text.count, isLetter(text[at]) { continue }
            // Not "2.8M", a size: neither what stands before its point nor what stands after it.
            if at + 1 < text.count, text[at] == UInt8(ascii: "."), isDigit(text[at + 1]) {
                fraction = at + 1
                continue
            }
            if start == fraction { continue }
            candidates.append((value, told(text[..<start])))
        }
        return candidates.last { $0.told }?.value ?? candidates.last?.value
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }
    private static func isLetter(_ byte: UInt8) -> Bool { byte >= 97 && byte <= 122 }

    /// Whether what stands before a number announces a step.
    private static func told(_ before: ArraySlice<UInt8>) -> Bool {
        let word = String(decoding: before, as: UTF8.self)
        return ["iter", "step", "steps", "checkpoint", "ckpt", "epoch"].contains { keyword in
            word.hasSuffix(keyword) || word.hasSuffix(keyword + "-") || word.hasSuffix(keyword + "_")
        }
    }
}
