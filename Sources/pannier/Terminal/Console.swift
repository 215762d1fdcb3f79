// Where text goes: results to standard output, everything else to standard error.

internal import Bytes
internal import JSONText
internal import Platform

/// The two output streams. Results are collected and written in large pieces.
///
/// The command line runs on one thread and only it prints results; diagnostics go out at once from any thread.
enum Console {
    nonisolated(unsafe) static var quiet = false
    nonisolated(unsafe) static var verbose = false
    nonisolated(unsafe) static var color: ColorChoice = .auto
    private nonisolated(unsafe) static var pending: [UInt8] = []
    /// Nobody reads standard output any more.
    private nonisolated(unsafe) static var readerIsGone = false

    /// Prints a line of the result.
    static func print(_ line: String = "") {
        pending.append(contentsOf: line.utf8)
        pending.append(UInt8(ascii: "\n"))
        if pending.count > 1 << 16 { flush() }
    }

    /// Prints text of the result without a newline, at once. Without a reader there is nothing left to do.
    static func stream(_ bytes: some Sequence<UInt8>) {
        pending.append(contentsOf: bytes)
        flush()
        if readerIsGone { _exit(0) }
    }

    /// Prints the JSON object that is a command's whole result.
    static func print(_ json: JSONValue) { print(json.text(.indented)) }

    /// Writes what is pending. A reader that went away needs no more, but the exit status still says what was found; a full
    /// disk is said.
    static func flush() {
        guard !pending.isEmpty else { return }
        let bytes = pending
        pending.removeAll(keepingCapacity: true)
        guard !readerIsGone else { return }
        if let failed = write(bytes, to: STDOUT_FILENO) {
            if failed == EPIPE {
                readerIsGone = true
                return
            }
            _ = write(Array("pannier: standard output: \(String(cString: strerror(failed)))\n".utf8), to: STDERR_FILENO)
            _exit(3)
        }
    }

    /// Says something about the work, unless it should be quiet.
    static func note(_ line: String) {
        if !quiet { diagnostic(line) }
    }

    /// Says what only the curious want to know.
    static func detail(_ line: String) {
        if verbose, !quiet { diagnostic(line) }
    }

    static func warning(_ line: String) {
        diagnostic(Style.standardError.paint("warning: ", .warning) + line.escapingControlCharacters)
    }

    static func error(_ error: CheckpointError) {
        diagnostic(Style.standardError.paint("pannier: ", .failure) + error.description)
    }

    private static func diagnostic(_ line: String) {
        ProgressBar.clearLine()
        _ = write(Array((line + "\n").utf8), to: STDERR_FILENO)
    }

    /// Writes text to standard error without a newline: the progress bar.
    static func status(_ text: String) { _ = write(Array(text.utf8), to: STDERR_FILENO) }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return nil }
            var done = 0
            while done < buffer.count {
                let put = systemWrite(descriptor, base + done, buffer.count - done)
                if put >= 0 { done += put } else if errno != EINTR { return errno }
            }
            return nil
        }
    }

    private static func systemWrite(_ descriptor: Int32, _ base: UnsafeRawPointer, _ count: Int) -> Int {
        Platform.write(descriptor, base, count)
    }
}
