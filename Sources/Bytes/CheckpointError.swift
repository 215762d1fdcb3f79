// The one error type of Pannier: what is wrong, in which file, where in it, what was expected and found, what to do.

public import SystemPackage

/// A failure that a person can act on.
///
/// It is printed as one to three lines and decides the exit status of the program. Fields that do not apply are nil.
public struct CheckpointError: Error, Sendable, Equatable {
    /// What sort of failure it is; the command line turns it into its exit status.
    public enum Kind: String, Sendable, CaseIterable {
        /// The bytes do not follow their format's specification.
        case malformed
        /// Well formed, but something Pannier does not carry.
        case unsupported
        /// The options or arguments contradict each other or name something that is not there.
        case usage
        /// The system refused: missing file, permission, disk full, short read.
        case inputOutput
        /// The output is there already, or is one of the inputs.
        case outputExists
        /// The person or the system asked the program to stop.
        case interrupted
    }

    public var kind: Kind
    /// What is wrong, as one sentence without a full stop.
    public var message: String
    /// The file in which it is wrong.
    public var file: String?
    /// The tensor, key, record or entry in which it is wrong.
    public var place: String?
    /// Byte offset in `file`.
    public var offset: UInt64?
    public var expected: String?
    public var found: String?
    /// What to do about it.
    public var remedy: String?

    public init(
        _ kind: Kind, _ message: String, file: String? = nil, place: String? = nil, offset: UInt64? = nil,
        expected: String? = nil, found: String? = nil, remedy: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.file = file
        self.place = place
        self.offset = offset
        self.expected = expected
        self.found = found
        self.remedy = remedy
    }

    /// A format's specification is not followed.
    public static func malformed(
        _ message: String, file: String? = nil, place: String? = nil, offset: UInt64? = nil,
        expected: String? = nil, found: String? = nil, remedy: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .malformed, message, file: file, place: place, offset: offset, expected: expected, found: found,
            remedy: remedy)
    }

    /// Well formed, but not carried by Pannier.
    public static func unsupported(
        _ message: String, file: String? = nil, place: String? = nil, offset: UInt64? = nil,
        expected: String? = nil, found: String? = nil, remedy: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .unsupported, message, file: file, place: place, offset: offset, expected: expected, found: found,
            remedy: remedy)
    }

    /// A system call failed with `errno`.
    public static func system(_ errno: Errno, _ doing: String, file: String? = nil) -> CheckpointError {
        let remedy: String? =
            switch errno {
            case .noSpace: "free some space or write to another disk"
            case .permissionDenied, .readOnlyFileSystem: "check the permissions of the file and of its folder"
            case .noSuchFileOrDirectory: "check the path"
            default: nil
            }
        return CheckpointError(.inputOutput, "\(doing): \(errno)", file: file, remedy: remedy)
    }

    /// The same error with the file or place filled in where it is still unknown.
    public func at(file: String? = nil, place: String? = nil) -> CheckpointError {
        var copy = self
        if copy.file == nil { copy.file = file }
        if copy.place == nil { copy.place = place }
        return copy
    }

    /// The status the program ends with: 2 bad input, 3 input/output, 64 usage, 130 interrupted.
    public var exitStatus: Int32 {
        switch kind {
        case .malformed, .unsupported: 2
        case .inputOutput, .outputExists: 3
        case .usage: 64
        case .interrupted: 130
        }
    }
}

extension CheckpointError: CustomStringConvertible {
    /// One to three lines: the fault and its place, expected and found, the remedy.
    public var description: String {
        var first = ""
        if let file { first += "\(file): " }
        if let place { first += "\(place.shortened): " }
        first += message
        if let offset { first += " (at byte \(offset))" }
        var lines = [first]
        switch (expected?.shortened, found?.shortened) {
        case (let expected?, let found?): lines.append("  expected \(expected), found \(found)")
        case (let expected?, nil): lines.append("  expected \(expected)")
        case (nil, let found?): lines.append("  found \(found)")
        case (nil, nil): break
        }
        if let remedy { lines.append("  \(remedy)") }
        return lines.map { $0.escapingControlCharacters }.joined(separator: "\n")
    }
}

extension String {
    /// A name out of a file may have megabytes; a message shows where it begins.
    fileprivate var shortened: String {
        let most = 240
        guard unicodeScalars.count > most else { return self }
        var out = ""
        out.unicodeScalars.append(contentsOf: unicodeScalars.prefix(most))
        return out + "..."
    }

    /// Control characters, which a hostile name could use to write on the terminal, made visible.
    public var escapingControlCharacters: String {
        guard unicodeScalars.contains(where: { $0.value < 0x20 || ($0.value >= 0x7F && $0.value < 0xA0) }) else {
            return self
        }
        var out = ""
        for scalar in unicodeScalars {
            if scalar.value < 0x20 || (scalar.value >= 0x7F && scalar.value < 0xA0) {
                let hex = String(scalar.value, radix: 16)
                out += "\\x" + (hex.count < 2 ? "0" + hex : hex)
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
