// Multiple-choice tasks, scored as EleutherAI's lm-evaluation-harness scores them: the choice whose text is likeliest
// after the context (acc), and the one likeliest per character (acc_norm).

internal import Bytes
internal import JSONText
internal import Tensors
public import Tokenizers

/// One question.
public struct ChoiceQuestion: Sendable, Equatable {
    public var task: String
    public var context: String
    public var choices: [String]
    /// Index of the right choice.
    public var answer: Int
    /// Where it was read, for what is said about it.
    public var file: String?
    public var line: Int?
}

public struct TaskScore: Sendable, Equatable {
    public var accuracy = 0.0
    public var normalizedAccuracy = 0.0
    public var count = 0

    public init(accuracy: Double = 0, normalizedAccuracy: Double = 0, count: Int = 0) {
        self.accuracy = accuracy
        self.normalizedAccuracy = normalizedAccuracy
        self.count = count
    }
}

extension ChoiceQuestion {
    /// Reads a JSONL file: one object a line with `context`, `choices` and `answer` (an index, or the choice's text);
    /// `task` names its task, else the file's name does.
    /// - Throws: `malformed`, naming the line.
    public static func read(_ path: String) throws -> [ChoiceQuestion] {
        let bytes = try File(path).contents(limit: 1 << 30)
        let name = Paths.name(path)
        let task = name.hasSuffix(".jsonl") ? String(name.dropLast(6)) : name
        var questions: [ChoiceQuestion] = [], offset = 0
        for (index, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            defer { offset += line.count + 1 }
            if line.allSatisfy({ [0x20, 0x09, 0x0d].contains($0) }) { continue }
            let json = try JSONText.parse(Array(line), file: path, base: UInt64(offset))
            let place = "line \(index + 1)"
            guard let context = json["context"]?.string, let choices = json["choices"]?.array?.map(\.string),
                !choices.contains(nil)
            else {
                throw CheckpointError.malformed(
                    "a question without context or choices", file: path, place: place,
                    expected: #"{"context": "...", "choices": ["...", "..."], "answer": 0}"#)
            }
            let texts = choices.compactMap { $0 }
            // One would be right whatever the model says.
            guard texts.count >= 2 else {
                throw CheckpointError.malformed(
                    "the question has too few choices", file: path, place: place, expected: "at least 2 choices",
                    found: "\(texts.count)", remedy: "add the wrong ones, or leave out the question")
            }
            // After a context the blank between the two is left, which lm-evaluation-harness scores as well.
            guard !context.isEmpty || !texts.contains("") else {
                throw CheckpointError.malformed(
                    "an empty choice without a context leaves nothing to score", file: path, place: place,
                    remedy: "write the choice out, or leave out the question")
            }
            let answer = json["answer"]?.integer ?? json["answer"]?.string.flatMap { texts.firstIndex(of: $0) }
            guard let answer, texts.indices.contains(answer) else {
                throw CheckpointError.malformed(
                    "the answer is none of the choices", file: path, place: place,
                    expected: "0 ..< \(texts.count) or one of their texts")
            }
            questions.append(
                ChoiceQuestion(
                    task: json["task"]?.string ?? task, context: context, choices: texts, answer: answer, file: path,
                    line: index + 1))
        }
        guard !questions.isEmpty else {
            throw CheckpointError.malformed("no questions", file: path, expected: "one JSON object a line")
        }
        return questions
    }

    /// The text that follows the context: a space divides them unless one has it.
    func continuation(_ choice: Int) -> String {
        let text = choices[choice]
        let divided = context.isEmpty || context.last?.isWhitespace == true || text.first?.isWhitespace == true
        return divided ? text : " " + text
    }
}

extension Evaluator {
    /// Scores questions, by task in the order in which they first appear.
    /// - Returns: the scores, and the log-likelihood of each choice of each of the task's questions, in nats.
    /// - Throws: `malformed` where a choice leaves nothing to score or the model gives no numbers, `unsupported` for
    ///   tokens that the model does not have.
    public func answer(
        _ questions: [ChoiceQuestion], tokenizer: Tokenizer, progress: (_ done: Int) -> Void = { _ in }
    ) throws -> [(task: String, score: TaskScore, likelihoods: [[Double]])] {
        var order: [String] = []
        var likelihoods: [String: [[Double]]] = [:]
        var sums: [String: (right: Int, normalized: Int, count: Int)] = [:]
        for (index, question) in questions.enumerated() {
            let place = question.line.map { "line \($0)" } ?? "question \(index + 1)"
            let scores = try question.choices.indices.map { choice -> Double in
                guard let score = try logLikelihood(question, choice: choice, tokenizer) else {
                    throw CheckpointError.malformed(
                        "a choice leaves nothing to score", file: question.file, place: place,
                        expected: "a token after the context or bos", found: "none in choice \(choice)",
                        remedy: "give the question a context, or write the choice out")
                }
                return score
            }
            likelihoods[question.task, default: []].append(scores)
            // Nothing is best among them, and the first would count as right.
            guard !scores.contains(where: \.isNaN) else { throw CheckpointError.noNumbers(in: "question \(index + 1)") }
            if let endless = scores.first(where: \.isInfinite) {
                throw CheckpointError.malformed(
                    "the model's results are no finite numbers", place: "question \(index + 1)",
                    expected: "finite log-likelihoods", found: "\(endless)",
                    remedy: "`pannier verify --deep` lists which weights are broken")
            }
            let normalized = zip(scores, question.choices).map { $0 / Double($1.unicodeScalars.count) }
            if sums[question.task] == nil { order.append(question.task) }
            var sum = sums[question.task] ?? (0, 0, 0)
            sum.right += Self.best(scores) == question.answer ? 1 : 0
            sum.normalized += Self.best(normalized) == question.answer ? 1 : 0
            sum.count += 1
            sums[question.task] = sum
            progress(index + 1)
        }
        return order.map { task in
            let sum = sums[task] ?? (0, 0, 1)
            return (
                task,
                TaskScore(
                    accuracy: Double(sum.right) / Double(sum.count),
                    normalizedAccuracy: Double(sum.normalized) / Double(sum.count), count: sum.count),
                likelihoods[task] ?? []
            )
        }
    }

    private static func best(_ scores: [Double]) -> Int {
        scores.indices.max { scores[$0] < scores[$1] } ?? 0
    }

    /// Log-likelihood of a choice after its context; nil where the choice leaves no token to score. The two are encoded
    /// together, and the context alone tells where the choice begins; blanks at the context's end count to the choice. Of
    /// a question longer than the model's context the last tokens count, with one more than it has positions, as the last
    /// one is predicted only.
    private func logLikelihood(_ question: ChoiceQuestion, choice: Int, _ tokenizer: Tokenizer) throws -> Double? {
        let asked = question.context
        let end = asked.lastIndex { !$0.isWhitespace }.map { asked.index(after: $0) } ?? asked.startIndex
        let context = String(asked[..<end]), continuation = String(asked[end...]) + question.continuation(choice)
        let bos = tokenizer.addsBos ? [tokenizer.bosID].compactMap { $0 } : []
        let before = bos + tokenizer.encode(context)
        var whole = bos + tokenizer.encode(context + continuation)
        // Without a context there is bos, or else the first token goes unscored.
        var start = max(1, min(before.count, whole.count - 1))
        guard whole.count > start, whole != before else { return nil }
        // All of them: the last one is not given to the forward pass.
        try transformer.check(whole)
        let positions = transformer.config.context
        // The last token needs none.
        if positions > 0, whole.count - 1 > positions {
            let excess = whole.count - 1 - positions
            start = max(1, start - excess)
            whole.removeFirst(excess)
        }
        try KVCache.check(transformer.config, tokens: whole.count)
        var likelihood = 0.0
        // The last token is predicted and not read.
        let read = Array(whole.dropLast())
        try transformer.forward(read, cache: KVCache(transformer.config), wanted: start - 1..<read.count) { block in
            for token in 0..<block.tokens {
                likelihood -= Self.nll(of: whole[block.first + token + 1], in: block[token])
            }
        }
        return likelihood
    }
}
