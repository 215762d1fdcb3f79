// Comparing checkpoints value by value: one pass over all of them, on all cores, in bounded memory.

internal import Bytes
internal import CKernels
internal import Conversion
internal import Layouts
internal import Tensors

/// What a comparison of two checkpoints found.
public struct CheckpointDifference: Sendable {
    /// In natural order: embedding, layers, final norm, output, then what was compared by name.
    public internal(set) var tensors: [TensorDifference] = []
    /// Names of what only one of the two has.
    public internal(set) var onlyA: [String] = []
    public internal(set) var onlyB: [String] = []
    /// What only one of the two keeps beside the model; no difference of the models.
    public internal(set) var asideA: [String] = []
    public internal(set) var asideB: [String] = []
    /// Whether tensors were compared by what they are (true) or by what they are called.
    public internal(set) var byRole = true
    /// Config, tokenizer and metadata.
    public internal(set) var facts: [FactDifference] = []

    /// Tensors that are not equal within the tolerance.
    public func changed(within tolerance: Double? = nil) -> [TensorDifference] {
        tensors.filter { !$0.isEqual(within: tolerance) }
    }

    /// Whether both have the same tensors with the same values.
    public func isIdentical(within tolerance: Double? = nil) -> Bool {
        onlyA.isEmpty && onlyB.isEmpty && tensors.allSatisfy { $0.isEqual(within: tolerance) }
    }

    /// The model's tensors: what an optimizer keeps is larger than they are and would hide them. All, where two files
    /// of something else are compared.
    public var modelTensors: [TensorDifference] {
        let model = tensors.filter(\.isOfModel)
        return model.isEmpty ? tensors : model
    }

    /// The sums over the model's tensors.
    public var total: DifferenceSums {
        var total = DifferenceSums()
        for tensor in modelTensors { if let sums = tensor.sums { total += sums } }
        return total
    }
}

/// Compares checkpoints.
public struct Differ: Sendable {
    let checkpoints: [ComparedCheckpoint]
    let threads: Int

    public init(_ a: ComparedCheckpoint, _ b: ComparedCheckpoint, threads: Int) {
        self.init([a, b], threads: threads)
    }

    init(_ checkpoints: [ComparedCheckpoint], threads: Int) {
        self.checkpoints = checkpoints
        self.threads = max(1, threads)
    }

    /// Bytes that will be read, about: for a progress bar.
    public var totalBytes: UInt64 {
        checkpoints.reduce(0) { $0.adding($1.reader.totalBytes) ?? .max }
    }

    /// Compares the first two checkpoints.
    /// - Parameters:
    ///   - findCauses: look for what explains the differences, which reads the tensors that differ again.
    ///   - progress: told the bytes that were read since it was last told, from any thread.
    public func run(
        findCauses: Bool = true, progress: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) throws -> CheckpointDifference {
        let pairing = TensorPairing(checkpoints: Array(checkpoints.prefix(2)))
        let tensors = try pairing.tensors()
        var result = CheckpointDifference()
        result.byRole = pairing.byRole
        let (sums, histograms) = try compare(tensors, histograms: true, progress: progress)
        var compared: [(place: Int, tensor: ComparedTensor)] = []
        for (index, tensor) in tensors.enumerated() {
            guard let a = tensor.sides[0], let b = tensor.sides[1] else {
                switch (tensor.sides[0] != nil, tensor.isBookkeeping) {
                case (true, false): result.onlyA.append(tensor.name)
                case (false, false): result.onlyB.append(tensor.name)
                case (true, true): result.asideA.append(tensor.name)
                case (false, true): result.asideB.append(tensor.name)
                }
                continue
            }
            compared.append((result.tensors.count, tensor))
            result.tensors.append(
                TensorDifference(
                    name: tensor.names[0] ?? tensor.name, nameB: tensor.names[1] ?? tensor.name, role: tensor.role,
                    shapeA: a.shape, shapeB: b.shape, dtypeA: a.dtypeText, dtypeB: b.dtypeText, sums: sums[index][0],
                    histogram: histograms[index], isBookkeeping: tensor.isBookkeeping))
        }
        if findCauses {
            let finder = CauseFinder(a: checkpoints[0], b: checkpoints[1], tensors: compared.map(\.tensor))
            let wanted = compared.indices.filter { !result.tensors[$0].isIdentical }
            let found = Locked<[Int: [DifferenceCause]]>([:])
            let known = result.tensors
            try Parallel.perform(wanted.count, threads: threads, worker: CauseFinder.Buffers.init) { index, buffers in
                let place = wanted[index]
                let causes = try finder.causes(of: place, known[place], buffers: &buffers)
                if !causes.isEmpty { found.withValue { $0[place] = causes } }
            }
            for (place, causes) in found.withValue({ $0 }) { result.tensors[place].causes = causes }
        }
        result.facts = FactDifference.all(checkpoints[0], checkpoints[1])
        return result
    }

    /// A range of elements of one tensor, in every checkpoint that has it.
    private struct Piece {
        let tensor: Int
        let range: Range<Int>
    }

    /// 256 KiB of floats: two sides stay in a core's second cache.
    static let pieceElements = 1 << 16

    /// What a worker owns: two sides of floats, the one before and the one at hand.
    private struct Buffers: ~Copyable {
        var rows = CanonicalRows.Buffers()
        var before = ScratchBuffer()
        var now = ScratchBuffer()
        init() {}
    }

    /// Compares each checkpoint with the one before it; each is read once.
    /// - Returns: for each tensor the sums of every neighbouring pair (nil where they cannot be compared), and where
    ///   wanted the counts of differences over all pairs.
    func compare(
        _ tensors: [ComparedTensor], histograms: Bool, progress: @escaping @Sendable (UInt64) -> Void
    ) throws -> (sums: [[DifferenceSums?]], histograms: [[Int]]) {
        let pairs = max(0, checkpoints.count - 1)
        // Which pairs of a tensor can be compared at all.
        let comparable = tensors.map { Self.comparable($0.sides) }
        let pieces = Self.pieces(of: tensors, where: comparable)
        let parts = Locked<[DifferenceSums]>(Array(repeating: DifferenceSums(), count: pieces.count * pairs))
        let bins = Locked<[Int: [Int]]>([:])
        try Parallel.perform(pieces.count, threads: threads, worker: Buffers.init) { index, buffers in
            let piece = pieces[index]
            let tensor = tensors[piece.tensor]
            var own = Array(repeating: DifferenceSums(), count: pairs)
            var counts: [Int64] = []
            var bytes: UInt64 = 0
            var held: UnsafeMutableBufferPointer<Float>?
            for side in tensor.sides.indices {
                let wanted = (side < pairs && comparable[piece.tensor][side] != .not)
                    || (side > 0 && comparable[piece.tensor][side - 1] != .not)
                guard wanted, let rows = tensor.sides[side] else {
                    held = nil
                    continue
                }
                bytes += UInt64(rows.whole?.dtype.byteCount(elements: piece.range.count) ?? piece.range.count * 4)
                if side > 0, comparable[piece.tensor][side - 1] == .exactly, let before = tensor.sides[side - 1] {
                    own[side - 1] = try ExactDifference.sums(
                        before, rows, piece.range, histogram: histograms, &buffers.rows, counts: &counts)
                    held = nil
                }
                let asFloats = (side < pairs && comparable[piece.tensor][side] == .asFloats)
                    || (side > 0 && comparable[piece.tensor][side - 1] == .asFloats)
                guard asFloats else { continue }
                // The buffer that does not hold the side before.
                let values = side % 2 == 0
                    ? buffers.before.reserveFloats(piece.range.count) : buffers.now.reserveFloats(piece.range.count)
                try rows.read(piece.range, into: values, buffers: &buffers.rows)
                if side > 0, comparable[piece.tensor][side - 1] == .asFloats, let held {
                    own[side - 1] = Self.sums(held, values, histogram: histograms, counts: &counts)
                }
                held = values
            }
            parts.withValue { parts in
                for pair in 0..<pairs { parts[index * pairs + pair] = own[pair] }
            }
            if histograms {
                let filled = counts
                let equal = own[0].changed == 0 ? own[0].count : 0
                bins.withValue { bins in
                    var total = bins[piece.tensor] ?? Array(repeating: 0, count: 64)
                    if filled.isEmpty {
                        total[0] += equal
                    } else {
                        for bin in 0..<64 { total[bin] += Int(filled[bin]) }
                    }
                    bins[piece.tensor] = total
                }
            }
            progress(bytes)
        }
        // In the order of the pieces, so that the sums do not depend on which thread was faster.
        var sums: [[DifferenceSums?]] = comparable.map { $0.map { $0 == .not ? nil : DifferenceSums() } }
        parts.withValue { parts in
            for (index, piece) in pieces.enumerated() {
                for pair in 0..<pairs { sums[piece.tensor][pair]? += parts[index * pairs + pair] }
            }
        }
        let filled = bins.withValue { $0 }
        return (sums, tensors.indices.map { filled[$0] ?? [] })
    }

    /// How a pair can be compared.
    enum Comparability: Equatable { case not, asFloats, exactly }

    /// Every neighbouring pair of a tensor's sides. Pairs of another shape than the first comparable one are left out:
    /// one walk over the elements serves all.
    static func comparable(_ sides: [CanonicalRows?]) -> [Comparability] {
        var shape: Shape?
        return zip(sides, sides.dropFirst()).map { a, b in
            let how = comparable(a, b)
            guard how != .not else { return .not }
            if shape == nil { shape = a?.shape }
            return a?.shape == shape ? how : .not
        }
    }

    static func comparable(_ a: CanonicalRows?, _ b: CanonicalRows?) -> Comparability {
        guard let a, let b, a.shape == b.shape else { return .not }
        let wide = a.dtypes.contains(.f64) || b.dtypes.contains(.f64)
        if let one = a.whole, let other = b.whole, !a.isNumeric || !b.isNumeric || wide {
            let plain = one.dtype == other.dtype || (a.isNumeric && b.isNumeric)
            return plain ? .exactly : .not
        }
        return a.isNumeric && b.isNumeric ? .asFloats : .not
    }

    private static func sums(
        _ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>,
        histogram: Bool, counts: inout [Int64]
    ) -> DifferenceSums {
        guard let left = a.baseAddress, let right = b.baseAddress else { return DifferenceSums() }
        var sums = pannier_difference()
        pannier_difference_add(left, right, Int64(a.count), &sums)
        var part = DifferenceSums(sums)
        if part.unordered > 0 {
            part.unordered = 0
            for index in 0..<min(a.count, b.count) where !(a[index].isFinite && b[index].isFinite) {
                part.addUnordered(
                    Double(a[index]), Double(b[index]), differ: a[index].bitPattern != b[index].bitPattern)
            }
        }
        if part.changed > 0, histogram {
            counts = Array(repeating: 0, count: 64)
            counts.withUnsafeMutableBufferPointer { bins in
                if let base = bins.baseAddress { pannier_difference_histogram(left, right, Int64(a.count), base) }
            }
        }
        return part
    }

    private static func pieces(of tensors: [ComparedTensor], where comparable: [[Comparability]]) -> [Piece] {
        var pieces: [Piece] = []
        for (index, tensor) in tensors.enumerated() where comparable[index].contains(where: { $0 != .not }) {
            guard let pair = comparable[index].firstIndex(where: { $0 != .not }),
                let shape = tensor.sides[pair]?.shape, shape.count > 0
            else { continue }
            let sides = tensor.sides.compactMap { $0 }.filter { $0.shape == shape }
            // Block sizes divide each other and rows are whole blocks, so the largest serves all.
            let alignment = max(1, sides.map(\.alignment).max() ?? 1)
            var length = pieceElements
            // Whole heads where rows are permuted within them, so that one read brings neighbouring rows.
            if sides.contains(where: { $0.whole == nil }), alignment > 1, alignment <= 1 << 13 {
                length = max(length, 64 * alignment)
            }
            pieces += ElementPieces(of: 0..<shape.count, length: length, unit: alignment).map {
                Piece(tensor: index, range: $0)
            }
        }
        return pieces
    }
}
