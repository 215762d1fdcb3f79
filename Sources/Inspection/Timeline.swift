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
        /// Values that are NaN or infinite, by step; nil as above.
        public let notFinite: [Int?]
        /// From each step to the next.
        public let changes: [DifferenceSums?]
    }

    /// A tensor that a step does not have as the first that has it does.
    public struct Gap: Sendable, Hashable {
        /// Stable: other programs match them.
        public enum Kind: String, Sendable, CaseIterable {
            case missing
            case otherShape = "other_shape"
            /// Of a type that the step before cannot be compared with.
            case otherType = "other_type"
        }

        public let name: String
        /// The place of the step in the run.
        public let step: Int
        public let kind: Kind
        /// What it is there, and what it is in the first step that has it: a shape, or for another type the dtype.
        public let found: String?
        public let expected: String
    }

    /// Something that has a change for each interval: a layer, a role, all.
    public struct Movement: Sendable {
        public let layer: Int?
        public let role: Role?
        /// ‖b - a‖ / ‖a‖ over all tensors of it, from each step to the next; NaN where no pair of values is finite.
        public let relative: [Double]
        /// The same for scales and colours: infinite where a value became or was NaN or infinite; never NaN.
        public let magnitudes: [Double]
        /// ‖·‖ of all tensors of it, by step, over finite values.
        public let norms: [Double]
        /// Values of them that are NaN or infinite, by step.
        public let notFinite: [Int]
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
    /// Where the model's tensors are not the same through the whole run: by tensor, then by step.
    public let gaps: [Gap]

    /// The tensors that do not stay the same through the whole run, or are not in all of it.
    /// - Parameter tolerance: the largest |b - a| from a step to the next that counts as equal; nil when every bit must be
    ///   the same.
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

    /// How fast something still moves in the last interval, as a share of its fastest; 0 when it never moved. Where a
    /// value turned into NaN or infinity in the last interval, the rate is infinite; intervals before it where one did
    /// are left out.
    public func activity(_ movement: Movement) -> (rate: Double, share: Double) {
        let rates = movement.magnitudes.enumerated().map { rate($0.element, interval: $0.offset) }
        guard let last = rates.last else { return (0, 0) }
        guard last.isFinite else { return (last, 1) }
        guard let most = rates.filter(\.isFinite).max(), most > 0 else { return (0, 0) }
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
                name: tensor.name, role: tensor.role, norms: Self.norms(changes), notFinite: Self.notFinite(changes),
                changes: changes))
        }
        let chosen = all.filter { !$0.tensor.isBookkeeping && Self.isModel($0.tensor) }
        series = chosen.map(\.series)
        gaps = chosen.flatMap { Self.gaps($0.tensor) }
        let model = series
        func movement(layer: Int? = nil, role: Role? = nil, where wanted: (Series) -> Bool) -> Movement {
            let chosen = model.filter(wanted)
            var added = Array(repeating: DifferenceSums(), count: pairs)
            for one in chosen {
                for pair in 0..<pairs { if let change = one.changes[pair] { added[pair] += change } }
            }
            let known: [DifferenceSums?] = added.map { $0.count > 0 ? $0 : nil }
            return Movement(
                layer: layer, role: role, relative: added.map(\.relativeL2), magnitudes: added.map(\.magnitude),
                norms: Self.norms(known).map { $0 ?? 0 }, notFinite: Self.notFinite(known).map { $0 ?? 0 })
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
    private static func isModel(_ tensor: ComparedTensor) -> Bool { tensor.role != nil || !isOptimizers(tensor.name) }

    /// Whether a name is one of what optimizers keep: "optimizer.state.12.step", "exp_avg".
    static func isOptimizers(_ name: String) -> Bool {
        name.hasPrefix("optimizer.") || name.hasPrefix("optimizer_states.") || optimizerQuantity(name) != nil
    }

    /// Norms by step, from the sums of neighbouring pairs.
    private static func norms(_ changes: [DifferenceSums?]) -> [Double?] {
        bySteps(changes, first: \.normA, second: \.normB).map { norm in norm?.isNaN == true ? nil : norm }
    }

    private static func notFinite(_ changes: [DifferenceSums?]) -> [Int?] {
        bySteps(changes, first: \.notFiniteA, second: \.notFiniteB)
    }

    /// What is known of each step: from the pair in which it is the first, else from that in which it is the second.
    private static func bySteps<Value>(
        _ changes: [DifferenceSums?], first: (DifferenceSums) -> Value, second: (DifferenceSums) -> Value
    ) -> [Value?] {
        (0...changes.count).map { step in
            if step < changes.count, let after = changes[step] { return first(after) }
            if step > 0, let before = changes[step - 1] { return second(before) }
            return nil
        }
    }

    /// The steps that do not have a tensor as the first that has it.
    private static func gaps(_ tensor: ComparedTensor) -> [Gap] {
        guard let first = tensor.sides.lazy.compactMap({ $0 }).first else { return [] }
        let shape = "\(first.shape)"
        return tensor.sides.indices.compactMap { step in
            guard let side = tensor.sides[step] else {
                return Gap(name: tensor.name, step: step, kind: .missing, found: nil, expected: shape)
            }
            if side.shape != first.shape {
                return Gap(name: tensor.name, step: step, kind: .otherShape, found: "\(side.shape)", expected: shape)
            }
            guard step > 0, let before = tensor.sides[step - 1], before.shape == side.shape,
                Differ.comparable(before, side) == .not
            else { return nil }
            return Gap(
                name: tensor.name, step: step, kind: .otherType, found: side.dtypeText, expected: first.dtypeText)
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
