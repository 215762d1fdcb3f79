// Names taken apart as llama.cpp's converter does: Golden/names.json holds its answers.

import JSONText
import ModelFiles
import Testing

@Suite struct ModelNameTests {
    @Test func namesComeApartAsTheConverterHasThem() throws {
        let cases = try #require(try goldenJSON("names.json")["names"]?.array)
        #expect(cases.count > 300)
        for entry in cases {
            let identifier = try #require(entry["identifier"]?.string)
            let name = ModelName(identifier: identifier, parameters: entry["parameters"]?.integer ?? 0)
            let context = Comment(rawValue: "\(entry)")
            #expect(name.fullName == entry["full_name"]?.string, context)
            #expect(name.organization == entry["organization"]?.string, context)
            #expect(name.basename == entry["basename"]?.string, context)
            #expect(name.finetune == entry["finetune"]?.string, context)
            #expect(name.version == entry["version"]?.string, context)
            #expect(name.sizeLabel == entry["size_label"]?.string, context)
            #expect(ModelName.title(name.fullName) == entry["title"]?.string, context)
        }
    }

    @Test func sizeLabelsAreRoundedAsTheConverterRounds() throws {
        for entry in try goldenJSON("names.json")["size_labels"]?.array ?? [] {
            let parameters = try #require(entry.array?[0].integer)
            #expect(ModelName.sizeLabel(parameters: parameters) == entry.array?[1].string, "\(parameters)")
        }
    }
}
