// An output that is stored although the config calls it tied: it is said, used, and written with a config that fits.

import Conversion
import Foundation
import Inspection
import Layouts
import Tensors
import Testing

@Suite struct TieTests {
    private static let output = "lm_head.weight", embedding = "model.embed_tokens.weight"

    /// The sample with a config that says that the output is the embedding.
    private func tied(_ folder: TemporaryFolder, changing change: (inout SafetensorsText) throws -> Void) throws -> String {
        let path = folder.file("tied")
        try Sample.copy(to: path, changing: change)
        let config = URL(filePath: path + "/config.json")
        let text = try String(contentsOf: config, encoding: .utf8)
        let changed = text.replacing("\"tie_word_embeddings\": false", with: "\"tie_word_embeddings\": true")
        #expect(changed != text)
        try changed.write(to: config, atomically: true, encoding: .utf8)
        return path
    }

    private func ties(_ findings: [Finding]) -> [Finding] { findings.filter { $0.code == .tiedTensors } }

    @Test func anOtherOutputThanTheEmbeddingIsSaid() throws {
        let folder = try TemporaryFolder()
        let verifier = Verifier(try ModelSource(try tied(folder) { _ in }))
        let said = ties(verifier.verify())
        #expect(said.map(\.tensor) == [Self.output] && said.map(\.severity) == [.warning])
        // Nothing is said of a model whose config is right.
        let sound = Verifier(try ModelSource(Sample.folder))
        #expect(ties(sound.verify()).isEmpty)
    }

    @Test func theEmbeddingStoredTwiceIsOnlyNoted() throws {
        let folder = try TemporaryFolder()
        let path = try tied(folder) { $0[Self.output] = $0[Self.embedding] }
        let source = try ModelSource(path)
        #expect(source.config.tiedOutput)
        #expect(ties(Verifier(source).verify()).map(\.severity) == [.note])
        // It stays tied, and both are written as they were.
        try Sample.convert(path, to: folder.file("again"), .safetensors, layout: "hf-llama")
        let again = try ModelSource(folder.file("again"))
        #expect(again.configFile?.config.tiedOutput == true && again.match.stores(TensorRole(.output)))
    }

    @Test func aConversionWritesAConfigThatFits() throws {
        let folder = try TemporaryFolder()
        let path = try tied(folder) { _ in }
        try Sample.convert(path, to: folder.file("again"), .safetensors, layout: "hf-llama")
        let again = try ModelSource(folder.file("again"))
        #expect(again.configFile?.config.tiedOutput == false)
        #expect(again.match.stores(TensorRole(.output)))
        try Sample.convert(path, to: folder.file("x.gguf"), .gguf, layout: "gguf-llama")
        let found = try difference(folder.file("again"), folder.file("x.gguf"))
        #expect(!found.facts.contains { $0.key == "tied_output" }, "\(found.facts)")
    }
}
