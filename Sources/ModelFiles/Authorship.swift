// Who made a model, what it is called and what it came from: GGUF's `general.*` keys (ggml's docs/gguf.md), gathered
// as llama.cpp's converter gathers them (gguf-py/gguf/metadata.py): model card first, then the config's
// `_name_or_path`, then the folder's name.

internal import JSONText
internal import OrderedCollections
internal import Tensors

/// A model or data set that a model was made from.
public struct Ancestor: Sendable, Hashable {
    /// GGUF's names of the fields, in the order they are written.
    static let fields = ["name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url"]

    /// By GGUF's field name.
    public var values: [String: String] = [:]

    /// - Parameter entry: an identifier "organization/name", an address, or a mapping of the fields.
    init(_ entry: JSONValue, parameters: Int) {
        if let members = entry.object {
            for field in Self.fields { values[field] = members[field]?.cardText }
            return
        }
        guard let text = entry.cardText else { return }
        var identifier: String? = text
        if ["http://", "https://", "ssh://"].contains(where: { text.utf8.starts(with: $0.utf8) }) {
            values["repo_url"] = text
            identifier = Self.huggingFaceIdentifier(text)
        }
        guard let identifier else { return }
        let name = ModelName(identifier: identifier, parameters: parameters)
        values["name"] = ModelName.title(name.fullName)
        values["organization"] = name.organization.map(ModelName.title)
        values["version"] = name.version
        if values["repo_url"] == nil, let organization = name.organization {
            values["repo_url"] = "https://huggingface.co/\(organization)/\(name.fullName)"
        }
    }

    /// "organization/name" out of https://huggingface.co/organization/name, and of no deeper address.
    private static func huggingFaceIdentifier(_ address: String) -> String? {
        for prefix in ["http://huggingface.co/", "https://huggingface.co/"]
        where address.utf8.starts(with: prefix.utf8) {
            let rest = address.utf8.dropFirst(prefix.utf8.count)
            let parts = rest.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
            if parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) { return String(Substring(rest)) }
        }
        return nil
    }
}

/// The `general.*` metadata about a model's origin and its recommended sampling.
public struct Authorship: Sendable, Hashable {
    public var name: String?
    public var author: String?
    public var version: String?
    public var organization: String?
    public var finetune: String?
    public var basename: String?
    public var description: String?
    public var sizeLabel: String?
    public var license: String?
    public var licenseName: String?
    public var licenseLink: String?
    public var sourceURL: String?
    public var sourceDOI: String?
    public var sourceUUID: String?
    public var sourceRepositoryURL: String?
    public var baseModels: [Ancestor]?
    public var datasets: [Ancestor]?
    public var tags: [String] = []
    public var languages: [String] = []

    /// - Parameters:
    ///   - card: the model card's front matter.
    ///   - nameOrPath: `_name_or_path` of config.json.
    ///   - folder: the model's folder name, see ``ModelFolder/name``.
    ///   - parameters: number of elements of all tensors that are written; 0 when none are.
    public init(card: FrontMatter?, nameOrPath: String?, folder: String, parameters: Int) {
        if let card { read(card.entries, parameters: parameters) }
        // Deeper paths are places on somebody's disk.
        if let nameOrPath, nameOrPath.utf8.filter({ $0 == UInt8(ascii: "/") }).count <= 1 {
            fill(from: ModelName(identifier: nameOrPath, parameters: parameters))
        }
        fill(from: ModelName(identifier: folder, parameters: parameters))
        if sizeLabel == nil, parameters > 0 { sizeLabel = ModelName.sizeLabel(parameters: parameters) }
    }

    private mutating func fill(from parts: ModelName) {
        name = name ?? ModelName.title(parts.fullName)
        organization = organization ?? parts.organization.map(ModelName.title)
        basename = basename ?? parts.basename
        finetune = finetune ?? parts.finetune
        version = version ?? parts.version
        sizeLabel = sizeLabel ?? parts.sizeLabel
    }

    private mutating func read(_ card: JSONObject, parameters: Int) {
        func first(_ keys: String...) -> String? {
            for key in keys {
                if let text = card[key]?.cardText { return text }
            }
            return nil
        }
        // Its own keys first, then those of other publishers' cards.
        name = first("name", "model_name")
        author = first("author", "model_author", "model_creator")
        version = first("version", "model_version")
        organization = first("organization", "model_organization")
        description = first("description", "model_description")
        finetune = first("finetune", "model_finetune")
        basename = first("basename", "model_basename", "model_type")
        sizeLabel = first("size_label", "model_size_label")
        sourceURL = first("url", "model_url")
        sourceDOI = first("doi", "model_doi")
        sourceUUID = first("uuid", "model_uuid")
        sourceRepositoryURL = first("repo_url", "model_repo_url")
        baseModels = ancestors(card["base_model"] ?? card["base_models"] ?? card["base_model_sources"], parameters)
        datasets = ancestors(card["datasets"] ?? card["dataset"] ?? card["dataset_sources"], parameters)
        license =
            card["license"]?.array.map { $0.compactMap(\.cardText).joined(separator: ",") } ?? first("license")
        licenseName = first("license_name")
        licenseLink = first("license_link")
        for key in ["tags", "pipeline_tag"] { tags += Self.texts(card[key]) }
        for key in ["languages", "language"] { languages += Self.texts(card[key]) }
    }

    private func ancestors(_ value: JSONValue?, _ parameters: Int) -> [Ancestor]? {
        guard let value else { return nil }
        switch value {
        case .string: return [Ancestor(value, parameters: parameters)]
        case .array(let entries): return entries.prefix(1024).map { Ancestor($0, parameters: parameters) }
        default: return []
        }
    }

    private static func texts(_ value: JSONValue?) -> [String] {
        switch value {
        case .string(let text)?: [text]
        case .array(let entries)?: entries.prefix(4096).compactMap(\.cardText)
        default: []
        }
    }

    /// Adds the keys in the order of llama.cpp's converter. Empty values are left out.
    func write(to metadata: inout Metadata) {
        func put(_ key: String, _ text: String?) {
            if let text, !text.isEmpty { metadata[key] = .string(text) }
        }
        put("general.name", name)
        put("general.author", author)
        put("general.version", version)
        put("general.organization", organization)
        put("general.finetune", finetune)
        put("general.basename", basename)
        put("general.description", description)
        put("general.size_label", sizeLabel)
        put("general.license", license)
        put("general.license.name", licenseName)
        put("general.license.link", licenseLink)
        put("general.source.url", sourceURL)
        put("general.source.doi", sourceDOI)
        put("general.source.uuid", sourceUUID)
        put("general.source.repo_url", sourceRepositoryURL)
        for (prefix, ancestors) in [("general.base_model", baseModels), ("general.dataset", datasets)] {
            guard let ancestors else { continue }
            metadata["\(prefix).count"] = .u32(UInt32(clamping: ancestors.count))
            for (index, ancestor) in ancestors.enumerated() {
                for field in Ancestor.fields { put("\(prefix).\(index).\(field)", ancestor.values[field]) }
            }
        }
        if !tags.isEmpty { metadata["general.tags"] = .array(.strings(tags)) }
        if !languages.isEmpty { metadata["general.languages"] = .array(.strings(languages)) }
    }
}

extension JSONValue {
    /// A scalar of a model card as text.
    var cardText: String? {
        switch self {
        case .string(let text): text
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .unsigned(let value): String(value)
        case .number(let value): String(value)
        default: nil
        }
    }
}

/// Recommended sampling: `general.sampling.*`, from generation_config.json.
enum SamplingKeys {
    /// GGUF's key, the config's keys by preference, and whether it is an integer.
    static let all: [(key: String, names: [String], isInteger: Bool)] = [
        ("top_k", ["top_k"], true),
        ("top_p", ["top_p"], false),
        ("min_p", ["min_p"], false),
        ("xtc_probability", ["xtc_probability"], false),
        ("xtc_threshold", ["xtc_threshold"], false),
        ("temp", ["temperature"], false),
        ("penalty_last_n", ["penalty_last_n"], true),
        ("penalty_repeat", ["penalty_repeat", "repetition_penalty"], false),
        ("mirostat", ["mirostat"], true),
        ("mirostat_tau", ["mirostat_tau"], false),
        ("mirostat_eta", ["mirostat_eta"], false),
    ]

    static func write(_ config: JSONValue, to metadata: inout Metadata) {
        if let sequence = config["sequence"]?.string, !sequence.isEmpty {
            metadata["general.sampling.sequence"] = .string(sequence)
        }
        for (key, names, isInteger) in all {
            // A key that is there counts, even when it says null.
            guard let name = names.first(where: { config[$0] != nil }), let value = config[name] else { continue }
            if isInteger {
                if let number = value.integer, let fits = Int32(exactly: number) {
                    metadata["general.sampling.\(key)"] = .i32(fits)
                }
            } else if let number = value.number {
                metadata["general.sampling.\(key)"] = .f32(Float(number))
            }
        }
    }
}
