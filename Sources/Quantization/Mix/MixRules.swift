// The mixing rules of llama-quantize as a table: which tensors of a file type get another type than its default.
//
// Source of the facts: llama_tensor_get_type_impl in src/llama-quant.cpp, without its rules for Falcon, GLM and
// Bailing models, which Pannier does not write.

internal import Tensors

/// One line of the table: in files of these types, tensors of this role under these conditions get this type. Of the
/// lines that fit a tensor the first one counts; where none fits, the file type's default does.
struct MixRule: Sendable {
    enum Condition: Sendable, Equatable {
        /// Four or more query heads share a key and value head.
        case grouped
        /// The same, or four or more experts.
        case groupedOrExperts
        /// Exactly eight experts (Mixtral), or not.
        case eightExperts, notEightExperts
        case withMatrix, withoutMatrix
        /// The first n of the role's tensors.
        case first(Int)
        /// Position below a part of the number of layers.
        case firstEighth, firstSixteenth
        /// The layers that profit most: the first eighth, the last, and every third between.
        case sensitiveLayers
        /// Neither the first eighth nor the last.
        case middleLayers

        var text: String {
            switch self {
            case .grouped: "with grouped queries"
            case .groupedOrExperts: "with grouped queries or experts"
            case .eightExperts: "with eight experts"
            case .notEightExperts: ""
            case .withMatrix: "with a matrix"
            case .withoutMatrix: "without a matrix"
            case .first(let n): "in the first \(n) layers"
            case .firstEighth: "in the first eighth of the layers"
            case .firstSixteenth: "in the first sixteenth of the layers"
            case .sensitiveLayers: "in the sensitive layers"
            case .middleLayers: "in the middle layers"
            }
        }
    }

    let role: TensorCategory
    /// Nil: every file type that no earlier line fits.
    let fileTypes: [FileType]?
    let conditions: [Condition]
    let type: DType

    init(_ role: TensorCategory, _ fileTypes: [FileType]?, _ conditions: Condition..., to type: DType) {
        self.role = role
        self.fileTypes = fileTypes
        self.conditions = conditions
        self.type = type
    }

    func fits(_ fileType: FileType) -> Bool { fileTypes?.contains(fileType) ?? true }

    /// The rule in words, for `--explain`.
    func text(in fileType: FileType) -> String {
        let when = conditions.map(\.text).filter { !$0.isEmpty }.joined(separator: ", ")
        return "\(fileTypes == nil ? "any mix" : fileType.name): \(role.rawValue)\(when.isEmpty ? "" : " " + when)"
    }

    /// The file types below three bits share their rules.
    static let lowBits: [FileType] = [.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq2_m]
    private static let iq1: [FileType] = [.iq1_s, .iq1_m]
    private static let iq2Larger: [FileType] = [.iq2_s, .iq2_m]
    private static let iq4: [FileType] = [.iq4_nl, .iq4_xs]

    static let table: [MixRule] = embedding + attention + feedForward

    private static let embedding: [MixRule] = [
        MixRule(.tokenEmbedding, [.iq1_s, .iq1_m, .iq2_xxs, .iq2_xs], to: .q2_K),
        MixRule(.tokenEmbedding, [.iq2_s, .iq2_m, .iq3_xxs], to: .iq3_s),
        MixRule(.tokenEmbedding, [.tq1_0, .tq2_0, .q2_0], to: .q4_K),
    ]

    private static let attention: [MixRule] = [
        MixRule(.attentionV, lowBits, .groupedOrExperts, to: .q4_K),
        MixRule(.attentionV, iq2Larger, to: .iq3_s),
        MixRule(.attentionV, lowBits, to: .q2_K),
        MixRule(.attentionV, nil, .eightExperts, to: .q8_0),
        MixRule(.attentionV, [.q2_K], .grouped, to: .q4_K),
        MixRule(.attentionV, [.q2_K], to: .q3_K),
        MixRule(.attentionV, [.q2_K_S], .grouped, to: .q4_K),
        MixRule(.attentionV, [.iq3_xxs, .iq3_xs, .iq3_s], .grouped, to: .q4_K),
        MixRule(.attentionV, [.iq3_xxs], .withoutMatrix, to: .iq3_s),
        MixRule(.attentionV, [.iq3_m], to: .q4_K),
        MixRule(.attentionV, [.q3_K_M], .first(2), to: .q5_K),
        MixRule(.attentionV, [.q3_K_M], to: .q4_K),
        MixRule(.attentionV, [.q3_K_L], to: .q5_K),
        MixRule(.attentionV, iq4, .grouped, to: .q5_K),
        MixRule(.attentionV, [.q4_K_M, .q5_K_M], .sensitiveLayers, to: .q6_K),
        MixRule(.attentionV, [.q4_K_S], .first(4), to: .q5_K),

        MixRule(.attentionK, lowBits, .eightExperts, to: .q4_K),
        MixRule(.attentionK, nil, .eightExperts, to: .q8_0),
        MixRule(.attentionK, [.iq3_xs], to: .iq3_xxs),
        MixRule(.attentionK, [.iq3_xxs], to: .iq2_s),
        MixRule(.attentionQ, [.iq3_xs], to: .iq3_xxs),
        MixRule(.attentionQ, [.iq3_xxs], to: .iq2_s),

        MixRule(.attentionOutput, lowBits, .eightExperts, to: .q5_K),
        MixRule(.attentionOutput, iq1, to: .iq2_xxs),
        MixRule(.attentionOutput, iq2Larger, to: .iq3_s),
        MixRule(
            .attentionOutput,
            [
                .q2_K, .iq3_xs, .iq3_xxs, .q3_K_S, .q3_K_M, .iq4_nl, .q4_K_S, .q4_K_M, .iq3_s, .iq3_m, .iq4_xs,
            ], .eightExperts, to: .q5_K),
        MixRule(.attentionOutput, [.q2_K], .notEightExperts, to: .q3_K),
        MixRule(.attentionOutput, [.iq3_xxs], .notEightExperts, to: .iq3_s),
        MixRule(.attentionOutput, [.q3_K_M, .iq3_m], .notEightExperts, to: .q4_K),
        MixRule(.attentionOutput, [.q3_K_L], .notEightExperts, to: .q5_K),
    ]

    private static let feedForward: [MixRule] = [
        MixRule(.ffnDown, iq2Larger, .firstEighth, to: .iq3_s),
        MixRule(.ffnDown, lowBits, .firstEighth, to: .q2_K),
        MixRule(.ffnDown, [.q2_K], to: .q3_K),
        MixRule(.ffnDown, [.q2_K_S], .firstEighth, to: .q4_K),
        MixRule(.ffnDown, [.iq3_xxs], .withoutMatrix, .firstEighth, to: .q4_K),
        MixRule(.ffnDown, [.iq3_xxs], .withoutMatrix, to: .q3_K),
        MixRule(.ffnDown, [.q3_K_M], .firstSixteenth, to: .q5_K),
        MixRule(.ffnDown, [.q3_K_M], to: .q4_K),
        MixRule(.ffnDown, [.iq3_m], .firstEighth, to: .q4_K),
        MixRule(.ffnDown, [.iq3_m], .eightExperts, .sensitiveLayers, to: .q4_K),
        MixRule(.ffnDown, [.q3_K_L], to: .q5_K),
        MixRule(.ffnDown, [.q4_K_M, .q5_K_M], .sensitiveLayers, to: .q6_K),
        MixRule(.ffnDown, iq4, .withoutMatrix, .firstEighth, to: .q5_K),
        MixRule(.ffnDown, [.q4_K_S], .firstEighth, to: .q5_K),
        MixRule(.ffnDown, [.q4_0], .withMatrix, .firstEighth, to: .q4_1),
        MixRule(.ffnDown, [.q5_0], .withMatrix, .firstEighth, to: .q5_1),

        MixRule(.ffnGate, [.iq3_xs], .middleLayers, to: .iq3_xxs),
        MixRule(.ffnUp, [.iq3_xs], .middleLayers, to: .iq3_xxs),
    ]
}
