// SIGINT and SIGTERM: what is half written is removed, then the program ends with status 130.

internal import Platform
internal import SystemPackage

/// Cleaning up when the program is interrupted.
///
/// A thread of its own waits for the signals, so that cleaning up may allocate and lock like any other code. Programs
/// that use the library decide themselves whether they want this: nothing happens before `handle`.
public enum Interruption {
    private static let temporary = Locked<Set<String>>([])

    /// Blocks the signals in this thread and all that it will start, and waits for them in another. To be called first
    /// of all, before any other thread exists.
    public static func handle() {
        var signals = handled()
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        pthread_create(
            &thread, nil,
            { _ in
                var signals = Interruption.handled()
                var number: Int32 = 0
                while sigwait(&signals, &number) != 0 {}
                Interruption.removeEverything()
                _exit(130)
            }, nil)
    }

    /// The signals that end the program, without those that it was started to ignore (`nohup`, jobs in the background):
    /// waiting for a signal takes it even where it is ignored.
    private static func handled() -> sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var action = sigaction()
            sigaction(number, nil, &action)
            #if canImport(Darwin)
                let handler = action.__sigaction_u.__sa_handler
            #else
                let handler = action.__sigaction_handler.sa_handler
            #endif
            // SIG_IGN is the number 1 in the place of a function's address, which Swift cannot compare otherwise.
            if unsafeBitCast(handler, to: Int.self) != 1 { sigaddset(&signals, number) }
        }
        return signals
    }

    /// Runs what must not be cut in two: an interruption waits until it is done.
    static func postponed<Result>(_ body: () throws -> Result) rethrows -> Result {
        try temporary.withValue { _ in try body() }
    }

    /// A folder to remove when the program is interrupted.
    static func remember(_ folder: String) { temporary.withValue { _ = $0.insert(folder) } }

    static func forget(_ folder: String) { temporary.withValue { _ = $0.remove(folder) } }

    private static func removeEverything() {
        // The lock is kept: nobody publishes or creates anything any more.
        temporary.withValue { folders in
            for folder in folders { removeTree(folder) }
        }
    }

    /// Removes a folder of plain files. A thread that still works may add one meanwhile, so it is tried again.
    static func removeTree(_ folder: String) {
        for _ in 0..<3 {
            for name in (try? Paths.list(folder)) ?? [] { unlink(Paths.join(folder, name)) }
            if rmdir(folder) == 0 || errno == ENOENT { return }
        }
    }
}
