// Which tensor gets which type: the file type's rules, the person's overrides, and what a tensor's shape allows.
//
// It visits the tensors in the order of the output file and counts them by role, as llama-quantize does (src/
// llama-quant.cpp: llama_tensor_get_type, tensor_type_fallback, tensor_requires_imatrix).

internal import Bytes
internal import Dispatch
public import Tensors

/// What the rules ask about a model.
public struct ModelSummary: Sendable, Hashable {
    /// Number of transformer layers.
    public var layers: Int
    public var heads: Int
    public var kvHeads: Int
    /// Number of experts; 0 for a dense model.
    public var experts: Int

    public init(layers: Int, heads: Int, kvHeads: Int, experts: Int = 0) {
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.experts = experts
    }

    /// Query heads per key and value head, cut to an integer.
    var queriesPerGroup: Int { kvHeads > 0 ? heads / kvHeads : 0 }
    /// Llama 2 70B and its like: eighty layers and grouped queries.
    var is70B: Bool { layers == 80 && heads != kvHeads }
}

/// A tensor that the policy decides about: its GGUF name, its shape outermost dimension first, and the type it has.
public struct MixTensor: Sendable, Hashable {
    public var name: String
    public var shape: [Int]
    public var type: DType

    public init(name: String, shape: [Int], type: DType) {
        self.name = name
        self.shape = shape
        self.type = type
    }

    var columns: Int { shape.last ?? 1 }
    /// Dimensions beyond the first (in GGUF's order) that are not 1 count; [1, 64] has one dimension.
    var rank: Int { max(1, shape.count - (shape.firstIndex { $0 != 1 } ?? shape.count)) }
    /// Matrices stacked in a third dimension: experts.
    var matrices: Int { shape.count > 2 ? shape[shape.count - 3] : 1 }
}

/// `--tensor-type PATTERN=TYPE`: tensors whose name the pattern is found in get the type. The pattern is a regular
/// expression, turned to lower case.
public struct TypeOverride: Sendable, Hashable {
    public let pattern: String
    public let type: DType

    public init(pattern: String, type: DType) {
        self.pattern = pattern.lowercased()
        self.type = type
    }

    /// Reads `PATTERN=TYPE`.
    public init(parsing argument: String) throws {
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else {
            throw CheckpointError(
                .usage, "a tensor type is not written as PATTERN=TYPE", found: argument,
                remedy: "for example: --tensor-type attn_q=q8_0")
        }
        let name = String(argument[argument.index(after: equals)...])
        guard let format = BlockFormat.named(name) else {
            throw CheckpointError(
                .usage, "\(name.isEmpty ? "nothing" : name) is no type of tensors", found: argument,
                remedy: "types are \(BlockFormat.all.map(\.name).joined(separator: ", "))")
        }
        self.init(pattern: String(argument[..<equals]), type: format.dtype)
    }
}

/// What the person asked for.
public struct MixOptions: Sendable {
    public var fileType: FileType
    public var overrides: [TypeOverride] = []
    public var outputType: DType?
    public var embeddingType: DType?
    /// `output.weight` keeps its type.
    public var leaveOutput = false
    /// Every tensor in the file type's default, without its mixing rules.
    public var pure = false
    /// Whether there is an importance matrix (for any tensor).
    public var hasMatrix = false

    public init(fileType: FileType) { self.fileType = fileType }
}

/// What becomes of one tensor, and why.
public struct MixDecision: Sendable, Hashable {
    public var name: String
    public var from: DType
    public var type: DType
    /// The rule that gave it its type, in words.
    public var reason: String
    /// Without an importance matrix for this tensor the type must be refused.
    public var needsMatrix: Bool
    /// The shape forced another type than the rules chose.
    public var isFallback: Bool

    public var changes: Bool { from != type }
}

extension BlockFormat {
    /// The format of a type's name in any spelling of case.
    public static func named(_ name: String) -> BlockFormat? { DType(name: name).flatMap { of($0) } }
}

/// Decides the types of a model's tensors.
public struct MixPolicy {
    private let options: MixOptions
    private let model: ModelSummary
    private let patterns: [(TypeOverride, Regex<AnyRegexOutput>)]

    /// - Throws: a usage error for a pattern that is no regular expression.
    public init(_ options: MixOptions, model: ModelSummary) throws {
        self.options = options
        self.model = model
        patterns = try options.overrides.map { rule in
            do {
                return (rule, try Regex(rule.pattern))
            } catch {
                throw CheckpointError(
                    .usage, "a tensor type's pattern is no regular expression", found: rule.pattern,
                    remedy: "write plain parts of names, such as attn_q or blk\\.0\\.")
            }
        }
    }

    /// The order in which llama-quantize visits and writes tensors: those outside the layers first, then layer by
    /// layer, by the bytes of their names.
    public static func writingOrder(_ names: [String]) -> [Int] {
        let layers = names.map { layerNumber(ofTensor: $0) ?? -1 }
        return names.indices.sorted { a, b in
            layers[a] != layers[b]
                ? layers[a] < layers[b] : names[a].utf8.lexicographicallyPrecedes(names[b].utf8)
        }
    }

    /// Decides for all tensors of a model, given in the order in which they are written: rules count positions.
    public func decide(_ tensors: [MixTensor]) throws -> [MixDecision] {
        var state = Counters()
        let overrides = try fittingOverrides(tensors.map(\.name))
        for tensor in tensors {
            switch TensorCategory(tensorName: tensor.name) {
            case .attentionV: state.values += 1
            case .output: state.tiedOutput = false
            default: break
            }
        }
        return try tensors.map { try decide($0, overrides[$0.name], &state) }
    }

    /// Positions, by role, among the tensors that the rules have seen.
    private struct Counters {
        var values = 0
        var seen: [TensorCategory: Int] = [:]
        /// Until an output tensor is seen, the embedding serves as one.
        var tiedOutput = true
    }

    private func decide(
        _ tensor: MixTensor, _ override: TypeOverride?, _ state: inout Counters
    ) throws -> MixDecision {
        let role = TensorCategory(tensorName: tensor.name)
        var decision = MixDecision(
            name: tensor.name, from: tensor.type, type: tensor.type, reason: "", needsMatrix: false, isFallback: false)

        guard let defaultType = options.fileType.defaultType else {
            decision.reason = "COPY: kept"
            return decision
        }
        if let reason = TensorCategory.reasonToKeep(name: tensor.name, rank: tensor.rank) {
            decision.reason = reason
            return decision
        }
        if options.leaveOutput, role == .output {
            decision.reason = "--leave-output-tensor"
            return decision
        }

        if let type = options.embeddingType, role == .tokenEmbedding,
            tensor.name == "token_embd.weight" || override == nil
        {
            decision.type = type
            decision.reason = "--token-embedding-type"
            try requireWholeBlocks(tensor, type)
        } else if let type = options.outputType, role == .output {
            decision.type = type
            decision.reason = "--output-tensor-type"
            try requireWholeBlocks(tensor, type)
        } else if !defaultType.isQuantized {
            decision.type = defaultType
            decision.reason = "\(options.fileType): every matrix"
        } else {
            if let rule = override {
                decision.type = rule.type
                decision.reason = "--tensor-type \(rule.pattern)"
            } else if options.pure {
                decision.type = defaultType
                decision.reason = "--pure"
            } else {
                (decision.type, decision.reason) = try ruled(tensor, role, defaultType, &state)
            }
            if let fallback = try Self.fallback(tensor, type: decision.type) {
                decision.reason +=
                    "; \(tensor.columns) columns are no multiple of \(decision.type.blockElements):"
                    + " \(fallback) instead of \(decision.type)"
                decision.type = fallback
                decision.isFallback = true
            }
        }
        decision.needsMatrix = needsMatrix(role, decision.type)
        return decision
    }

    /// The first pattern that fits, by name.
    ///
    /// The time of matching may double with each character of a name, as of `(a*)*(a*)*b`. So it is done beside, and
    /// given up when it takes longer than any pattern that somebody means.
    /// - Throws: a usage error then.
    private func fittingOverrides(_ names: [String]) throws -> [String: TypeOverride] {
        guard !patterns.isEmpty else { return [:] }
        nonisolated(unsafe) let patterns = patterns
        let found = Locked<[String: TypeOverride]>([:]), done = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            for name in names {
                guard let rule = patterns.first(where: { name.firstMatch(of: $0.1) != nil })?.0 else { continue }
                found.withValue { $0[name] = rule }
            }
            done.signal()
        }
        guard done.wait(timeout: .now() + 5) == .success else {
            throw CheckpointError(
                .usage, "a tensor type's pattern takes too long to match",
                found: patterns.map(\.0.pattern).joined(separator: ", "),
                remedy: "write it without repetitions of repetitions, such as (a*)*")
        }
        return found.withValue { $0 }
    }

    private func requireWholeBlocks(_ tensor: MixTensor, _ type: DType) throws {
        guard tensor.columns % type.blockElements != 0 else { return }
        throw CheckpointError(
            .usage, "\(type) does not fit the tensor's rows", place: tensor.name,
            expected: "a multiple of \(type.blockElements) columns", found: "\(tensor.columns)",
            remedy: "choose another type for this tensor")
    }

    // MARK: The rules

    private func ruled(
        _ tensor: MixTensor, _ role: TensorCategory, _ defaultType: DType, _ state: inout Counters
    ) throws -> (DType, String) {
        let fileType = options.fileType
        if role == .output || (role == .tokenEmbedding && state.tiedOutput) {
            return outputType(tensor, role, defaultType)
        }
        if fileType == .mxfp4 {
            return tensor.matrices > 1 ? (.mxfp4, "MXFP4_MOE: experts") : (.q8_0, "MXFP4_MOE: all but experts")
        }
        let position = try position(tensor, role, &state)
        var found: (DType, String) = (defaultType, "\(fileType): default")
        if let rule = MixRule.table.first(where: { rule in
            rule.role == role && rule.fits(fileType) && rule.conditions.allSatisfy { holds($0, position) }
        }) {
            found = (rule.type, rule.text(in: fileType))
        }
        // A value matrix shared by eight heads is small: with 70 billion parameters a better type costs next to nothing.
        if role == .attentionV, model.is70B, found.0 == .q3_K || found.0 == .q4_K,
            !MixRule.lowBits.contains(fileType)
        {
            found = (.q5_K, "70B: attention value")
        }
        return found
    }

    /// The output matrix, or the embedding that serves as one, suffers most.
    private func outputType(_ tensor: MixTensor, _ role: TensorCategory, _ defaultType: DType) -> (DType, String) {
        let fileType = options.fileType
        let what = role == .output ? "output" : "embedding, which is the output too,"
        if let type = options.outputType { return (type, "--output-tensor-type") }
        if fileType == .mxfp4 { return (.q8_0, "MXFP4_MOE: \(what) in Q8_0") }
        if tensor.columns % defaultType.blockElements != 0 {
            return (.q8_0, "\(what) in Q8_0, as \(defaultType) does not fit its rows")
        }
        if MixRule.lowBits.contains(fileType) || fileType == .iq3_xxs {
            return (.q5_K, "\(fileType): \(what) in Q5_K")
        }
        return defaultType == .q8_0 ? (.q8_0, "Q8_0: default") : (.q6_K, "any mix: \(what) in Q6_K")
    }

    /// Where in its role's row a tensor stands, and how long the row is.
    private func position(
        _ tensor: MixTensor, _ role: TensorCategory, _ state: inout Counters
    ) throws -> (index: Int, of: Int) {
        let index = state.seen[role, default: 0]
        switch role {
        case .attentionV:
            state.seen[role] = index + 1
            return (index, state.values)
        case .ffnDown, .ffnGate, .ffnUp:
            state.seen[role] = index + 1
            // Experts are not consecutive in every file, so there the name tells the layer.
            guard model.experts > 1, !MixRule.lowBits.contains(options.fileType) else { return (index, model.layers) }
            guard let layer = layerNumber(ofTensor: tensor.name), layer < model.layers else {
                throw CheckpointError.unsupported(
                    "the layer of a feed-forward tensor cannot be told", place: tensor.name,
                    expected: "a name blk.N. with N below \(model.layers)")
            }
            return (layer, model.layers)
        default:
            return (index, model.layers)
        }
    }

    private func holds(_ condition: MixRule.Condition, _ position: (index: Int, of: Int)) -> Bool {
        let (i, n) = position
        // The number of layers is from a file; dividing first keeps the product small.
        let lastEighth = 7 * (n / 8) + 7 * (n % 8) / 8
        return switch condition {
        case .grouped: model.queriesPerGroup >= 4
        case .groupedOrExperts: model.queriesPerGroup >= 4 || model.experts >= 4
        case .eightExperts: model.experts == 8
        case .notEightExperts: model.experts != 8
        case .withMatrix: options.hasMatrix
        case .withoutMatrix: !options.hasMatrix
        case .first(let count): i < count
        case .firstEighth: i < n / 8
        case .firstSixteenth: i < n / 16
        case .sensitiveLayers: i < n / 8 || i >= lastEighth || (i - n / 8) % 3 == 2
        case .middleLayers: i >= n / 8 && i < lastEighth
        }
    }

    // MARK: Shapes and matrices

    /// The type to use instead where rows are no whole number of blocks: one with blocks of 32 of about the same size,
    /// and failing that F16. Nil when the type fits.
    /// - Throws: a usage error for types of larger blocks for which llama-quantize knows none.
    static func fallback(_ tensor: MixTensor, type: DType) throws -> DType? {
        let columns = tensor.columns
        guard columns % type.blockElements != 0 else { return nil }
        let smaller: DType =
            switch type {
            case .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .iq4_xs: .iq4_nl
            case .q2_0, .q2_K, .q3_K, .tq1_0, .tq2_0: .q4_0
            case .q4_K: .q5_0
            case .q5_K: .q5_1
            case .q6_K: .q8_0
            default: type
            }
        guard smaller.blockElements <= 32 else {
            throw CheckpointError(
                .usage, "no type stands in for \(type) where it does not fit the tensor's rows", place: tensor.name,
                expected: "a multiple of \(type.blockElements) columns", found: "\(columns)",
                remedy: "give this tensor a type of its own with --tensor-type, such as q8_0")
        }
        return columns % smaller.blockElements == 0 ? smaller : .f16
    }

    /// Without a matrix these come out as noise; the embedding and the output are spared, as matrices seldom have them,
    /// but for types that ggml cannot make without one.
    private func needsMatrix(_ role: TensorCategory, _ type: DType) -> Bool {
        let format = BlockFormat.of(type)
        if role == .tokenEmbedding || role == .output { return format?.importance == .required }
        if type == .q2_K { return options.fileType == .q2_K_S }
        return format?.needsMatrix ?? false
    }
}
