// pannier run: continue a text.

internal import ArgumentParser
internal import Bytes
internal import Inference
internal import Tensors
internal import Tokenizers

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text with a model, from any container, layout and block format.",
        discussion: """
            Without --temperature the likeliest token is chosen each time. The text is streamed to standard output; \
            what the run took goes to standard error.

            EXAMPLE
              pannier run tiny-Q4_K_M.gguf -p "In the beginning" --temperature 0.8 --seed 7
            """)

    @OptionGroup var model: ModelOptions

    @Option(
        name: [.customShort("p"), .long], parsing: .unconditional,
        help: "The text to continue; with --chat, what the user says.")
    var prompt: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Token ids to continue, divided by commas; nothing is put in front.", valueName: "list"))
    var ids: String?

    @Option(name: .customShort("n"), parsing: .unconditional, help: ArgumentHelp("Make N tokens at most.", valueName: "N"))
    var count = 128

    @Option(
        parsing: .unconditional, help: ArgumentHelp("0 chooses the likeliest token; higher is more random.", valueName: "X"))
    var temperature = 0.0

    @Option(parsing: .unconditional, help: ArgumentHelp("Choose among the N likeliest; 0 means all.", valueName: "N"))
    var topK = 40

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Choose among the likeliest that reach this probability together.", valueName: "X"))
    var topP = 0.95

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Choose among those at least this fraction as likely as the likeliest.", valueName: "X"))
    var minP = 0.05

    @Option(parsing: .unconditional, help: ArgumentHelp("The same seed gives the same text.", valueName: "N"))
    var seed: UInt64 = 0

    @Flag(help: "Put the prompt into the model's chat form.")
    var chat = false

    @Option(parsing: .unconditional, help: ArgumentHelp("What the system says first, with --chat.", valueName: "text"))
    var system: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (prompt == nil) == (ids == nil) { throw ValidationError("give a text with -p or token ids with --ids") }
        if count < 1 { throw ValidationError("-n takes a number of at least 1") }
        if ids != nil, chat { throw ValidationError("--chat needs a text: give it with -p") }
        if system != nil, !chat { throw ValidationError("--system goes with --chat") }
        if !(temperature >= 0 && temperature.isFinite) { throw ValidationError("--temperature takes a number of at least 0") }
        if topK < 0 { throw ValidationError("--top-k takes a number of at least 0") }
        if !(0...1).contains(topP) || !(0...1).contains(minP) {
            throw ValidationError("--top-p and --min-p take a number from 0 to 1")
        }
    }

    func run() throws {
        common.apply()
        let opened = try model.open()
        let start = try promptIDs(opened)
        guard !start.isEmpty else {
            throw CheckpointError(.usage, "the prompt has no tokens", remedy: "give some text")
        }
        ContextWarning.give(tokens: start.count, for: opened)
        let transformer = try model.transformer(opened, common, batch: min(256, start.count))
        let sampler = Sampler(temperature: temperature, topK: topK, topP: topP, minP: minP, seed: seed)

        let bar = ProgressBar("Reading the prompt", total: UInt64(start.count), unit: .things("tokens"))
        let reading: (Int) -> Void = { tokens in
            bar.advance(by: UInt64(tokens))
            // What follows is the text.
            if bar.isComplete { bar.finish() }
        }
        let report: GenerationReport
        do {
            report = try generate(opened, transformer, start, sampler, reading)
        } catch let error as CheckpointError {
            throw error.at(file: opened.path)
        }
        Console.stream("\n".utf8)
        // Said before where the prompt alone is too long.
        if start.count <= opened.config.context {
            ContextWarning.give(tokens: report.promptTokens + report.generatedTokens, for: opened)
        }
        Console.note(
            "\(report.promptTokens) tokens read at \(Self.rate(report.promptTokens, report.promptSeconds)), "
                + "\(report.generatedTokens) made at \(Self.rate(report.generatedTokens, report.generationSeconds))"
                + (report.layoutSeconds > 0
                    ? ", weights laid out for that in \(Human.fixed(report.layoutSeconds, 2)) s" : ""))
    }

    /// Makes the text and streams it.
    private func generate(
        _ model: LanguageModel, _ transformer: Transformer, _ start: [Int], _ sampler: Sampler,
        _ reading: @escaping (Int) -> Void
    ) throws -> GenerationReport {
        if ids != nil, (try? model.tokenizer()) == nil {
            // Nobody can spell the tokens: give their ids.
            var first = true
            return try transformer.generate(
                start, cache: KVCache(model.config), most: count, ends: model.endTokens, sampler: sampler,
                reading: reading
            ) { token in
                Console.stream(((first ? "" : ",") + String(token)).utf8)
                first = false
                return true
            }
        }
        var text = try model.tokenizer().stream()
        text.skipStart()
        let report = try transformer.generate(
            start, cache: KVCache(model.config), most: count, ends: model.endTokens, sampler: sampler, reading: reading
        ) { token in
            Console.stream(text.append(token).utf8)
            return true
        }
        Console.stream(text.finish().utf8)
        return report
    }

    private static func rate(_ count: Int, _ seconds: Double) -> String {
        seconds > 0 ? "\(Human.fixed(Double(count) / seconds, 1)) tokens/s" : "once"
    }

    private func promptIDs(_ model: LanguageModel) throws -> [Int] {
        if let ids {
            return try ids.split(separator: ",").map { part in
                guard let id = Int(part.filter { $0 != " " }) else {
                    throw CheckpointError(.usage, "--ids takes numbers divided by commas", found: String(part))
                }
                guard (0..<model.config.vocab).contains(id) else {
                    throw CheckpointError(
                        .usage, "an id of --ids is not in the model's vocabulary", file: model.path,
                        expected: "0 ..< \(model.config.vocab)", found: "\(id)")
                }
                return id
            }
        }
        guard chat else { return try model.prompt(prompt ?? "") }
        let turns = (system.map { [ChatMessage(.system, $0)] } ?? []) + [ChatMessage(.user, prompt ?? "")]
        return try model.prompt(turns)
    }
}
