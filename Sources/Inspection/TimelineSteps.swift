// The checkpoints of a run: found in a folder and put in the order of their steps.

internal import Bytes
internal import Containers

/// A checkpoint of a run.
public struct TimelineStep: Sendable, Hashable {
    public let path: String
    /// The step that its name speaks of; nil when it speaks of none.
    public let number: Int?
    /// What it is called: its file or folder, or the folder of a file that is called what a model's file always is.
    private let name: String

    public init(_ path: String) {
        self.path = path
        let own = Paths.name(path), stem = String(own.prefix { $0 != "." && $0 != "-" })
        let isModelFile =
            Containers.folderStems.contains(stem) && (Containers.kind(named: own) != nil || own.hasSuffix(".index.json"))
        // The numbers of parts, model-00001-of-00002 and consolidated.00, are no steps.
        let isPart = isModelFile && (own.contains("-of-") || stem == "consolidated")
        let said = isPart ? nil : StepName.step(of: own)
        let folder = Paths.name(Paths.parent(path))
        let hasFolder = isModelFile && said == nil && !folder.isEmpty
        name = hasFolder ? folder : own
        number = hasFolder ? StepName.step(of: folder) : said
    }

    /// The step's number, else its name.
    public var label: String { number.map(String.init) ?? name }

    /// What trainers, litgpt among them, call the end of a run.
    private static let finalName = "final"
    private var isFinal: Bool { name == Self.finalName }

    /// The steps in a folder: files like iter-000600-ckpt.pth, or folders like step-600 that hold a checkpoint, and a last
    /// folder that is called "final".
    /// - Throws: `usage` when there are fewer than two.
    public static func find(in folder: String) throws -> [TimelineStep] {
        let names = try Paths.list(folder).filter { name in
            guard !name.hasPrefix("."), StepName.step(of: name) != nil || name == finalName else { return false }
            let path = Paths.join(folder, name)
            switch Paths.kind(path) {
            case .file: return isWeights(name)
            case .folder: return (try? Paths.list(path))?.contains(where: isWeights) ?? false
            default: return false
            }
        }
        guard names.count >= 2 else {
            throw CheckpointError(
                .usage, "the folder holds no series of checkpoints", file: folder,
                expected: "files like iter-000600-ckpt.pth or folders like step-600",
                found: names.first ?? "none", remedy: "name the checkpoints one by one, in their order")
        }
        return inOrder(names.map { TimelineStep(Paths.join(folder, $0)) })
    }

    private static func isWeights(_ name: String) -> Bool {
        Containers.isWeights(name) && (!name.contains("-of-") || name.contains("-00001-of-"))
    }

    /// By number where every step has one of its own, and one that is called "final" last; else in the order in which they
    /// were given. A shell's pattern gives names in the order of their letters, which puts iter-1000000 before iter-999999.
    public static func inOrder(_ steps: [TimelineStep]) -> [TimelineStep] {
        let last = steps.filter(\.isFinal), others = steps.filter { !$0.isFinal }
        let numbers = others.compactMap(\.number)
        guard last.count <= 1, numbers.count == others.count, Set(numbers).count == numbers.count else { return steps }
        return others.sorted { ($0.number ?? 0) < ($1.number ?? 0) } + last
    }
}
