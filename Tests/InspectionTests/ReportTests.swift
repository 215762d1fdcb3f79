// Pages and drawings: well formed, self-contained, and safe whatever tensors are called.

import Foundation
import Inspection
import Reporting
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// Reads a page or drawing as XML, which is stricter than any browser.
func expectWellFormed(_ source: String) throws {
    let text = source.hasPrefix("<!DOCTYPE html>") ? String(source.dropFirst("<!DOCTYPE html>".count)) : source
    let parser = XMLParser(data: Data(text.utf8))
    #expect(parser.parse(), "\(String(describing: parser.parserError)) in line \(parser.lineNumber)")
}

@Suite struct ReportTests {
    private let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    @Test func hostileNamesStayText() throws {
        let hostile = "</text></svg><script>alert('1')</script>\u{0}\u{1B}[2J\u{202E}\"&]]>"
        let chart = BarChart(title: hostile, caption: hostile, bars: [(hostile, 1, hostile)])
        let map = HeatMap(
            title: hostile, unit: hostile, columns: [hostile],
            rows: [(hostile, [HeatCell(value: 1e-3, title: hostile), HeatCell(value: nil, title: "")])])
        let svg = Drawing.stack([chart.drawing, map.drawing], label: hostile).standalone
        let html = Page(title: hostile, content: [map.drawing.inline, .tag("p", [("id", hostile)], hostile)]).source
        for source in [svg, html] {
            try expectWellFormed(source)
            #expect(!source.contains("<script"))
            #expect(!source.contains("\u{202E}"))
            #expect(!source.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
        }
    }

    @Test func aReportIsSelfContainedAndComplete() throws {
        let other = folder.file("other")
        try Sample.copy(to: other) { text in
            var bytes = text["model.norm.weight"]
            bytes[0] ^= 1
            text["model.norm.weight"] = bytes
        }
        let (a, b) = (try ComparedCheckpoint(Sample.folder), try ComparedCheckpoint(other))
        let found = try Differ(a, b, threads: 2).run()
        let page = DifferencePage(found, a, b, tolerance: nil, verdict: "different")
        for source in [page.html, page.svg] {
            try expectWellFormed(source)
            #expect(!source.contains("src="))
            #expect(!source.contains("href="))
            #expect(!source.contains("url("))
            #expect(!source.contains("@import"))
            #expect(source.contains("prefers-color-scheme: dark"))
        }
        for tensor in found.tensors { #expect(page.html.contains(tensor.name)) }
    }

    @Test func colorsRiseFromDarkToLight() {
        #expect(ColorRamp.color(at: 0) == "#440154")
        #expect(ColorRamp.color(at: 1) == "#fde725")
        #expect(ColorRamp.color(at: .nan) == "#fde725")
        #expect(ColorRamp.color(at: -3) == "#440154")
    }
}
