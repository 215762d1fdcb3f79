// pannier formats: what can be read and written.

internal import ArgumentParser
internal import Bytes
internal import Containers
internal import JSONText
internal import Layouts
internal import Quantization
internal import Tensors

struct FormatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "formats",
        abstract: "List containers, layouts, presets, block formats and file types.",
        discussion: """
            EXAMPLE
              pannier formats --json
            """)

    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    /// What each container is, and which forms of it are read and written.
    private static let containers: [(kind: ContainerKind, reads: String, writes: String)] = [
        (.safetensors, "one file; shards with model.safetensors.index.json", "one file; shards with an index"),
        (
            .pytorch, "zip (.bin, .pt, .pth), the stream from before 1.6, shards with an index; pickles are never executed",
            "zip that torch.load(weights_only=True) reads; shards with an index"
        ),
        (.gguf, "versions 2 and 3, either byte order, split files", "version 3, one file or split"),
    ]

    func run() throws {
        common.apply()
        let layouts = try Layouts.all()
        let presets = try Preset.all()
        if json.json {
            Console.print([
                "schema": "pannier.formats/1",
                "containers": .array(
                    Self.containers.map {
                        ["name": .string($0.kind.rawValue), "reads": .string($0.reads), "writes": .string($0.writes)]
                    }),
                "layouts": .array(
                    layouts.map { layout in
                        [
                            "name": .string(layout.name), "title": .string(layout.title),
                            "containers": .array(layout.containers.map { .string($0.rawValue) }),
                        ]
                    }),
                "presets": .array(
                    presets.map {
                        ["name": .string($0.name), "title": .string($0.title), "config": Reports.config($0.config)]
                    }),
                "block_formats": .array(
                    BlockFormat.all.map { format in
                        [
                            "name": .string(format.name), "block_elements": JSONValue(format.blockElements),
                            "block_bytes": JSONValue(format.blockBytes),
                            "bits_per_weight": JSONValue(format.dtype.bitsPerElement),
                            "importance_matrix": .string(
                                (format.needsMatrix ? BlockFormat.Importance.required : format.importance).rawValue),
                        ]
                    }),
                "file_types": .array(
                    FileType.all.map { type in
                        [
                            "name": .string(type.name), "id": JSONValue(Int(type.id)),
                            "summary": .string(type.summary),
                        ]
                    }),
            ])
            return
        }
        let style = Style.standardOutput
        func section(_ title: String, _ rows: [[String]]) {
            Console.print(style.paint(title, .heading))
            var table = Table(rows.first.map { $0.map { _ in .left } } ?? [])
            for row in rows { table.add(row) }
            for line in table.lines(indent: 2) { Console.print(line) }
            Console.print()
        }
        section("Containers", Self.containers.map { [$0.kind.rawValue, "reads \($0.reads); writes \($0.writes)"] })
        section(
            "Layouts (--layout)",
            layouts.map { [$0.name, $0.title, $0.containers.map(\.rawValue).joined(separator: ", ")] })
        section("Presets (--preset)", presets.map { [$0.name, Reports.headline($0.config)] })
        section(
            "Block formats (--tensor-type)",
            BlockFormat.all.map { format in
                [
                    format.name, "\(Human.fixed(format.dtype.bitsPerElement, 4)) bits", format.summary,
                    format.needsMatrix ? "needs an importance matrix" : "",
                ]
            })
        section("File types (--type)", FileType.all.map { [$0.name, $0.summary] })
    }
}
