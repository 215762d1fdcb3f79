// Progress of long work: a bar on a terminal, a line now and then elsewhere.

internal import Dispatch
internal import Platform

/// Shows how far a piece of work is: how much is done, rate, time left. May be advanced from any thread.
final class ProgressBar: @unchecked Sendable {
    /// What is counted.
    enum Unit {
        case bytes
        /// Things by their name in the plural: tokens, questions, layers.
        case things(String)

        /// "1.20 GB of 4.40 GB" or "1,200 of 4,400 tokens".
        func progress(_ done: UInt64, of total: UInt64) -> String {
            switch self {
            case .bytes: "\(Human.bytes(done)) of \(Human.bytes(total))"
            case .things(let name): "\(Human.count(Int(clamping: done))) of \(Human.count(Int(clamping: total))) \(name)"
            }
        }

        func rate(_ rate: Double) -> String {
            switch self {
            case .bytes: Human.bytes(UInt64(rate)) + "/s"
            case .things(let name): Human.fixed(rate, rate < 10 ? 2 : rate < 100 ? 1 : 0) + " \(name)/s"
            }
        }
    }

    private let title: String
    private var total: UInt64
    private let unit: Unit
    private let lock = DispatchSemaphore(value: 1)
    private let started = ProgressBar.now()
    private var done: UInt64 = 0
    private var shown: Double = 0
    private let onTerminal = isatty(STDERR_FILENO) == 1
    private nonisolated(unsafe) static var lineIsOpen = false

    init(_ title: String, total: UInt64, unit: Unit = .bytes) {
        self.title = title
        self.total = total
        self.unit = unit
        shown = onTerminal ? started - 1 : started
    }

    private static func now() -> Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

    /// Seconds since the work began.
    var elapsed: Double { ProgressBar.now() - started }

    /// Nothing is left to do.
    var isComplete: Bool {
        lock.wait()
        defer { lock.signal() }
        return done == total
    }

    /// Says how much there is to do, where that is known only when the work has begun.
    func expect(_ total: UInt64) {
        lock.wait()
        defer { lock.signal() }
        self.total = total
    }

    func advance(by count: UInt64) { move { $0 &+ count } }

    /// Shows that so much is done in all.
    /// - Parameter remark: what is known so far, said behind the figures.
    func advance(to count: Int, remark: String = "") { move(remark) { _ in UInt64(max(0, count)) } }

    private func move(_ remark: String = "", _ change: (UInt64) -> UInt64) {
        lock.wait()
        defer { lock.signal() }
        done = min(total, change(done))
        guard !Console.quiet else { return }
        let now = ProgressBar.now()
        // A bar that was begun is seen to fill, however short the work is.
        guard now - shown >= (onTerminal ? 0.1 : 10) || (onTerminal && done == total) else { return }
        shown = now
        let seconds = now - started
        let rate = seconds > 0 ? Double(done) / seconds : 0
        let left = rate > 0 ? Human.duration(Double(total - done) / rate) : "?"
        let percent = total > 0 ? Int(100 * Double(done) / Double(total)) : 100
        let figures =
            "\(percent)%  \(unit.progress(done, of: total))  \(unit.rate(rate))  \(left) left"
            + (remark.isEmpty ? "" : "  \(remark)")
        if onTerminal {
            Console.status("\r\u{1B}[K" + line(figures))
            ProgressBar.lineIsOpen = true
        } else {
            Console.status("\(title): \(figures)\n")
        }
    }

    /// Title, bar and figures. A line longer than the terminal is wide would wrap, and could not be taken back: the bar
    /// gives way first.
    private func line(_ figures: String) -> String {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 1
        let columns = isKnown ? Int(size.ws_col) - 1 : 120
        let width = min(24, max(4, columns - title.count - figures.count - 2))
        let filled = total > 0 ? Int(Double(width) * Double(done) / Double(total)) : width
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        return String("\(title) \(bar) \(figures)".prefix(columns))
    }

    func finish() { ProgressBar.clearLine() }

    /// Shows how much of a text became tokens.
    /// - Parameter body: is given what to call with the number of bytes that did.
    static func tokenizing<Result>(_ text: String, _ body: ((Int) -> Void) throws -> Result) rethrows -> Result {
        let bar = ProgressBar("Tokenizing", total: UInt64(text.utf8.count))
        defer { bar.finish() }
        return try body { bar.advance(to: $0) }
    }

    /// Removes the bar so that other text can be printed.
    static func clearLine() {
        guard lineIsOpen else { return }
        lineIsOpen = false
        Console.status("\r\u{1B}[K")
    }
}
