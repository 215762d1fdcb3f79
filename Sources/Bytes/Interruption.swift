// SIGINT and SIGTERM: what is half written is removed, then the program ends with status 130.

internal import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Cleaning up when the program is interrupted.
///
/// A thread of its own waits for the signals, so that cleaning up may allocate and lock like any other code. Programs
/// that use the library decide themselves whether they want this: nothing happens before `handle`.
public enum Interruption {
    private static let temporary = Locked<Set<String>>([])

    /// Blocks the signals in this thread and all that it will start, and waits for them in another. To be called first
    /// of all, before any other thread exists.
    public static func handle() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGHUP)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        pthread_create(
            &thread, nil,
            { _ in
                var signals = sigset_t()
                sigemptyset(&signals)
                sigaddset(&signals, SIGINT)
                sigaddset(&signals, SIGTERM)
                sigaddset(&signals, SIGHUP)
                var number: Int32 = 0
                while sigwait(&signals, &number) != 0 {}
                Interruption.removeEverything()
                _exit(130)
            }, nil)
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

    /// Removes a folder of plain files.
    static func removeTree(_ folder: String) {
        for name in (try? Paths.list(folder)) ?? [] { unlink(Paths.join(folder, name)) }
        rmdir(folder)
    }
}
