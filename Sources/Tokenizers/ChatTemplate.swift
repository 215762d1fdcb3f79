// Chat templates that Pannier knows by their form. Models carry theirs as Jinja programs; these are the few that Llama
// models use, recognised by the tokens they write and spelled out here. No Jinja is run.

internal import Bytes

/// One turn of a conversation.
public struct ChatMessage: Sendable, Hashable {
    public enum Role: String, Sendable {
        case system, user, assistant
    }
    public var role: Role
    public var content: String

    public init(_ role: Role, _ content: String) {
        self.role = role
        self.content = content
    }
}

public enum ChatTemplate: String, Sendable, CaseIterable {
    /// TinyLlama-Chat and Zephyr: <|user|>\n...</s>\n<|assistant|>\n
    case zephyr
    /// Llama 2 Chat: [INST] <<SYS>>...<</SYS>> ... [/INST]
    case llama2
    /// Llama 3 Instruct: <|start_header_id|>user<|end_header_id|>\n\n...<|eot_id|>
    case llama3
    /// <|im_start|>user\n...<|im_end|>\n
    case chatML

    /// The form of a model's template, or of its special tokens where it has no template.
    /// - Throws: `unsupported` where neither is known.
    public init(of tokenizer: Tokenizer) throws {
        if let template = tokenizer.chatTemplate {
            guard let known = ChatTemplate(jinja: template) else {
                throw CheckpointError.unsupported(
                    "the model's chat template has an unknown form", place: "chat_template",
                    expected: "Zephyr's, Llama 2's, Llama 3's or ChatML",
                    remedy: "write the prompt out as the model expects it and leave out --chat")
            }
            self = known
        } else if tokenizer.id(of: "<|start_header_id|>") != nil {
            self = .llama3
        } else if tokenizer.id(of: "<|im_start|>") != nil {
            self = .chatML
        } else {
            throw CheckpointError.unsupported(
                "the model has no chat template", place: "chat_template",
                remedy: "leave out --chat: this may be a base model, which continues text")
        }
    }

    init?(jinja: String) {
        if jinja.contains("<|start_header_id|>") {
            self = .llama3
        } else if jinja.contains("<|im_start|>") {
            self = .chatML
        } else if jinja.contains("[INST]") {
            self = .llama2
        } else if jinja.contains("<|user|>"), jinja.contains("<|assistant|>"), !jinja.contains("<|end|>") {
            self = .zephyr
        } else {
            return nil
        }
    }

    /// The prompt of a conversation up to where the assistant is to speak, without the first bos.
    public func prompt(_ messages: [ChatMessage], bos: String = "<s>", eos: String = "</s>") -> String {
        switch self {
        case .zephyr:
            messages.map { "<|\($0.role.rawValue)|>\n\($0.content)\(eos)\n" }.joined() + "<|assistant|>\n"
        case .chatML:
            messages.map { "<|im_start|>\($0.role.rawValue)\n\($0.content)<|im_end|>\n" }.joined()
                + "<|im_start|>assistant\n"
        case .llama3:
            messages.map {
                "<|start_header_id|>\($0.role.rawValue)<|end_header_id|>\n\n\(Self.trimmed($0.content))<|eot_id|>"
            }.joined() + "<|start_header_id|>assistant<|end_header_id|>\n\n"
        case .llama2:
            Self.llama2(messages, bos: bos, eos: eos)
        }
    }

    /// The system message stands inside the first user's turn.
    private static func llama2(_ messages: [ChatMessage], bos: String, eos: String) -> String {
        var prompt = "", system = ""
        for message in messages {
            switch message.role {
            case .system: system = "<<SYS>>\n\(message.content)\n<</SYS>>\n\n"
            case .user:
                if !prompt.isEmpty { prompt += bos }
                prompt += "[INST] \(system)\(trimmed(message.content)) [/INST]"
                system = ""
            case .assistant: prompt += " \(trimmed(message.content)) \(eos)"
            }
        }
        return prompt
    }

    private static func trimmed(_ text: String) -> String {
        let blank: (Character) -> Bool = { $0.isWhitespace }
        let front = text.drop(while: blank)
        return String(front.reversed().drop(while: blank).reversed())
    }
}
