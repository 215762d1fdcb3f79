// Chat templates that Pannier knows by their form. Models carry theirs as Jinja programs; these are the few that Llama
// models use, recognised by the literals they write and spelled out here. No Jinja is run.

internal import Bytes
internal import JSONText
internal import Platform

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

/// How a model wants a conversation written.
public struct ChatTemplate: Sendable, Hashable {
    public enum Form: String, Sendable, CaseIterable {
        /// TinyLlama-Chat and Zephyr: <|user|>\n...</s>\n<|assistant|>\n
        case zephyr
        /// Llama 2 Chat: [INST] <<SYS>>...<</SYS>> ... [/INST]
        case llama2
        /// Mistral Instruct: [INST] ... [/INST] with blanks that differ from version to version.
        case mistral
        /// Llama 3 Instruct: <|start_header_id|>user<|end_header_id|>\n\n...<|eot_id|>
        case llama3
        /// <|im_start|>user\n...<|im_end|>\n
        case chatML
    }

    public var form: Form
    /// Llama 3.1 and later open with a system turn that tells this date, "26 Jul 2024".
    var date: String?
    /// What ChatML templates let the system say when nobody says anything else.
    var defaultSystem: String?
    /// Whether the template itself puts bos in front. (Where it does not, the tokenizer may.)
    var writesBos: Bool
    /// Mistral's blanks and where its system message stands.
    var instruction = InstructionForm()

    /// How Mistral's versions write a turn.
    struct InstructionForm: Sendable, Hashable {
        enum SystemPlace: Sendable, Hashable {
            /// The template refuses it, or it stands before the first or last user's text, or between tokens of its own.
            case nowhere, first, last, tagged
        }
        var opening = "[INST] "
        var closing = " [/INST]"
        var beforeAnswer = ""
        var afterAnswer = ""
        var trimsAnswer = false
        var system = SystemPlace.nowhere
    }

    public init(_ form: Form) {
        self.form = form
        writesBos = form == .llama2 || form == .llama3 || form == .mistral
    }

    /// The form of a model's template, or of its special tokens where it has no template.
    /// - Throws: `unsupported` where neither is known.
    public init(of tokenizer: Tokenizer) throws {
        if let template = tokenizer.chatTemplate {
            guard let known = ChatTemplate(jinja: template) else {
                throw CheckpointError.unsupported(
                    "the model's chat template has an unknown form", place: "chat_template",
                    expected: "Zephyr's, Llama 2's, Llama 3's, Mistral's or ChatML",
                    remedy: "write the prompt out as the model expects it and leave out --chat")
            }
            self = known
        } else if tokenizer.id(of: "<|start_header_id|>") != nil {
            self.init(.llama3)
        } else if tokenizer.id(of: "<|im_start|>") != nil {
            self.init(.chatML)
        } else {
            throw CheckpointError.unsupported(
                "the model has no chat template", place: "chat_template",
                remedy: "leave out --chat: this may be a base model, which continues text")
        }
    }

    // MARK: Recognising

    /// The form of a Jinja template; nil where it is none of those known.
    package init?(jinja: String) {
        if jinja.contains("<|start_header_id|>") {
            self.init(.llama3)
            if jinja.contains("Cutting Knowledge Date: December 2023") {
                // 3.1 has the date in it; later ones ask the clock where there is one.
                date = jinja.contains("strftime_now") ? Self.today() : Self.literal(in: jinja, after: "date_string = \"") ?? ""
            }
        } else if jinja.contains("<|im_start|>") {
            self.init(.chatML)
            defaultSystem = Self.defaultSystem(jinja)
        } else if jinja.contains("<<SYS>>") {
            self.init(.llama2)
        } else if jinja.contains("[INST]") {
            self.init(.mistral)
            instruction = InstructionForm(jinja: jinja)
        } else if jinja.contains("<|user|>"), jinja.contains("<|assistant|>"), !jinja.contains("<|end|>") {
            self.init(.zephyr)
        } else {
            return nil
        }
        writesBos = jinja.contains("bos_token")
    }

    /// The text after a mark up to the next quote.
    private static func literal(in jinja: String, after mark: String) -> String? {
        guard let range = jinja.firstRange(of: mark) else { return nil }
        return String(jinja[range.upperBound...].prefix { $0 != "\"" && $0 != "'" })
    }

    /// The whole system turn that stands in one literal. (Turns put together of literals end theirs before the text.)
    private static func defaultSystem(_ jinja: String) -> String? {
        let template = Array(jinja.utf8), turnEnd = Array("<|im_end|>".utf8)
        func stands(_ mark: [UInt8], at place: Int) -> Bool {
            template[place] == mark[0] && template[place...].starts(with: mark)
        }
        for mark in ["<|im_start|>system\\n", "<|im_start|>system\n"].map({ Array($0.utf8) }) {
            // Where the text of a turn begins whose literal has not ended yet.
            var begin: Int?
            var at = 0
            while at < template.count {
                if template[at] == UInt8(ascii: "\"") || template[at] == UInt8(ascii: "'") {
                    begin = nil
                    at += 1
                } else if let start = begin, stands(turnEnd, at: at) {
                    guard at == start else {
                        return String(decoding: template[start..<at], as: UTF8.self).replacing("\\n", with: "\n")
                    }
                    begin = nil
                    at += turnEnd.count
                } else if begin == nil, stands(mark, at: at) {
                    at += mark.count
                    begin = at
                } else {
                    at += 1
                }
            }
        }
        return nil
    }

    private static func today() -> String {
        var now = time(nil), parts = tm()
        localtime_r(&now, &parts)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let day = parts.tm_mday, month = months.indices.contains(Int(parts.tm_mon)) ? months[Int(parts.tm_mon)] : "Jan"
        return "\(day < 10 ? "0" : "")\(day) \(month) \(1900 + Int(parts.tm_year))"
    }

    // MARK: Writing

    /// The prompt of a conversation up to where the assistant is to speak, without the first bos.
    /// - Throws: `unsupported` where the form has no place for a system message.
    public func prompt(_ messages: [ChatMessage], bos: String = "<s>", eos: String = "</s>") throws -> String {
        switch form {
        case .zephyr:
            return messages.map { "<|\($0.role.rawValue)|>\n\($0.content)\(eos)\n" }.joined() + "<|assistant|>\n"
        case .chatML:
            var messages = messages
            if let defaultSystem, messages.first?.role != .system {
                messages.insert(ChatMessage(.system, defaultSystem), at: 0)
            }
            return messages.map { "<|im_start|>\($0.role.rawValue)\n\($0.content)<|im_end|>\n" }.joined()
                + "<|im_start|>assistant\n"
        case .llama3:
            return llama3(messages)
        case .llama2:
            return Self.llama2(messages, bos: bos, eos: eos)
        case .mistral:
            return try mistral(messages, eos: eos)
        }
    }

    private func llama3(_ messages: [ChatMessage]) -> String {
        func turn(_ role: String, _ content: String) -> String {
            "<|start_header_id|>\(role)<|end_header_id|>\n\n\(content)<|eot_id|>"
        }
        var messages = messages[...], prompt = ""
        if let date {
            let system = messages.first?.role == .system ? messages.removeFirst().content : ""
            prompt = turn(
                "system", "Cutting Knowledge Date: December 2023\nToday Date: \(date)\n\n" + Self.trimmed(system))
        }
        for message in messages { prompt += turn(message.role.rawValue, Self.trimmed(message.content)) }
        return prompt + "<|start_header_id|>assistant<|end_header_id|>\n\n"
    }

    /// The system message stands inside the first user's turn, and what is trimmed is the two together.
    private static func llama2(_ messages: [ChatMessage], bos: String, eos: String) -> String {
        var prompt = "", system = ""
        for message in messages {
            switch message.role {
            case .system: system = "<<SYS>>\n\(message.content)\n<</SYS>>\n\n"
            case .user:
                if !prompt.isEmpty { prompt += bos }
                prompt += "[INST] \(trimmed(system + message.content)) [/INST]"
                system = ""
            case .assistant: prompt += " \(trimmed(message.content)) \(eos)"
            }
        }
        return prompt
    }

    private func mistral(_ messages: [ChatMessage], eos: String) throws -> String {
        let system = messages.first { $0.role == .system }?.content
        if system != nil, instruction.system == .nowhere {
            throw CheckpointError.unsupported(
                "the model's chat template has no place for a system message", place: "chat_template",
                remedy: "leave out --system, and say it in the prompt")
        }
        let turns = messages.filter { $0.role != .system }
        var prompt = instruction.system == .tagged ? system.map { "[SYSTEM_PROMPT] \($0)[/SYSTEM_PROMPT]" } ?? "" : ""
        for (index, message) in turns.enumerated() {
            if message.role == .assistant {
                let content = instruction.trimsAnswer ? Self.trimmed(message.content) : message.content
                prompt += instruction.beforeAnswer + content + eos + instruction.afterAnswer
                continue
            }
            let carries = instruction.system == .first && index == 0 || instruction.system == .last && index == turns.count - 1
            let before = carries ? system.map { $0 + "\n\n" } ?? "" : ""
            prompt += instruction.opening + before + message.content + instruction.closing
        }
        return prompt
    }

    /// Without blanks at both ends, by Python's idea of them: Unicode's and four control characters.
    private static func trimmed(_ text: String) -> String {
        func isBlank(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
        }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isBlank($0) }), let last = scalars.lastIndex(where: { !isBlank($0) })
        else { return "" }
        return String(scalars[first...last])
    }
}

extension ChatTemplate.InstructionForm {
    /// Reads the blanks off a template's literals; quotes may be single or double.
    init(jinja: String) {
        let text = jinja.replacing("\"", with: "'")
        opening = text.contains("' [INST] '") ? " [INST] " : text.contains("[INST] ") ? "[INST] " : "[INST]"
        closing = text.contains("' [/INST]") ? " [/INST]" : "[/INST]"
        beforeAnswer = text.contains("' ' + message['content']") ? " " : ""
        afterAnswer = text.contains("eos_token + ' '") ? " " : ""
        trimsAnswer = text.contains("message['content']|trim + eos") || text.contains("message['content'] | trim + eos")
        if text.contains("[SYSTEM_PROMPT]") {
            system = .tagged
        } else if text.contains("loop.last and system_message") {
            system = .last
        } else if text.contains("loop.first and system_message") {
            system = .first
        }
    }
}

extension Tokenizer {
    /// Ids of a text as a model is to see it: bos in front where it belongs there and is not yet.
    /// - Parameter special: find control tokens in the text.
    public func prompt(_ text: String, special: Bool = false) -> [Int] {
        let ids = encode(text, special: special)
        guard addsBos, let bosID, ids.first != bosID || !special else { return ids }
        return [bosID] + ids
    }

    /// Ids of a conversation up to where the assistant is to speak.
    /// - Throws: `unsupported` where the chat form is unknown or has no place for one of the turns.
    public func prompt(_ turns: [ChatMessage]) throws -> [Int] {
        let template = try ChatTemplate(of: self)
        let bos = bosID.flatMap(piece) ?? ""
        let text = try template.prompt(turns, bos: bos, eos: eosIDs.first.flatMap(piece) ?? "")
        // Encoded together with a bos of the template's, the text begins after a token: no space is put in front of it.
        return prompt(template.writesBos ? bos + text : text, special: true)
    }
}

extension ChatMessage {
    /// Reads a conversation: a JSON array of objects with `role` and `content`.
    /// - Throws: `malformed`, naming the message.
    public static func read(_ path: String) throws -> [ChatMessage] {
        guard let messages = try JSONText.read(path, limit: 64 << 20).array, !messages.isEmpty else {
            throw CheckpointError.malformed(
                "no conversation", file: path, expected: #"[{"role": "user", "content": "..."}]"#)
        }
        return try messages.enumerated().map { index, message in
            guard let role = message["role"]?.string.flatMap(Role.init), let content = message["content"]?.string else {
                throw CheckpointError.malformed(
                    "a message without role or content", file: path, place: "message \(index)",
                    expected: "role system, user or assistant, and content")
            }
            return ChatMessage(role, content)
        }
    }
}
