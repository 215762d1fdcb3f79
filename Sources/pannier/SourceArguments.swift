// Where a model's dimensions come from, as the commands that read a checkpoint ask for it.

internal import ArgumentParser

/// Where the dimensions and names come from, when not from the checkpoint.
struct SourceArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Use a preset's dimensions (see `pannier formats`).", valueName: "name"))
    var preset: String?

    @Option(help: ArgumentHelp("Use a config file instead of the one beside the checkpoint.", valueName: "file"))
    var config: String?

    func validate() throws {
        if preset != nil, config != nil { throw ValidationError("--preset and --config exclude each other") }
    }
}
