// Where a model's dimensions come from, as the commands that read a checkpoint ask for it.

internal import ArgumentParser
internal import Conversion

/// Where the dimensions come from, when not from the checkpoint.
struct SourceArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Use a preset's dimensions (see `pannier formats`).", valueName: "name"))
    var preset: String?

    @Option(help: ArgumentHelp("Use a config file instead of the one beside the checkpoint.", valueName: "file"))
    var config: String?

    func validate() throws {
        if preset != nil, config != nil { throw ValidationError("--preset and --config exclude each other") }
    }

    /// - Parameter layout: a layout's name or a table's path; nil where it is to be recognised.
    func options(layout: String?) -> SourceOptions { SourceOptions(preset: preset, config: config, layout: layout) }
}

/// Where the dimensions and the names come from, in commands whose result has no layout of its own.
struct ReadingArguments: ParsableArguments {
    @OptionGroup var dimensions: SourceArguments

    @Option(help: ArgumentHelp("Take this layout, or a table of your own, instead of recognising it.", valueName: "name|file"))
    var layout: String?

    var options: SourceOptions { dimensions.options(layout: layout) }
}
