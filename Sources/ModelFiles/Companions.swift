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

    /// The carried files that a folder has, in the order above; paths are relative to it. Links count as what they
    /// point to, as in Hugging Face's cache.
    public static func present(in folder: String) -> [String] {
        var found = (tokenizer + papers).filter { Paths.kind(Paths.join(folder, $0)) == .file }
        let templates = Paths.join(folder, "additional_chat_templates")
        if Paths.kind(templates) == .folder, let names = try? Paths.list(templates) {
            found += names.filter { $0.hasSuffix(".jinja") && Paths.kind(Paths.join(templates, $0)) == .file }
                .map { Paths.join("additional_chat_templates", $0) }
        }
        return found
    }
}
