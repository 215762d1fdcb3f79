// Weights beside weights: how a tensor of the candidate stands to the reference's, and copies of it with a fault undone.

internal import Bytes
internal import CKernels
internal import Tensors

/// Two matrices, compared value by value over the rows that both have. Nothing is compared where their widths differ.
struct TensorComparison {
    /// |reference|², |candidate|², |reference - candidate|²
    private(set) var sums = (reference: 0.0, candidate: 0.0, error: 0.0)
    /// The rows compared, and the relative error of each.
    private(set) var rows: [Int] = []
    private(set) var rowErrors: [Double] = []

    /// - Parameter considered: rows to compare, of which those that one of the two lacks are left out; nil for all.
    init(_ reference: WeightMatrix, _ candidate: WeightMatrix, rows considered: [Int]? = nil) throws {
        let columns = reference.columns
        guard reference.columns == candidate.columns else { return }
        let left = FloatBuffer(columns), right = FloatBuffer(columns)
        let shared = 0..<min(reference.rows, candidate.rows)
        rows = considered?.filter { shared.contains($0) } ?? Array(shared)
        for row in rows {
            reference.decode(row: row, into: left.pointer)
            candidate.decode(row: row, into: right.pointer)
            var forward = pannier_error(squared_error: 0, squared_reference: 0, largest: 0, count: 0)
            var backward = forward
            pannier_error_f32(left.pointer, right.pointer, Int64(columns), &forward)
            pannier_error_f32(right.pointer, left.pointer, Int64(columns), &backward)
            sums.reference += forward.squared_reference
            sums.candidate += backward.squared_reference
            sums.error += forward.squared_error
            rowErrors.append(
                forward.squared_reference > 0 ? (forward.squared_error / forward.squared_reference).squareRoot() : 0)
        }
    }

    /// The factor by which the candidate has to be multiplied, and the relative error that then remains.
    var scale: (factor: Double, error: Double) {
        guard sums.candidate > 0, sums.reference > 0 else { return (1, 1) }
        let product = (sums.reference + sums.candidate - sums.error) / 2
        let left = max(0, sums.reference - product * product / sums.candidate)
        return (product / sums.candidate, (left / sums.reference).squareRoot())
    }
}

/// The rows of a tensor that are wrong while the others are right.
struct RowFaults: CustomStringConvertible {
    let rows: [Int]
    let description: String

    /// - Parameter considered: rows to look at, of which those that one of the two lacks are left out; nil for all.
    /// - Returns: nil where there are none, where most rows are wrong, or where no rows can be compared.
    init?(reference: WeightMatrix, candidate: WeightMatrix, rows considered: [Int]? = nil) throws {
        let comparison = try TensorComparison(reference, candidate, rows: considered)
        let compared = comparison.rows, errors = comparison.rowErrors
        guard !errors.isEmpty else { return nil }
        let ordinary = errors.sorted()[max(0, errors.count / 2 - 1)]
        let wrong = compared.indices.filter { errors[$0] > max(4 * ordinary, 1e-4) }
        guard let first = wrong.first, wrong.count * 3 <= errors.count else { return nil }
        rows = wrong.map { compared[$0] }
        let columns = reference.columns, row = compared[first]
        let left = FloatBuffer(columns), right = FloatBuffer(columns)
        reference.decode(row: row, into: left.pointer)
        candidate.decode(row: row, into: right.pointer)
        let named = rows.count == 1 ? "row \(row)" : "\(rows.count) rows, the first of them \(row),"
        if (0..<columns).allSatisfy({ right.pointer[$0] == 0 }) {
            description = "\(named) \(rows.count == 1 ? "is" : "are") zero"
            return
        }
        let columnsAtFault = (0..<columns).filter {
            abs(right.pointer[$0] - left.pointer[$0]) > Float(max(4 * ordinary, 1e-3)) * abs(left.pointer[$0])
        }
        guard let begin = columnsAtFault.first, let end = columnsAtFault.last else {
            description = "\(named) \(rows.count == 1 ? "differs" : "differ")"
            return
        }
        var product = 0.0, size = 0.0, found = 0.0
        for column in begin...end {
            product += Double(left.pointer[column]) * Double(right.pointer[column])
            size += Double(left.pointer[column]) * Double(left.pointer[column])
            found += Double(right.pointer[column]) * Double(right.pointer[column])
        }
        // Rows that do not point the same way are not a multiple of one another.
        guard size > 0, product * product > 0.75 * size * found else {
            description = "\(named) \(rows.count == 1 ? "differs" : "differ")"
            return
        }
        let ratio = product / size
        let place = end - begin + 1 < columns ? "columns \(begin) to \(end) of row \(row)" : named
        description = "\(place) \(rows.count == 1 ? "is" : "are") about \(ParityProbe.text(ratio)) times the reference's"
    }
}

extension WeightMatrix {
    /// Whether this matrix can stand in the place of another: what it is multiplied into is cut for that one's shape.
    func hasShape(of other: WeightMatrix) -> Bool { rows == other.rows && columns == other.columns }

    /// The values of a matrix that was stored transposed in the same shape, put right.
    package func transposed() throws -> WeightMatrix {
        let values = decoded()
        var turned = [Float](repeating: 0, count: values.count)
        // Its bytes are a [columns, rows] matrix.
        for row in 0..<rows {
            for column in 0..<columns { turned[row * columns + column] = values[column * rows + row] }
        }
        return try WeightMatrix(values: turned, columns: columns)
    }

    package func scaled(by factor: Float) throws -> WeightMatrix {
        try WeightMatrix(values: decoded().map { $0 * factor }, columns: columns)
    }

    /// The rows named, out of several matrices one after the other.
    /// - Throws: `malformed` where their widths differ.
    package static func gather(_ matrices: [WeightMatrix], rows order: [Int]) throws -> WeightMatrix {
        guard let first = matrices.first else { return try WeightMatrix(values: [], columns: 0) }
        let columns = first.columns
        if let other = matrices.first(where: { $0.columns != columns }) {
            throw CheckpointError.malformed(
                "the rows of one matrix have one width", expected: "\(columns)", found: "\(other.columns)")
        }
        var starts: [Int] = [], total = 0
        for matrix in matrices {
            starts.append(total)
            total += matrix.rows
        }
        var values = [Float](repeating: 0, count: order.count * columns)
        values.withUnsafeMutableBufferPointer { values in
            guard let base = values.baseAddress else { return }
            for (place, row) in order.enumerated() {
                guard let index = starts.lastIndex(where: { $0 <= row }), row < total else { continue }
                matrices[index].decode(row: row - starts[index], into: base + place * columns)
            }
        }
        return try WeightMatrix(values: values, columns: columns)
    }
}
