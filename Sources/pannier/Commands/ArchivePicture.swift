// The steps of an archive as a drawing and as a page: what each takes outside and inside.

internal import Archive
internal import Bytes
internal import Reporting

struct ArchivePicture {
    let archive: String
    let bytes: UInt64
    let steps: [(step: ArchivedStep, contents: StepContents)]

    private var bars: ShareBars {
        ShareBars(
            title: Self.title(archive, steps.reduce(0) { $0 + $1.contents.bytes }, bytes),
            caption: "frame: the original files; filled: what the step brought into the archive",
            rows: steps.map { step, contents in
                let percent = contents.bytes > 0 ? 100 * Double(contents.stored) / Double(contents.bytes) : 100
                let how = contents.relative > 0 ? "against an earlier step" : "alone"
                return ShareBars.Row(
                    label: "step \(step.step)", whole: Double(contents.bytes), part: Double(contents.stored),
                    text: "\(Human.bytes(contents.stored)), \(Human.fixed(percent, 1)) %, \(how)",
                    title: "\(step.name): \(Human.bytes(contents.bytes)) stored in \(Human.bytes(contents.stored)), \(how)")
            })
    }

    private static func title(_ archive: String, _ original: UInt64, _ size: UInt64) -> String {
        "\(Paths.name(archive)): \(Human.bytes(original)) in \(Human.bytes(size))"
    }

    var svg: String { bars.drawing.standalone }

    var html: String {
        Page(
            title: bars.title,
            content: [
                .tag("figure", [], [bars.drawing.inline]),
                .table(
                    [
                        ("step", true), ("name", false), ("files", true), ("tensors", true), ("bytes", true), ("stored", true),
                        ("objects against an earlier step", true),
                    ],
                    steps.map { step, contents in
                        [
                            "\(step.step)", step.name, "\(contents.files.count)", "\(contents.tensors)", "\(contents.bytes)",
                            "\(contents.stored)", "\(contents.relative)",
                        ]
                    }),
            ]
        ).source
    }
}
