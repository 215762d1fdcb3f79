// Is the checkpoint what its config says? Names, shapes, dtypes and what belongs together, from headers alone.

internal import Bytes
public import Conversion
internal import Layouts
internal import OrderedCollections
internal import Tensors

/// Checks a recognised checkpoint against its dimensions.
public struct Verifier: Sendable {
    let source: ModelSource

    public init(_ source: ModelSource) { self.source = source }

    /// Everything that headers show.
    public func verify() -> [Finding] {
        var findings: [Finding] = []
        findings += names()
        findings += dtypes()
        findings += sharing()
        findings += storedTie()
        findings += config()
        findings += source.reader.remarks.map { Finding(.containerRemark, .note, $0) }
        return findings
    }

    private var tensors: [TensorInfo] { source.reader.tensors }

    /// Missing, unexpected and misshapen tensors.
    private func names() -> [Finding] {
        let match = source.match
        var findings: [Finding] = []
        for wrong in match.misshapen {
            let tensor = tensors[wrong.tensor]
            findings.append(
                Finding(
                    .shapeMismatch, .error, tensor: tensor.name, "the shape does not fit the config",
                    expected: "\(wrong.spec.formula) = \(wrong.spec.shape)", found: "\(tensor.shape)",
                    hint: hint(expected: wrong.spec.shape, found: tensor.shape)))
        }
        for absent in match.missing {
            findings.append(
                Finding(
                    .missingTensor, .error, tensor: match.prefix + absent.name, "the tensor is missing",
                    expected: "\(absent.shape)", hint: "is the download complete, with all shards?"))
        }
        for index in match.unexpected {
            findings.append(
                Finding(
                    .unexpectedTensor, .warning, tensor: tensors[index].name,
                    "the layout \(match.layout.name) knows no such tensor", found: "\(tensors[index].shape)",
                    hint: "conversion leaves it behind"))
        }
        for index in match.dropped {
            findings.append(
                Finding(
                    .droppedTensor, .note, tensor: tensors[index].name,
                    "carries nothing: it is computed from the config", hint: "conversion leaves it behind"))
        }
        return findings
    }

    /// What a wrong shape looks like it came from.
    private func hint(expected: Shape, found: Shape) -> String? {
        if expected.rank == 2, found.dimensions == Array(expected.dimensions.reversed()) {
            return "it is transposed"
        }
        if expected.count == found.count { return "it has the right number of elements in another shape" }
        if expected.rank == 2, found.rank == 2, expected.columns == found.columns,
            expected.rows == source.config.vocab
        {
            return "the vocabulary has \(found.rows) entries here and \(expected.rows) in the config"
        }
        return nil
    }

    private func dtypes() -> [Finding] {
        var findings: [Finding] = []
        var counts: OrderedDictionary<DType, Int> = [:]
        for matched in source.match.matched {
            let tensor = tensors[matched.tensor]
            if !tensor.dtype.isFloat, !tensor.dtype.isQuantized {
                findings.append(
                    Finding(
                        .dtypeUnusual, .warning, tensor: tensor.name, "weights are not stored as floats",
                        expected: "F32, F16, BF16 or a block format", found: "\(tensor.dtype)"))
            }
            if tensor.shape.rank > 1 { counts[tensor.dtype, default: 0] += 1 }
        }
        if counts.count > 1, source.reader.kind != .gguf {
            let list = counts.map { "\($0.value) in \($0.key)" }.joined(separator: ", ")
            findings.append(Finding(.dtypeMixed, .warning, "the matrices have several dtypes", found: list))
        }
        return findings
    }

    /// Tensors that lie in the same bytes.
    private func sharing() -> [Finding] {
        struct Place: Hashable {
            let device: UInt64
            let inode: UInt64
            let offset: UInt64
            let start: Int
            let shape: Shape
        }
        var first: [Place: Int] = [:]
        var findings: [Finding] = []
        for (index, tensor) in tensors.enumerated() where tensor.byteCount > 0 {
            let place = Place(
                device: tensor.extent.file.identity.device, inode: tensor.extent.file.identity.inode,
                offset: tensor.extent.offset, start: tensor.view?.offset ?? 0, shape: tensor.shape)
            if let other = first[place] {
                findings.append(
                    Finding(
                        .tiedTensors, .note, tensor: tensor.name, "shares its bytes with \(tensors[other].name)"))
            } else {
                first[place] = index
            }
        }
        return findings
    }

    /// An output that is stored beside the embedding although the config says that it is the embedding.
    private func storedTie() -> [Finding] {
        guard let file = source.configFile, file.config.tiedOutput, !file.unsaid.contains(.tiedOutput),
            source.match.stores(TensorRole(.output)), let output = source.match.rows(of: TensorRole(.output))?.whole,
            let embedding = source.match.rows(of: TensorRole(.tokenEmbedding))?.whole
        else { return [] }
        let name = tensors[output].name, other = tensors[embedding].name
        if source.config.tiedOutput { return [Finding(.tiedTensors, .note, tensor: name, "repeats \(other), byte for byte")] }
        return [
            Finding(
                .tiedTensors, .warning, tensor: name, "differs from \(other), and the config says that the two are one",
                expected: "tie_word_embeddings false, or no \(name)", found: "tie_word_embeddings true",
                hint: "what is stored is used, and `pannier convert` writes a config that says so; other programs may take "
                    + "the embedding")
        ]
    }

    /// What the config and the checkpoint say of each other.
    private func config() -> [Finding] {
        var findings: [Finding] = []
        for assumption in source.match.assumptions {
            findings.append(
                Finding(
                    .configInferred, .note, assumption,
                    hint: "a config beside the checkpoint, --config FILE or --preset NAME would settle it"))
        }
        if let fault = source.config.fault {
            findings.append(
                Finding(
                    .configMismatch, .error, "the config's \(fault.field) cannot be", expected: fault.expected,
                    found: fault.found))
        }
        if let tokens = source.reader.metadata["tokenizer.ggml.tokens"]?.array?.count, tokens != source.config.vocab {
            findings.append(
                Finding(
                    .tokenizerSize, .error, "the tokenizer and the embedding differ in size",
                    expected: "\(source.config.vocab) tokens", found: "\(tokens)"))
        }
        if source.reader.kind == .gguf {
            for key in ["general.architecture", "tokenizer.ggml.model"] where source.reader.metadata[key] == nil {
                findings.append(
                    Finding(.configMismatch, .warning, "the key \(key) is missing", hint: "other programs need it"))
            }
        }
        return findings
    }
}
