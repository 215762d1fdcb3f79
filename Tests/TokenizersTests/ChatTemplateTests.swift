// Conversations in the chat forms of the Llama family, id for id as transformers gives them.
//
// Golden/chat.json is written by Tests/Interop/chat_peer.py --golden.

import Foundation
import Testing

import Bytes
import JSONText
import Tokenizers

@Suite struct ChatTemplateTests {
    /// The sample's tokenizer with a chat template.
    private static func tokenizer(template: String) throws -> Tokenizer {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let from = URL(fileURLWithPath: sample)
        try FileManager.default.copyItem(
            at: from.appendingPathComponent("tokenizer.model"), to: folder.appendingPathComponent("tokenizer.model"))
        let config = try Data(contentsOf: from.appendingPathComponent("tokenizer_config.json"))
        var object = try #require(JSONSerialization.jsonObject(with: config) as? [String: Any])
        object["chat_template"] = template
        try JSONSerialization.data(withJSONObject: object).write(to: folder.appendingPathComponent("tokenizer_config.json"))
        return try Tokenizer(path: folder.path)
    }

    private static func turns(_ conversation: JSONValue) -> [ChatMessage] {
        (conversation["messages"]?.array ?? []).compactMap { message in
            guard let role = message["role"]?.string.flatMap(ChatMessage.Role.init), let text = message["content"]?.string
            else { return nil }
            return ChatMessage(role, text)
        }
    }

    @Test func conversationsHaveTransformersIds() throws {
        let entries = try #require(try JSONText.read(golden + "/chat.json").array)
        #expect(entries.count == 12)
        for entry in entries {
            let name = try #require(entry["name"]?.string)
            let tokenizer = try Self.tokenizer(template: try #require(entry["template"]?.string))
            for conversation in try #require(entry["conversations"]?.array) {
                let turns = Self.turns(conversation)
                if let ids = conversation["ids"]?.array?.compactMap(\.integer) {
                    #expect(try tokenizer.prompt(turns) == ids, "\(name): \(turns)")
                } else {
                    #expect(throws: CheckpointError.self, "\(name): \(turns)") { try tokenizer.prompt(turns) }
                }
            }
        }
    }

    @Test func writesTheKnownFormsWithoutATemplate() throws {
        let turns = [ChatMessage(.system, "Be brief."), ChatMessage(.user, "Hi ")]
        #expect(
            try ChatTemplate(.zephyr).prompt(turns) == "<|system|>\nBe brief.</s>\n<|user|>\nHi </s>\n<|assistant|>\n")
        #expect(
            try ChatTemplate(.llama2).prompt(turns + [ChatMessage(.assistant, "Hello"), ChatMessage(.user, "Bye")])
                == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]")
        #expect(
            try ChatTemplate(.chatML).prompt(turns)
                == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n")
        #expect(
            try ChatTemplate(.llama3).prompt([turns[1]])
                == "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    }

    /// However many turns a template has, it is read once.
    @Test func findsTheDefaultSystemInALongTemplate() throws {
        let turns = [ChatMessage(.user, "Hi")]
        let prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        for part in ["<|im_start|>system\n", "<|im_start|>system\\n<|im_end|>"] {
            let long = String(repeating: part, count: 50_000)
            let open = try #require(ChatTemplate(jinja: long))
            #expect(try open.prompt(turns) == prompt)
            let closed = try #require(ChatTemplate(jinja: long + "'<|im_start|>system\\nBe\\nbrief.<|im_end|>'"))
            #expect(try closed.prompt(turns) == "<|im_start|>system\nBe\nbrief.<|im_end|>\n" + prompt)
        }
    }

    @Test func refusesATemplateOfAnotherForm() throws {
        let tokenizer = try Self.tokenizer(template: "{{ messages[0].content }}")
        #expect(throws: CheckpointError.self) { try ChatTemplate(of: tokenizer) }
    }

    @Test(arguments: ["{}", "[]", "[1]", #"[{"role": "tool", "content": "a"}]"#, #"[{"role": "user"}]"#, "["])
    func refusesMalformedConversations(_ text: String) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: CheckpointError.self) { try ChatMessage.read(path) }
    }
}
