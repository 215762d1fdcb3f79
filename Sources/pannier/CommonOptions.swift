// Options that every command has.

internal import ArgumentParser
internal import Bytes
internal import Platform

/// When colour is used on a terminal.
enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never
}

struct CommonOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: ArgumentHelp("Use N threads (default: all cores).", valueName: "N"))
    var threads: Int?

    @Flag(name: [.short, .long], help: "Print results and errors only.")
    var quiet = false

    @Flag(name: [.short, .long], help: "Say more about each step.")
    var verbose = false

    @Option(help: "Colour: auto, always or never; NO_COLOR counts.")
    var color: ColorChoice = .auto

    func validate() throws {
        if let threads, threads < 1 || threads > 1024 {
            throw ValidationError("--threads takes a number from 1 to 1024")
        }
    }

    /// Applies what concerns the whole program; every command calls it first.
    func apply() {
        Console.quiet = quiet
        Console.verbose = verbose
        Console.color = color
    }

    /// Threads to work with: what was asked for, or one a core.
    var threadCount: Int { threads ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}

struct JSONOption: ParsableArguments {
    @Flag(help: "Print one JSON object instead of text.")
    var json = false
}
