// Shards whose index is lost: their names, model-00001-of-00007.safetensors, say which files belong together.

import Bytes

/// The files of a checkpoint in shards, by their names alone.
struct ShardFamily {
    /// By number.
    let paths: [String]

    /// A shard's name taken apart.
    private struct Name {
        /// What stands before the number, and behind the count.
        let stem: String
        let ending: String
        let number: Int
        let count: Int
        /// Digits of the number.
        let width: Int

        /// STEM-00001-of-00007.ENDING; nil for other names.
        init?(_ name: String) {
            guard let dot = name.lastIndex(of: ".") else { return nil }
            let words = name[..<dot].split(separator: "-", omittingEmptySubsequences: false)
            guard words.count >= 4, words[words.count - 2] == "of",
                let number = Self.number(words[words.count - 3]), let count = Self.number(words[words.count - 1]),
                (1...Limits.shards).contains(count), (1...count).contains(number)
            else { return nil }
            stem = words.dropLast(3).joined(separator: "-")
            ending = String(name[dot...])
            (self.number, self.count) = (number, count)
            width = words[words.count - 3].utf8.count
        }

        private static func number(_ word: Substring) -> Int? {
            word.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(word) : nil
        }

        /// The name of another shard of the family.
        func sibling(_ number: Int) -> String {
            func padded(_ number: Int) -> String {
                let digits = String(number)
                return String(repeating: "0", count: max(0, width - digits.count)) + digits
            }
            return "\(stem)-\(padded(number))-of-\(padded(count))\(ending)"
        }
    }

    /// The family that all of some files belong to; nil where they are no shards, or shards of several checkpoints.
    /// - Throws: `inputOutput` with the names of those that are missing.
    init?(_ names: [String], in folder: String) throws {
        let parsed = names.compactMap { Name($0) }
        guard let first = parsed.first, first.count > 1, parsed.count == names.count else { return nil }
        let wanted = (1...first.count).map { first.sibling($0) }
        let family = Set(wanted.map { ExactText($0) }), present = Set(names.map { ExactText($0) })
        guard present.isSubset(of: family) else { return nil }
        let missing = wanted.filter { !present.contains(ExactText($0)) }
        guard missing.isEmpty else { throw Self.incomplete(missing, of: first.count, file: folder) }
        paths = wanted.map { Paths.join(folder, $0) }
    }

    /// Some of a checkpoint's shards are not there.
    static func incomplete(_ missing: [String], of count: Int, file: String) -> CheckpointError {
        let shown = missing.prefix(16).joined(separator: ", ")
        let more = missing.count > 16 ? " and \(missing.count - 16) more" : ""
        return CheckpointError(
            .inputOutput, "\(missing.count) of \(count) shards \(missing.count == 1 ? "is" : "are") missing: \(shown)\(more)",
            file: file, remedy: "the download or copy is not complete; get what is missing")
    }

    /// Looks whether shards belong together where no index says so.
    /// - Parameter held: for every shard the names of its tensors.
    /// - Returns: what a person should know.
    /// - Throws: `malformed` for a tensor that lies in two shards.
    static func check(held: [[String]], in paths: [String]) throws -> String {
        var seen: [ExactText: String] = [:]
        for (path, names) in zip(paths, held) {
            for name in names {
                if let other = seen.updateValue(path, forKey: ExactText(name)) {
                    throw CheckpointError.malformed(
                        "the tensor lies in two shards", file: path, place: name, expected: "one shard",
                        found: "\(Paths.name(other)) and \(Paths.name(path))")
                }
            }
        }
        return "the shards have no index: the \(paths.count) files were opened that belong together by their names"
    }
}
