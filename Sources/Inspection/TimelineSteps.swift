// The checkpoints of a run: found in a folder and put in the order of their steps.

internal import Bytes

/// A checkpoint of a run.
public struct TimelineStep: Sendable, Hashable {
    public let path: String
    /// The step that its name speaks of; nil when it speaks of none.
    public let number: Int?

    public init(_ path: String) {
        self.path = path
        number = StepName.step(of: Paths.name(path))
    }

    /// The step's number, else its name.
    public var label: String { number.map(String.init) ?? Paths.name(path) }

    private static let endings = [".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".gguf"]
    private static let others: Set = ["training_args.bin", "optimizer.pt", "scheduler.pt", "optimizer.bin", "rng_state.pth"]

    /// The steps in a folder: files like iter-000600-ckpt.pth, or folders like step-600 that hold a checkpoint.
    /// - Throws: `usage` when there are fewer than two.
    public static func find(in folder: String) throws -> [TimelineStep] {
        let names = try Paths.list(folder).filter { name in
            guard !name.hasPrefix("."), StepName.step(of: name) != nil else { return false }
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
        endings.contains { name.hasSuffix($0) } && !others.contains(name) && !name.hasPrefix(".")
            && (!name.contains("-of-") || name.contains("-00001-of-"))
    }

    /// By number where every step has one of its own, else in the order in which they were given. A shell's pattern
    /// gives names in the order of their letters, which puts iter-1000000 before iter-999999.
    public static func inOrder(_ steps: [TimelineStep]) -> [TimelineStep] {
        let numbers = steps.compactMap(\.number)
        guard numbers.count == steps.count, Set(numbers).count == numbers.count else { return steps }
        return steps.sorted { ($0.number ?? 0) < ($1.number ?? 0) }
    }
}
