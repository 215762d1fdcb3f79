// Why two tensors differ: hypotheses that are cheap to refute, each believed only after every value agreed.

internal import Bytes
internal import Conversion
internal import Layouts
internal import Quantization
internal import Tensors

/// Looks for what explains the differences of two checkpoints.
///
/// A hypothesis predicts B's values from A's (or A's from B's). It is given up at the first value that it gets wrong,
/// so that wrong ones cost a row or two, and said only when it got every value of the tensor right, bit for bit.
struct CauseFinder: Sendable {
    let a: ComparedCheckpoint
    let b: ComparedCheckpoint
    /// The tensors that both have.
    let tensors: [ComparedTensor]

    /// What a worker owns.
    struct Buffers: ~Copyable {
        var rows = CanonicalRows.Buffers()
        var left = ScratchBuffer()
        var right = ScratchBuffer()
        var blocks = ScratchBuffer()
        init() {}
    }

    /// The causes of one tensor's difference; the first that explains all of it is enough.
    func causes(
        of place: Int, _ difference: TensorDifference, buffers: inout Buffers
    ) throws -> [DifferenceCause] {
        guard let left = tensors[place].sides[0], let right = tensors[place].sides[1] else { return [] }
        guard left.isNumeric, right.isNumeric else { return [] }
        if left.shape != right.shape {
            let swapped = left.shape.rank == 2 && left.shape.dimensions == Array(right.shape.dimensions.reversed())
            guard swapped, let cause = try transposed(left, right, &buffers) else { return [] }
            return [cause]
        }
        guard let sums = difference.sums, sums.changed > 0 else { return [] }
        for rounding in Rounding.candidates(left, right) {
            if try holds(rounding, left, right, &buffers) {
                return [DifferenceCause(.rounding, rounding.sentence)]
            }
        }
        if let cause = try scaled(left, right, sums, &buffers) { return [cause] }
        for map in rowMaps(of: place) {
            for rounding in Rounding.besides(left, right) {
                if try holds(map, rounding, right, &buffers) {
                    return [DifferenceCause(map.kind, map.sentence + (rounding?.besides ?? ""))]
                }
            }
        }
        if left.shape.rank == 2, left.rows == left.columns, let cause = try transposed(left, right, &buffers) {
            return [cause]
        }
        return []
    }

    // MARK: Rounding

    /// One side is the other in fewer bits.
    struct Rounding {
        let dtype: DType
        /// Whether B is A rounded; else A is B rounded.
        let forward: Bool

        var sentence: String {
            let verb = dtype.isQuantized ? "quantized" : "rounded"
            return forward ? "B is A \(verb) to \(dtype)" : "A is B \(verb) to \(dtype)"
        }

        /// What is said of it beside another cause.
        var besides: String {
            let verb = dtype.isQuantized ? "quantized" : "rounded"
            return forward ? ", \(verb) to \(dtype)" : ", and A is \(verb) to \(dtype) besides"
        }

        /// B's own dtype as a rounding of A, where there is one.
        static func forward(_ a: CanonicalRows, _ b: CanonicalRows) -> [Rounding] {
            guard b.dtypes.count == 1, a.dtypes != b.dtypes, isUsable(b.dtypes[0], from: a, of: b) else { return [] }
            return [Rounding(dtype: b.dtypes[0], forward: true)]
        }

        /// The same with the sides exchanged.
        private static func backward(_ a: CanonicalRows, _ b: CanonicalRows) -> [Rounding] {
            forward(b, a).map { Rounding(dtype: $0.dtype, forward: false) }
        }

        /// Roundings worth trying: what the dtypes suggest, then half floats held in wider ones. Values are read as
        /// single floats, so doubles can be what was rounded, and never the result.
        static func candidates(_ a: CanonicalRows, _ b: CanonicalRows) -> [Rounding] {
            var all = forward(a, b) + backward(a, b)
            for half in [DType.bf16, .f16] {
                for forward in [true, false] where !(forward ? b : a).dtypes.contains(.f64) {
                    if !all.contains(where: { $0.dtype == half && $0.forward == forward }) {
                        all.append(Rounding(dtype: half, forward: forward))
                    }
                }
            }
            return all
        }

        /// What rows may have gone through besides moving: nothing, or the rounding that the dtypes suggest.
        static func besides(_ a: CanonicalRows, _ b: CanonicalRows) -> [Rounding?] {
            let exact: [Rounding?] = (a.dtypes + b.dtypes).contains(.f64) ? [] : [nil]
            return exact + (forward(a, b) + backward(a, b)).map { Optional($0) }
        }

        private static func isUsable(_ dtype: DType, from source: CanonicalRows, of rows: CanonicalRows) -> Bool {
            if dtype == .f32 { return source.dtypes == [.f64] }
            guard dtype != .f64, let format = BlockFormat.of(dtype), format.importance != .required else {
                return false
            }
            // The searches of the IQ formats take minutes for a large tensor.
            return rows.shape.columns % format.blockElements == 0
                && (!dtype.rawValue.hasPrefix("IQ") || dtype == .iq4_nl || rows.shape.count <= 1 << 20)
        }

        /// Rounds values in place.
        /// - Returns: false when they are not finite, which blocks cannot say.
        func apply(
            to values: UnsafeMutableBufferPointer<Float>, columns: Int, scratch: inout ScratchBuffer
        ) -> Bool {
            guard let format = BlockFormat.of(dtype), columns > 0,
                let size = dtype.byteCount(elements: values.count)
            else { return false }
            let source = UnsafeBufferPointer(values)
            if dtype.isQuantized, !FloatKernels.allFinite(source) { return false }
            let blocks = scratch.reserve(size)
            format.quantize(source, rows: values.count / columns, columns: columns, into: blocks)
            format.decode(UnsafeRawBufferPointer(blocks), into: values)
            return true
        }
    }

    /// Whether one side is the other rounded, in all values.
    private func holds(
        _ rounding: Rounding, _ left: CanonicalRows, _ right: CanonicalRows, _ buffers: inout Buffers
    ) throws -> Bool {
        try everyPiece(left, right, &buffers) { a, b, columns, scratch in
            guard rounding.apply(to: rounding.forward ? a : b, columns: columns, scratch: &scratch) else { return false }
            return Self.same(a, b)
        }
    }

    /// Walks over two tensors of the same shape, whole rows at a time, until `body` says no. The first piece is small.
    private func everyPiece(
        _ left: CanonicalRows, _ right: CanonicalRows, _ buffers: inout Buffers,
        _ body: (
            _ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>, _ columns: Int,
            _ scratch: inout ScratchBuffer
        ) -> Bool
    ) throws -> Bool {
        var columns = max(1, left.shape.columns)
        let count = left.shape.count
        // Blocks do not reach across pieces, so a very long row may be cut into shorter ones.
        if columns > Differ.pieceElements, left.whole != nil, right.whole != nil { columns = Differ.pieceElements }
        var height = max(1, 4096 / columns)
        var start = 0
        while start < count {
            let end = min(count, start + height * columns)
            if end - start < columns { columns = end - start }
            let a = buffers.left.reserveFloats(end - start)
            let b = buffers.right.reserveFloats(end - start)
            try left.read(start..<end, into: a, buffers: &buffers.rows)
            try right.read(start..<end, into: b, buffers: &buffers.rows)
            guard body(a, b, columns, &buffers.blocks) else { return false }
            start = end
            height = max(1, Differ.pieceElements / columns)
        }
        return count > 0
    }

    /// Whether two arrays hold the same bits.
    private static func same(_ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>) -> Bool {
        guard a.count == b.count else { return false }
        for index in a.indices where a[index].bitPattern != b[index].bitPattern { return false }
        return true
    }

    /// B as a multiple of A, rounded to B's dtype.
    ///
    /// Every pair of values leaves an interval of factors that can be; what all leave is tested with the simplest numbers
    /// in it, value by value.
    private func scaled(
        _ left: CanonicalRows, _ right: CanonicalRows, _ sums: DifferenceSums, _ buffers: inout Buffers
    ) throws -> DifferenceCause? {
        guard sums.squaredA > 0, sums.unordered == 0, abs(sums.cosine) > 0.9999, right.dtypes.count == 1,
            let dtype = right.dtypes.first, [.f32, .f16, .bf16].contains(dtype),
            !left.dtypes.contains(where: { $0.isQuantized || $0 == .f64 })
        else { return nil }
        var factors = FactorInterval(dtype)
        let possible = try everyPiece(left, right, &buffers) { a, b, _, _ in
            for index in a.indices {
                guard factors.narrow(a[index], b[index]) else { return false }
            }
            return true
        }
        guard possible, factors.isTelling else { return nil }
        let rounding = dtype == .f32 ? nil : Rounding(dtype: dtype, forward: true)
        for factor in factors.candidates {
            let holds = try everyPiece(left, right, &buffers) { a, b, columns, scratch in
                for index in a.indices { a[index] = factor.apply(to: a[index]) }
                if let rounding, !rounding.apply(to: a, columns: columns, scratch: &scratch) { return false }
                return Self.same(a, b)
            }
            if holds { return DifferenceCause(.scaled, factor.sentence) }
        }
        return nil
    }

    // MARK: Rows that moved

    /// Whether row r of B is the row of A that a map names, for every row it names.
    private func holds(
        _ map: RowMap, _ rounding: Rounding?, _ right: CanonicalRows, _ buffers: inout Buffers
    ) throws -> Bool {
        let columns = right.columns
        guard columns > 0, rounding.map({ columns % $0.dtype.blockElements == 0 }) ?? true else { return false }
        // Where A is the rounded side, all that the map takes rows from has to be.
        if let rounding, !rounding.forward, map.sources.contains(where: { $0.dtypes != [rounding.dtype] }) { return false }
        var checked = 0
        for row in 0..<right.rows {
            guard let (sourceIndex, sourceRow) = map.source(row) else { continue }
            let source = map.sources[sourceIndex]
            guard source.columns == columns, sourceRow >= 0, sourceRow < source.rows else { return false }
            let a = buffers.left.reserveFloats(columns)
            let b = buffers.right.reserveFloats(columns)
            guard try source.read(row: sourceRow, elements: 0..<columns, into: a, buffers: &buffers.rows),
                try right.read(row: row, elements: 0..<columns, into: b, buffers: &buffers.rows)
            else { return false }
            if let rounding {
                let rounded = rounding.forward ? a : b
                guard rounding.apply(to: rounded, columns: columns, scratch: &buffers.blocks) else { return false }
            }
            guard Self.same(a, b) else { return false }
            checked += 1
        }
        return checked > 0
    }

    /// What a tensor of B might be made of.
    private func rowMaps(of place: Int) -> [RowMap] {
        guard let left = tensors[place].sides[0] else { return [] }
        var maps: [RowMap] = []
        if let role = tensors[place].role, let config = a.source?.config {
            let known = RowMap.Known(
                role: role, left: left, config: config,
                rows: { role in
                    tensors.first { $0.role == role }?.sides[0]
                })
            maps += known.permutations() + known.groupings() + known.swaps() + known.layers()
        }
        maps += RowMap.shifts(left)
        return maps
    }

    // MARK: Transposition

    /// Rows for columns, as they are or rounded.
    private func transposed(
        _ left: CanonicalRows, _ right: CanonicalRows, _ buffers: inout Buffers
    ) throws -> DifferenceCause? {
        for rounding in Rounding.besides(left, right) {
            if try isTranspose(left, right, rounding, &buffers) {
                return DifferenceCause(.transposed, "B is A transposed" + (rounding?.besides ?? ""))
            }
        }
        return nil
    }

    /// Whether B's rows are A's columns. A block format holds other values in rows than in columns: nothing is said of
    /// those.
    private func isTranspose(
        _ left: CanonicalRows, _ right: CanonicalRows, _ rounding: Rounding?, _ buffers: inout Buffers
    ) throws -> Bool {
        guard rounding.map({ $0.dtype.blockElements == 1 }) ?? true else { return false }
        let columns = left.columns
        // At most 16 MiB of floats.
        let tile = max(1, min(256, (1 << 22) / max(1, columns)))
        guard left.rows == right.columns, columns == right.rows, columns <= 1 << 17, left.rows > 1 else { return false }
        var start = 0
        while start < left.rows {
            let end = min(left.rows, start + tile)
            let a = buffers.left.reserveFloats((end - start) * columns)
            try left.read(start * columns..<end * columns, into: a, buffers: &buffers.rows)
            if let rounding, rounding.forward,
                !rounding.apply(to: a, columns: columns, scratch: &buffers.blocks)
            {
                return false
            }
            for row in 0..<right.rows {
                let b = buffers.right.reserveFloats(end - start)
                guard try right.read(row: row, elements: start..<end, into: b, buffers: &buffers.rows) else { return false }
                if let rounding, !rounding.forward,
                    !rounding.apply(to: b, columns: b.count, scratch: &buffers.blocks)
                {
                    return false
                }
                for index in 0..<end - start where a[index * columns + row].bitPattern != b[index].bitPattern {
                    return false
                }
            }
            start = end
        }
        return true
    }
}
