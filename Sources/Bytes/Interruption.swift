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
                Interruption.end()
                return nil
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
    package static func postponed<Result>(_ body: () throws -> Result) rethrows -> Result {
        try temporary.withValue { _ in try body() }
    }

    /// Makes a folder that is removed when the program is interrupted. An interruption waits meanwhile: one that came
    /// between making the folder and knowing its name would leave it behind.
    /// - Parameter make: makes the folder and gives its path.
    static func remembering(_ make: () throws -> String) rethrows -> String {
        try temporary.withValue { folders in
            let folder = try make()
            folders.insert(folder)
            return folder
        }
    }

    static func forget(_ folder: String) { temporary.withValue { _ = $0.remove(folder) } }

    /// Removes what is staged and ends the program.
    private static func end() {
        // The lock is kept to the end: nobody publishes or creates anything any more.
        temporary.withValue { folders in
            for folder in folders { removeTree(folder) }
            _exit(130)
        }
    }

    /// Removes a folder and all that lies in it; of a link itself, never what it leads to. A thread that still works may add
    /// a file meanwhile, so it is tried again.
    static func removeTree(_ folder: String) {
        for _ in 0..<3 {
            // Each before those in it. Paths have an end, and so has their depth.
            var folders = [folder], next = 0
            while next < folders.count {
                let outer = folders[next]
                next += 1
                for name in (try? Paths.list(outer)) ?? [] {
                    let path = Paths.join(outer, name)
                    var status = stat()
                    guard unlink(path) != 0, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
                    folders.append(path)
                }
            }
            for inner in folders.dropFirst().reversed() { rmdir(inner) }
            if rmdir(folder) == 0 || errno == ENOENT { return }
        }
    }
}
