// pannier eval: how well a model predicts a text, or answers questions.

internal import ArgumentParser
internal import Bytes
internal import Conversion
internal import Inference
internal import JSONText
internal import OrderedCollections
internal import Tensors

struct Eval: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure perplexity over a text, or accuracy on multiple-choice tasks.",
        discussion: """
            Perplexity follows llama-perplexity: chunks of one stream of tokens, bos in front of each, the second half \
            of each chunk scored. Tasks are JSONL, one {"context", "choices", "answer"} a line, scored as \
            lm-evaluation-harness scores acc and acc_norm.

            EXAMPLE
              pannier eval tiny-Q4_K_M.gguf --text heldout.txt --context 256
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("The text to predict.", valueName: "file"), completion: .file())
    var text: String?

    @Option(help: ArgumentHelp("Questions to answer.", valueName: "file.jsonl"), completion: .file())
    var tasks: String?

    @Option(help: ArgumentHelp("Write the logits of every token, f32.", valueName: "file.npy"), completion: .file())
    var logits: String?

    @OptionGroup var extent: ExtentOptions
    @OptionGroup var writing: WriteOptions
    @OptionGroup var json: JSONOption
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (text == nil) == (tasks == nil) { throw ValidationError("give either --text or --tasks") }
        if logits != nil, text == nil { throw ValidationError("--logits goes with --text") }
    }

    func run() throws {
        common.apply()
        let opened = try model.open()
        let evaluator = Evaluator(try model.transformer(opened, common))
        do {
            if let text { try score(text, opened, evaluator) }
            if let tasks { try answer(tasks, opened, evaluator) }
        } catch let error as CheckpointError {
            throw error.at(file: opened.path)
        }
    }

    private func score(_ path: String, _ model: LanguageModel, _ evaluator: Evaluator) throws {
        let chunks = try extent.cut(path, for: model)
        let staged = try logits.map { try writing.staged($0, reading: [model], [path]) }
        let writer = try staged.map {
            try NPYWriter(creating: $0.path, rows: chunks.count * chunks.context, columns: model.config.vocab)
        }
        let bar = ProgressBar("Evaluating", total: UInt64(chunks.count * chunks.context), unit: .things("tokens"))
        let result = try evaluator.perplexity(chunks, logits: writer) { tokens, perplexity in
            let soFar = perplexity.map { "perplexity \(Human.fixed($0, 4))" }
            bar.advance(to: tokens, remark: soFar ?? "")
            if let soFar, tokens % chunks.context == 0 {
                Console.detail("chunk \(tokens / chunks.context) of \(chunks.count): \(soFar)")
            }
        }
        bar.finish()
        try writer?.finish()
        try staged?.publish()
        if json.json {
            Console.print([
                "schema": "pannier.eval/1", "tokens": JSONValue(result.tokens), "nll": JSONValue(result.nll),
                "perplexity": JSONValue(result.perplexity), "nll_standard_error": JSONValue(result.nllError),
                "tokens_per_second": JSONValue(result.tokensPerSecond), "context": JSONValue(chunks.context),
                "chunks": JSONValue(chunks.count),
            ])
        } else {
            Console.print(
                "perplexity \(Human.fixed(result.perplexity, 4)) ± \(Human.fixed(result.perplexity * result.nllError, 4))")
            let count = chunks.count == 1 ? "1 chunk" : "\(chunks.count) chunks"
            Console.print("\(result.tokens) predictions in \(count) of \(chunks.context) tokens")
            Console.note("\(Human.fixed(result.tokensPerSecond, 1)) tokens/s")
        }
    }

    private func answer(_ path: String, _ model: LanguageModel, _ evaluator: Evaluator) throws {
        let questions = try ChoiceQuestion.read(path)
        let bar = ProgressBar("Answering", total: UInt64(questions.count), unit: .things("questions"))
        let results = try evaluator.answer(questions, tokenizer: model.tokenizer()) { bar.advance(to: $0) }
        bar.finish()
        if json.json {
            var tasks = JSONObject()
            for (task, score, likelihoods) in results {
                tasks[task] = [
                    "acc": JSONValue(score.accuracy), "acc_norm": JSONValue(score.normalizedAccuracy),
                    "n": JSONValue(score.count),
                    "log_likelihoods": .array(likelihoods.map { .array($0.map { JSONValue($0) }) }),
                ]
            }
            Console.print(["schema": "pannier.eval/1", "tasks": .object(tasks)])
        } else {
            for (task, score, _) in results {
                Console.print(
                    "\(task.escapingControlCharacters): acc \(Human.fixed(score.accuracy, 4)), acc_norm "
                        + "\(Human.fixed(score.normalizedAccuracy, 4)), \(score.count) questions")
            }
        }
    }
}
