// A run of checkpoints: how far the model moves from one to the next, where, and what the optimizer holds.

internal import Bytes
internal import Conversion
public import Layouts
internal import Tensors

/// What a series of checkpoints shows.
public struct Timeline: Sendable {
    /// One tensor through the run.
    public struct Series: Sendable {
        public let name: String
        /// Nil for a tensor that was compared by its name.
        public let role: TensorRole?
        /// By step; nil where it is missing or cannot be compared.
        public let norms: [Double?]
        /// From each step to the next.
        public let changes: [DifferenceSums?]
    }

    /// Something that has a change for each interval: a layer, a role, all.
    public struct Movement: Sendable {
        public let layer: Int?
        public let role: Role?
        /// ‖b - a‖ / ‖a‖ over all tensors of it, from each step to the next.
        public let relative: [Double]
        /// ‖·‖ of all tensors of it, by step.
        public let norms: [Double]
    }

    /// A quantity that the optimizer keeps for every parameter.
    public struct OptimizerSeries: Sendable {
        /// "exp_avg", "exp_avg_sq".
        public let name: String
        /// ‖·‖ over all parameters, by step; nil where a step does not have it.
        public let norms: [Double?]
        /// ‖b - a‖ / ‖a‖ from each step to the next.
        public let relative: [Double?]
    }

    public let steps: [TimelineStep]
    /// What the checkpoints are, from the first.
    public let summary: String
    public let byRole: Bool
    public let series: [Series]
    public let total: Movement
    /// By rising layer.
    public let layers: [Movement]
    /// In natural order.
    public let roles: [Movement]
    public let optimizer: [OptimizerSeries]

    /// The tensors that do not stay the same through the whole run, or are not in all of it.
    /// - Parameter tolerance: the largest |b - a| from a step to the next that counts as equal; nil when every bit must be the same.
    public func changed(within tolerance: Double? = nil) -> [Series] {
        series.filter { one in !one.changes.allSatisfy { $0?.isEqual(within: tolerance) ?? false } }
    }

    /// Steps from each checkpoint to the next, where the names say.
    public var spans: [Int?] {
        zip(steps, steps.dropFirst()).map { before, after in
            guard let a = before.number, let b = after.number, let span = b.subtracting(a), span > 0 else { return nil }
            return span
        }
    }

    /// A change as a rate: for a thousand steps where their numbers are known, else for an interval.
    public func rate(_ relative: Double, interval: Int) -> Double {
        guard interval < spans.count, let span = spans[interval] else { return relative }
        return relative * 1000 / Double(span)
    }

    /// How fast something still moves in the last interval, as a share of its fastest; 0 when it never moved.
    public func activity(_ movement: Movement) -> (rate: Double, share: Double) {
        let rates = movement.relative.enumerated().map { rate($0.element, interval: $0.offset) }
        guard let last = rates.last, let most = rates.max(), most > 0 else { return (0, 0) }
        return (last, last / most)
    }

    /// Compares every step with the one before it. Each checkpoint is read once.
    /// - Parameter progress: told the bytes that were read since it was last told, from any thread.
    public init(
        _ steps: [TimelineStep], checkpoints: [ComparedCheckpoint], threads: Int,
        progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws {
        let pairing = TensorPairing(checkpoints: checkpoints)
        let tensors = try pairing.tensors()
        let differ = Differ(checkpoints, threads: threads)
        let (sums, _) = try differ.compare(tensors, histograms: false, progress: progress)
        self.steps = steps
        summary = checkpoints.first?.summary ?? ""
        byRole = pairing.byRole
        let pairs = max(0, checkpoints.count - 1)
        let all = zip(tensors, sums).map { tensor, changes in
            (tensor: tensor, series: Series(
                name: tensor.name, role: tensor.role, norms: Self.norms(changes), changes: changes))
        }
        series = all.filter { !$0.tensor.isBookkeeping && Self.isModel($0.tensor) }.map(\.series)
        let model = series
        func movement(layer: Int? = nil, role: Role? = nil, where wanted: (Series) -> Bool) -> Movement {
            let chosen = model.filter(wanted)
            var added = Array(repeating: DifferenceSums(), count: pairs)
            for one in chosen {
                for pair in 0..<pairs { if let change = one.changes[pair] { added[pair] += change } }
            }
            return Movement(
                layer: layer, role: role, relative: added.map(\.relativeL2),
                norms: Self.norms(added.map { $0.count > 0 ? $0 : nil }).map { $0 ?? 0 })
        }
        total = movement { _ in true }
        layers = Set(model.compactMap { $0.role?.layer }).sorted().map { layer in
            movement(layer: layer) { $0.role?.layer == layer }
        }
        let present = Set(model.compactMap { $0.role?.role })
        roles = Role.allCases.filter(present.contains).map { role in movement(role: role) { $0.role?.role == role } }
        optimizer = Self.optimizer(all.map { (name: $0.tensor.name, changes: $0.series.changes) }, pairs: pairs)
    }

    /// Whether a tensor belongs to the model: where no layout is known, what an optimizer keeps is told by its name.
    private static func isModel(_ tensor: ComparedTensor) -> Bool {
        tensor.role != nil || optimizerQuantity(tensor.name) == nil
    }

    /// Norms by step, from the sums of neighbouring pairs.
    private static func norms(_ changes: [DifferenceSums?]) -> [Double?] {
        (0...changes.count).map { step in
            if step < changes.count, let after = changes[step] { return after.normA }
            if step > 0, let before = changes[step - 1] { return before.normB }
            return nil
        }
    }

    private static let quantities = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg"]

    /// "exp_avg" for optimizer.state.12.exp_avg.
    private static func optimizerQuantity(_ name: String) -> String? {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        return quantities.contains(last) ? last : nil
    }

    private static func optimizer(
        _ tensors: [(name: String, changes: [DifferenceSums?])], pairs: Int
    ) -> [OptimizerSeries] {
        quantities.compactMap { quantity in
            let chosen = tensors.filter { optimizerQuantity($0.name) == quantity }
            guard !chosen.isEmpty else { return nil }
            var added: [DifferenceSums?] = Array(repeating: nil, count: pairs)
            for tensor in chosen {
                for pair in 0..<pairs {
                    guard let change = tensor.changes[pair] else { continue }
                    var sum = added[pair] ?? DifferenceSums()
                    sum += change
                    added[pair] = sum
                }
            }
            guard added.contains(where: { $0 != nil }) else { return nil }
            return OptimizerSeries(name: quantity, norms: norms(added), relative: added.map { $0?.relativeL2 })
        }
    }
}
