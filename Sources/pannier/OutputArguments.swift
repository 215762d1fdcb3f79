// What commands ask that write a checkpoint.

internal import ArgumentParser
internal import Bytes

/// What every command that writes a checkpoint asks.
struct OutputArguments: ParsableArguments {
    @Option(
        name: .shortAndLong, help: ArgumentHelp("Where the result goes.", valueName: "dst"), completion: .file())
    var output: String

    @Flag(help: "Print what would be written, with exact sizes, and write nothing.")
    var dryRun = false

    @Flag(help: "Replace an output that is there already.")
    var force = false

    @Flag(help: "Leave it to the system when the bytes reach the disk.")
    var noSync = false

    var options: OutputOptions { OutputOptions(force: force, sync: !noSync) }
}
