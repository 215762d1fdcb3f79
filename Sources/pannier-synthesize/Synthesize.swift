// pannier-synthesize: a checkpoint of real size with seeded weights, so that anyone can repeat a measurement.
//
//     pannier-synthesize --preset tinyllama-1.1b --dtype bf16 -o /dev/shm/tiny
//
// writes a Hugging Face folder. `pannier convert` carries it to any other container and layout.

internal import ArgumentParser
internal import Bytes
internal import CKernels
internal import Containers
internal import JSONText
internal import Layouts
internal import Tensors

@main
struct Synthesize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pannier-synthesize",
        abstract: "Make a checkpoint of a preset's dimensions with seeded random weights, for measurements.")

    @Option(help: "The preset whose dimensions it has.")
    var preset = "tinyllama-1.1b"

    @Option(help: "bf16, f16 or f32; with f32 the values are not rounded to half precision.")
    var dtype = "bf16"

    @Option(help: "Another seed gives other weights.")
    var seed: UInt64 = 1

    @Option(help: "Move every weight by noise, this share of the weights' deviation: a later step of the same run.")
    var moved: Float = 0

    @Option(help: "A folder whose tokenizer files are copied.")
    var tokenizer: String?

    @Option(name: .shortAndLong, help: "The Hugging Face folder to make.")
    var output: String

    func run() throws {
        guard let dtype = DType(name: dtype), [.bf16, .f16, .f32].contains(dtype) else {
            throw ValidationError("--dtype takes bf16, f16 or f32")
        }
        var config = try Preset.named(preset).config
        config.dtype = dtype
        let layout = try Layouts.named("hf-llama")
        let specs = try layout.specs(for: config)
        let plans = try specs.map { try TensorPlan(name: $0.name, dtype: dtype, shape: $0.shape) }
        let staged = try StagedOutput(folder: output, options: OutputOptions(force: true, sync: false))
        let writer = try SafetensorsWriter(in: staged.folder, name: "model.safetensors", tensors: plans)
        // Pieces are numbered over the whole model, so that the values do not depend on the number of threads.
        var pieces: [(tensor: Int, range: Range<Int>)] = []
        for (index, plan) in plans.enumerated() {
            for start in stride(from: 0, to: plan.shape.count, by: Weights.piece) {
                pieces.append((index, start..<min(plan.shape.count, start + Weights.piece)))
            }
        }
        let work = pieces
        try Parallel.perform(work.count, threads: 64, worker: Weights.init) { number, weights in
            let (tensor, range) = work[number]
            let spec = specs[tensor]
            let isNorm = spec.shape.rank == 1
            let bytes = weights.fill(
                range.count, dtype: dtype, seed: seed, from: UInt64(number) * UInt64(Weights.piece),
                mean: isNorm ? 1 : 0, deviation: isNorm ? 0.05 : 0.02, moved: moved)
            let size = dtype.blockBytes
            try writer.write(tensor: tensor, at: range.lowerBound * size, bytes)
        }
        try writer.finish()
        for file in try ConfigFile.files(for: layout, config: config, name: preset, dtype: dtype) {
            try OutputFile(creating: staged.path(of: file.name)).write(Array(file.text.utf8), at: 0)
        }
        if let tokenizer {
            for name in ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"] {
                let path = Paths.join(tokenizer, name)
                guard Paths.kind(path) == .file else { continue }
                try OutputFile(creating: staged.path(of: name)).write(File(path).contents(limit: 1 << 28), at: 0)
            }
        }
        try staged.publish()
    }
}

/// Values that look like a trained model's: nearly normal, the sum of four uniform numbers.
struct Weights: ~Copyable {
    static let piece = 1 << 17
    private var floats = ScratchBuffer()
    private var halves = ScratchBuffer()

    /// - Parameter first: the place of the first value among all of the model.
    mutating func fill(
        _ count: Int, dtype: DType, seed: UInt64, from first: UInt64, mean: Float, deviation: Float,
        moved: Float
    ) -> UnsafeRawBufferPointer {
        let values = floats.reserveFloats(count)
        // Four uniform 16-bit numbers have a standard deviation of 65536 / sqrt(3) together.
        let scale = deviation * 1.7320508 / 65536
        for index in 0..<count {
            // Seeds lie far apart in the sequence, and every value of the model has a place of its own there: none is
            // repeated. What moves a value stands far behind.
            let place = seed << 40 &+ first &+ UInt64(index)
            values[index] = mean + Self.number(place) * scale
            if moved != 0 { values[index] += Self.number(place &+ 1 << 39) * scale * moved }
        }
        guard let source = values.baseAddress, dtype != .f32 else { return UnsafeRawBufferPointer(values) }
        let out = halves.reserve(count * 2)
        if let to = out.baseAddress {
            if dtype == .bf16 {
                pannier_f32_to_bf16(source, to, Int64(count))
            } else {
                pannier_f32_to_f16(source, to, Int64(count))
            }
        }
        return UnsafeRawBufferPointer(out)
    }

    /// The sum of four uniform 16-bit numbers, less their mean, at a place of the sequence splitmix64 (Steele, Lea,
    /// Flood 2014), which needs no state from one value to the next.
    private static func number(_ place: UInt64) -> Float {
        var word = place &* 0x9E37_79B9_7F4A_7C15
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        word ^= word >> 31
        let sum = (word & 0xFFFF) + (word >> 16 & 0xFFFF) + (word >> 32 & 0xFFFF) + (word >> 48)
        return Float(sum) - 131070
    }
}
