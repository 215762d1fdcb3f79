// What the program makes sure of before it looks at its arguments: signals, file descriptors, and that the arguments are text.

internal import Bytes
internal import Dispatch
internal import Platform

enum Surroundings {
    /// - Throws: `usage` for arguments that are no UTF-8, `inputOutput` where not even a few files can be opened.
    static func prepare() throws {
        // A reader that goes away (`pannier inspect X | head`) and a file that may not grow further are errors to handle, not
        // signals to die of.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        raiseFileLimit()
        try startThreads()
        try checkArguments()
    }

    /// A checkpoint of a thousand shards has all of them open; systems let a program have that many if it asks.
    private static func raiseFileLimit() {
        var limit = rlimit()
        #if canImport(Darwin)
            let files = RLIMIT_NOFILE
        #else
            let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #endif
        guard getrlimit(files, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        // macOS allows no more than its own bound, however high the limit.
        limit.rlim_cur = min(limit.rlim_max, 10240)
        _ = setrlimit(files, &limit)
    }

    /// The library of threads opens three descriptors with its first one, and traps where it cannot: so it does that now, after
    /// a look at whether they are there.
    private static func startThreads() throws {
        var spare: [Int32] = []
        defer { for descriptor in spare { close(descriptor) } }
        for _ in 0..<4 {
            let descriptor = open("/dev/null", O_RDONLY)
            guard descriptor >= 0 else {
                throw CheckpointError(
                    .inputOutput, "too few files may be open at once", remedy: "raise the limit: `ulimit -n 1024`")
            }
            spare.append(descriptor)
        }
        for descriptor in spare { close(descriptor) }
        spare = []
        let started = DispatchSemaphore(value: 0)
        DispatchQueue.global().async { started.signal() }
        started.wait()
    }

    /// Swift puts U+FFFD in the place of bytes that are no UTF-8: a path would become that of another file.
    private static func checkArguments() throws {
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let argument = CommandLine.unsafeArgv[index], String(validatingCString: argument) == nil else { continue }
            throw CheckpointError(
                .usage, "an argument is not valid UTF-8", place: "argument \(index)",
                found: String(cString: argument).escapingControlCharacters,
                remedy: "rename the file, or name it by a symbolic link")
        }
    }
}
