// What verification has to say: a stable code, how grave it is, where, what was expected, what to do.

/// How much a finding weighs.
public enum Severity: String, Sendable, Comparable {
    /// Worth knowing; the checkpoint is sound.
    case note
    /// Odd, and possibly wrong.
    case warning
    /// The checkpoint is not what it should be.
    case error

    private var rank: Int {
        switch self {
        case .note: 0
        case .warning: 1
        case .error: 2
        }
    }

    public static func < (a: Severity, b: Severity) -> Bool { a.rank < b.rank }
}

/// What is checked. The raw values are stable: other programs match them.
public enum FindingCode: String, Sendable, CaseIterable {
    case missingTensor = "missing_tensor"
    case unexpectedTensor = "unexpected_tensor"
    case shapeMismatch = "shape_mismatch"
    case dtypeUnusual = "dtype_unusual"
    case dtypeMixed = "dtype_mixed"
    case configInferred = "config_inferred"
    case configMismatch = "config_mismatch"
    case containerRemark = "container_remark"
    case tiedTensors = "tied_tensors"
    case duplicateTensors = "duplicate_tensors"
    case droppedTensor = "dropped_tensor"
    case tokenizerSize = "tokenizer_size"
    case notANumber = "nan"
    case infinite = "infinity"
    case zeroRows = "zero_rows"
    case zeroTensor = "zero_tensor"
    case checksum = "checksum"
    case rowOrder = "qk_row_order"
}

/// One thing that verification found.
public struct Finding: Sendable {
    public let code: FindingCode
    public let severity: Severity
    /// The tensor's name in the container; nil for what concerns the whole.
    public let tensor: String?
    public let message: String
    public let expected: String?
    public let found: String?
    public let hint: String?

    public init(
        _ code: FindingCode, _ severity: Severity, tensor: String? = nil, _ message: String, expected: String? = nil,
        found: String? = nil, hint: String? = nil
    ) {
        self.code = code
        self.severity = severity
        self.tensor = tensor
        self.message = message
        self.expected = expected
        self.found = found
        self.hint = hint
    }
}

/// The outcome of verification.
public struct VerificationReport: Sendable {
    /// Tensors that were looked at.
    public let checked: Int
    public let findings: [Finding]

    /// Whether nothing graver than a note was found.
    public var ok: Bool { findings.allSatisfy { $0.severity == .note } }

    public init(checked: Int, findings: [Finding]) {
        self.checked = checked
        self.findings = findings
    }
}
