// The checkpoints of a comparison, and which of their tensors belong together.

public import Bytes
internal import Containers
public import Conversion
internal import Layouts
public import Tensors

/// A checkpoint in a comparison: recognised where that is possible, else known by its tensors' names alone.
public struct ComparedCheckpoint: Sendable {
    public let path: String
    public let reader: any CheckpointReader
    /// Nil when its names fit no layout.
    public let source: ModelSource?
    /// Why it was not recognised.
    public let refusal: CheckpointError?

    /// - Throws: what opening it throws. Names that fit no layout are no error here.
    public init(_ path: String, options: SourceOptions = SourceOptions()) throws {
        self.path = path
        reader = try Containers.open(path, lenient: options.lenient)
        do {
            source = try ModelSource(reader, at: path, options: options)
            refusal = nil
        } catch let error as CheckpointError where error.kind == .unsupported && options.layout == nil {
            source = nil
            refusal = error
        }
    }

    /// "safetensors, 3 shards; Hugging Face Llama: ..."
    public var summary: String {
        "\(reader.details); \(source?.match.explanation ?? "no known layout: compared by names")"
    }
}

/// A tensor that several checkpoints have, side by side.
struct ComparedTensor: Sendable {
    /// Nil for a tensor that is compared by its name.
    let role: TensorRole?
    /// By checkpoint: its stored name, or Hugging Face's name where it is stored with others; nil where it is missing.
    let names: [String?]
    /// By checkpoint.
    let sides: [CanonicalRows?]
    /// Whether it belongs to what a training checkpoint keeps beside the model.
    let isBookkeeping: Bool

    var name: String { names.lazy.compactMap { $0 }.first ?? role?.description ?? "" }
}

/// Finds the tensors that belong together.
struct TensorPairing {
    let checkpoints: [ComparedCheckpoint]

    /// Whether all are recognised, so that tensors are compared by what they are and not by what they are called.
    var byRole: Bool { checkpoints.allSatisfy { $0.source != nil } }

    func tensors() throws -> [ComparedTensor] {
        guard byRole else {
            return byName(checkpoints.map { Array($0.reader.tensors.indices) }, isBookkeeping: false)
        }
        let sources = checkpoints.compactMap(\.source)
        var roles: [TensorRole] = []
        var known: Set<TensorRole> = []
        for source in sources {
            var own = TensorRole.all(in: source.config)
            // A tied output may be stored all the same, and untied elsewhere.
            if source.match.stores(TensorRole(.output)) { own.append(TensorRole(.output)) }
            for role in own where known.insert(role).inserted { roles.append(role) }
        }
        let huggingFace = try? Layouts.named("hf-llama")
        var canonicalNames: [TensorRole: String] = [:]
        for source in sources {
            for spec in (try? huggingFace?.specs(for: source.config)) ?? [] {
                for role in spec.roles { canonicalNames[role] = spec.name }
            }
        }
        var tensors: [ComparedTensor] = []
        for role in roles {
            var names: [String?] = []
            var sides: [CanonicalRows?] = []
            for source in sources {
                let found = Self.find(role, in: source, canonical: canonicalNames[role])
                names.append(found?.name)
                sides.append(found?.rows)
            }
            if sides.contains(where: { $0 != nil }) {
                tensors.append(ComparedTensor(role: role, names: names, sides: sides, isBookkeeping: false))
            }
        }
        tensors += byName(sources.map(\.match.unexpected), isBookkeeping: false)
        tensors += byName(sources.map(\.match.bookkeeping), isBookkeeping: true)
        return tensors
    }

    /// A role in a checkpoint; in the wrong shape when it has no other.
    private static func find(
        _ role: TensorRole, in source: ModelSource, canonical: String?
    ) -> (name: String, rows: CanonicalRows)? {
        let reader = source.reader
        if let tensor = source.match.rows(of: role), let first = tensor.runs.first {
            let rows = CanonicalRows(tensor, in: reader)
            let stored = Set(tensor.runs.map(\.tensor))
            let isAlone = stored.count == 1 && reader.tensors[first.tensor].shape == tensor.shape
            let name = isAlone ? reader.tensors[first.tensor].name : canonical ?? role.description
            return (name, rows)
        }
        guard let wrong = source.match.misshapen.first(where: { $0.spec.roles == [role] }) else { return nil }
        return (reader.tensors[wrong.tensor].name, CanonicalRows(stored: wrong.tensor, in: reader))
    }

    /// Tensors of the same name, in the order in which the names first appear.
    private func byName(_ places: [[Int]], isBookkeeping: Bool) -> [ComparedTensor] {
        var order: [ExactText] = []
        var found: [ExactText: [Int?]] = [:]
        for (checkpoint, indices) in places.enumerated() {
            for index in indices {
                let name = ExactText(checkpoints[checkpoint].reader.tensors[index].name)
                if found[name] == nil {
                    order.append(name)
                    found[name] = Array(repeating: nil, count: places.count)
                }
                found[name]?[checkpoint] = index
            }
        }
        return order.map { name in
            let indices = found[name] ?? []
            return ComparedTensor(
                role: nil, names: indices.map { $0 == nil ? nil : name.text },
                sides: zip(checkpoints, indices).map { checkpoint, index in
                    index.map { CanonicalRows(stored: $0, in: checkpoint.reader) }
                }, isBookkeeping: isBookkeeping)
        }
    }
}
