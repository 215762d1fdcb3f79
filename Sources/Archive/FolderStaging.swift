// The files of a step that is a folder, on their way to their places.

internal import Bytes
internal import Platform

/// Files for a folder and those below it, staged until all of them are whole.
///
/// `StagedOutput` publishes one folder at once. So every folder that is there already has one, and every folder that is not
/// there yet has one together with all that lies below it.
struct FolderStaging {
    /// A folder that is published at once.
    private struct Folder {
        let path: String
        let output: StagedOutput
        /// What lies in folders below, by its number in `files`. Messages about what is staged can name the files at an
        /// output's top, so these are moved into folders of it only when all of them are whole.
        let below: StagedOutput?
        /// Each with its place in the folder.
        let files: [(file: StoredFile, place: String)]
    }

    private let folders: [Folder]

    /// - Parameter archive: for messages.
    /// - Throws: `outputExists` when something is there that may not be replaced; `malformed` for a name that is a file's and
    ///   a folder's; `inputOutput` when nothing can be written there.
    init(_ files: [StoredFile], in destination: String, options: OutputOptions, archive: String) throws {
        // The folder itself is looked at whether files lie in it or only below.
        var groups: [ExactText: [StoredFile]] = ["": []]
        for file in files { groups[Self.folder(of: file.name, in: destination), default: []].append(file) }
        let names = Set(files.map { ExactText($0.name) })
        if let both = groups.keys.first(where: { names.contains($0) }) {
            throw CheckpointError.malformed("a name is a file's and a folder's", file: archive, place: both.text)
        }
        try Paths.makeFolders(Paths.parent(destination))
        folders = try groups.sorted { $0.key.text < $1.key.text }.map { folder, files in
            let path = folder.text.isEmpty ? destination : Paths.join(destination, folder.text)
            let skipped = folder.text.isEmpty ? 0 : folder.text.utf8.count + 1
            let placed = files.map { (file: $0, place: String(decoding: $0.name.utf8.dropFirst(skipped), as: UTF8.self)) }
            let output = try StagedOutput(folder: path, options: options)
            let top = placed.map(\.place).filter { !Self.isBelow($0) }
            try output.check(top)
            for name in top where Paths.kind(Paths.join(path, name)) == .folder {
                throw CheckpointError(
                    .outputExists, "the output should be a file and is a folder", file: Paths.join(path, name),
                    remedy: "choose another name for the step's folder")
            }
            let below = top.count < placed.count ? try StagedOutput(folder: path, options: options) : nil
            return Folder(path: path, output: output, below: below, files: placed)
        }
    }

    /// The folder that a file is published with: the outermost on the way to it that is not there yet, or else its own.
    /// - Returns: its path from the destination; empty for that itself.
    private static func folder(of name: String, in destination: String) -> ExactText {
        guard Paths.kind(destination) != .missing else { return "" }
        var folder = ""
        for part in name.utf8.split(separator: UInt8(ascii: "/")).dropLast() {
            folder += (folder.isEmpty ? "" : "/") + String(decoding: part, as: UTF8.self)
            if Paths.kind(Paths.join(destination, folder)) == .missing { break }
        }
        return ExactText(folder)
    }

    private static func isBelow(_ place: String) -> Bool { place.utf8.contains(UInt8(ascii: "/")) }

    /// Writes every file where nobody sees it.
    /// - Parameter store: is given a file and the path to create it at.
    func write(_ store: (StoredFile, String) throws -> Void) throws {
        for folder in folders {
            for (number, entry) in folder.files.enumerated() {
                guard let below = folder.below, Self.isBelow(entry.place) else {
                    try store(entry.file, folder.output.path(of: entry.place))
                    continue
                }
                let hidden = String(number)
                do {
                    try store(entry.file, below.path(of: hidden))
                } catch let error as CheckpointError where error.kind == .inputOutput && error.file.map(Paths.name) == hidden {
                    // Nobody knows the name that it has meanwhile.
                    var told = error
                    told.file = Paths.join(folder.path, entry.place)
                    throw told
                }
            }
        }
    }

    /// Gives every file its place. What is not there yet appears whole; folders that are there follow one another.
    func publish() throws {
        for folder in folders { try nest(folder) }
        for folder in folders { try folder.output.publish() }
    }

    /// Moves what lies in folders below into these, still where nobody sees it.
    private func nest(_ folder: Folder) throws {
        guard let below = folder.below else { return }
        for (number, entry) in folder.files.enumerated() where Self.isBelow(entry.place) {
            let place = folder.output.path(of: entry.place)
            try Paths.makeFolders(Paths.parent(place))
            guard rename(below.path(of: String(number)), place) == 0 else {
                throw CheckpointError(
                    .inputOutput, "cannot be put in its place", file: Paths.join(folder.path, entry.place))
            }
        }
    }
}
