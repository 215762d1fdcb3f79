// Progress of long work: a bar on a terminal, a line now and then elsewhere.

internal import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Shows how far a piece of work is: bytes done, rate, time left. May be advanced from any thread.
final class ProgressBar: @unchecked Sendable {
    private let title: String
    private let total: UInt64
    private let lock = DispatchSemaphore(value: 1)
    private let started = ProgressBar.now()
    private var done: UInt64 = 0
    private var shown: Double = 0
    private let onTerminal = isatty(STDERR_FILENO) == 1
    private nonisolated(unsafe) static var lineIsOpen = false

    init(_ title: String, total: UInt64) {
        self.title = title
        self.total = total
        shown = onTerminal ? started - 1 : started
    }

    private static func now() -> Double { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 }

    /// Seconds since the work began.
    var elapsed: Double { ProgressBar.now() - started }

    func advance(by count: UInt64) {
        lock.wait()
        defer { lock.signal() }
        done = min(total, done &+ count)
        guard !Console.quiet else { return }
        let now = ProgressBar.now()
        guard now - shown >= (onTerminal ? 0.1 : 10) else { return }
        shown = now
        let seconds = now - started
        let rate = seconds > 0 ? Double(done) / seconds : 0
        let left = rate > 0 ? Double(total - done) / rate : 0
        let percent = total > 0 ? Int(100 * Double(done) / Double(total)) : 100
        let figures =
            "\(percent)%  \(Human.bytes(done)) of \(Human.bytes(total))  \(Human.bytes(UInt64(rate)))/s  "
            + "\(Human.duration(left)) left"
        if onTerminal {
            let width = 24
            let filled = total > 0 ? Int(Double(width) * Double(done) / Double(total)) : width
            let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
            Console.status("\r\u{1B}[K\(title) \(bar) \(figures)")
            ProgressBar.lineIsOpen = true
        } else {
            Console.status("\(title): \(figures)\n")
        }
    }

    func finish() { ProgressBar.clearLine() }

    /// Removes the bar so that other text can be printed.
    static func clearLine() {
        guard lineIsOpen else { return }
        lineIsOpen = false
        Console.status("\r\u{1B}[K")
    }
}
