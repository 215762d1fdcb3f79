// The files beside a checkpoint that go with it into another folder as they are.

internal import Bytes

/// Which files of a model's folder are carried along when its weights are written in another form.
public enum Companions {
    /// Tokenizer and generation files. transformers and litgpt (utils.copy_config_files) both read these.
    public static let tokenizer = [
        "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "generation_config.json", "chat_template.jinja", "chat_template.json",
    ]

    /// What says whose the model is and under which terms; the terms ask to be passed on.
    public static let papers = [
        "README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "NOTICE.txt", "Notice.txt",
        "USE_POLICY.md",
    ]

    /// The subfolder with chat templates beside the standard one; the one folder that is carried along.
    public static let templateFolder = "additional_chat_templates"
    static let templateEnding = ".jinja"

    /// More templates, or more bytes in all of them, are no model's.
    private static let mostTemplates = 256
    private static let mostTemplateBytes: UInt64 = 16 << 20

    /// The carried files that lie in a folder itself, in the order above. Links count as what they point to, as in Hugging
    /// Face's cache.
    public static func present(in folder: String) -> [String] {
        (tokenizer + papers).filter { Paths.kind(Paths.join(folder, $0)) == .file }
    }

    /// The additional chat templates of a model's folder, sorted by the bytes of their names, which are plain ones.
    /// - Throws: `inputOutput` where they cannot be read, `malformed` where they are too large together.
    public static func templates(in folder: String) throws -> [ModelFile] {
        var room = mostTemplateBytes
        return try templateNames(in: folder).map { name in
            let bytes = try File(Paths.join(Paths.join(folder, templateFolder), name)).contents(limit: room)
            room -= UInt64(bytes.count)
            return ModelFile(name: name, bytes: bytes)
        }
    }

    /// The paths of all carried files, those with templates too.
    public static func paths(in folder: String) -> [String] {
        let templates = Paths.join(folder, templateFolder)
        return present(in: folder).map { Paths.join(folder, $0) }
            + ((try? templateNames(in: folder)) ?? []).map { Paths.join(templates, $0) }
    }

    /// What lies in folders below is no template, nor what a name that is a path would lead to.
    private static func templateNames(in folder: String) throws -> [String] {
        let templates = Paths.join(folder, templateFolder)
        guard Paths.kind(templates) == .folder else { return [] }
        let names = try Paths.list(templates).filter { name in
            name.hasSuffix(templateEnding) && !name.utf8.contains(UInt8(ascii: "/"))
                && Paths.kind(Paths.join(templates, name)) == .file
        }
        return Array(names.prefix(mostTemplates))
    }
}
