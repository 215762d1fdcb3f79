// One chunk of a tensor: coded in the cheapest of several ways, and decoded again. Docs/ArchiveFormat.md, "Chunks".

internal import CKernels
internal import CZstd

/// How the payload of a chunk is coded; the payload's first byte.
enum ChunkMethod: UInt8 {
    /// The bytes themselves.
    case raw = 0
    /// One zstd frame.
    case zstd = 1
    /// One unit of `width` bytes, repeated.
    case constant = 2
    /// Entropy-coded words as version 2 of the format has them: a `WordModel`, then the stream.
    case words2 = 3
    /// The same bytes as the reference.
    case same = 4
    /// Entropy-coded words: a `WordModel`, the bits that lie apart, then the stream.
    case words = 5
}

/// Codes and decodes chunks. One a worker: buffers and tables are reused.
package final class ChunkCodec {
    /// Bytes of a chunk at most, before coding.
    package static let maxChunk = 4 << 20

    private let planner: WordPlanner
    private var encoders = [pannier_words_encoder](
        repeating: pannier_words_encoder(), count: PANNIER_WORDS_CONTEXTS * PANNIER_WORDS_SYMBOLS)
    private var encoderOfCode = [UInt16](repeating: 0, count: PANNIER_WORDS_CONTEXTS * PANNIER_WORDS_CODES + 1)
    private let decodeTable = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(PANNIER_WORDS_TABLE), alignment: 64)
    private var out = [UInt8]()
    private let compressor = ZSTD_createCCtx()
    private let decompressor = ZSTD_createDCtx()

    /// - Parameter version: of the format that chunks are coded in; those of every version are decoded.
    package init(version: UInt32 = ArchiveFormat.version) { planner = WordPlanner(layout: version < 3 ? .two : .three) }

    deinit {
        decodeTable.deallocate()
        ZSTD_freeCCtx(compressor)
        ZSTD_freeDCtx(decompressor)
    }

    // MARK: Encoding

    /// The payload of a chunk.
    /// - Parameters:
    ///   - width: bytes of a word that the entropy coder may look at: 1, 2, 4, or 0 for bytes of no known structure.
    ///   - reference: as many bytes that the reader will have, or nil.
    package func encode(
        _ bytes: UnsafeRawBufferPointer, width: Int, reference: UnsafeRawBufferPointer?
    ) -> [UInt8] {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return [ChunkMethod.raw.rawValue] }
        if let reference, reference.count == bytes.count, let other = reference.baseAddress,
            pannier_bytes_equal(base, other, bytes.count) != 0
        {
            return [ChunkMethod.same.rawValue]
        }
        let unit = width == 0 ? 1 : width
        if bytes.count % unit == 0, isConstant(bytes, unit: unit) {
            return [ChunkMethod.constant.rawValue, UInt8(unit)] + bytes.prefix(unit)
        }
        var best: [UInt8]?
        if width > 0, bytes.count % width == 0, bytes.count >= 256 {
            best = encodeWords(bytes, width: width, reference: reference)
        }
        // Text, integers, masks and whatever repeats: where the words' entropy says nothing.
        if width == 0 || best == nil || bytes.count < 1 << 16
            || looksRepetitive(bytes, coded: best?.count ?? bytes.count)
        {
            let limit = min(best?.count ?? bytes.count + 1, bytes.count + 1)
            if let packed = zstd(bytes), packed.count + 1 < limit {
                best = [ChunkMethod.zstd.rawValue] + packed
            }
        }
        if let best, best.count <= bytes.count { return best }
        return [ChunkMethod.raw.rawValue] + bytes
    }

    private func isConstant(_ bytes: UnsafeRawBufferPointer, unit: Int) -> Bool {
        guard let base = bytes.baseAddress, bytes.count > unit else { return false }
        return pannier_bytes_equal(base, base + unit, bytes.count - unit) != 0
    }

    /// Whether zstd makes a piece from the middle smaller than the entropy coder made its share: weights do not come
    /// near that.
    private func looksRepetitive(_ bytes: UnsafeRawBufferPointer, coded: Int) -> Bool {
        let size = min(bytes.count, 1 << 14)
        let from = (bytes.count - size) / 2
        guard let packed = zstd(UnsafeRawBufferPointer(rebasing: bytes[from..<from + size]), level: 1) else { return false }
        return Double(packed.count) * Double(bytes.count) < Double(coded) * Double(size)
    }

    private func zstd(_ bytes: UnsafeRawBufferPointer, level: Int32 = 3) -> [UInt8]? {
        guard let compressor else { return nil }
        let bound = ZSTD_compressBound(bytes.count)
        let packed = [UInt8](unsafeUninitializedCapacity: bound) { buffer, initialized in
            let size = ZSTD_compressCCtx(compressor, buffer.baseAddress, bound, bytes.baseAddress, bytes.count, level)
            initialized = ZSTD_isError(size) == 0 ? size : 0
        }
        return packed.isEmpty ? nil : packed
    }

    private func encodeWords(
        _ bytes: UnsafeRawBufferPointer, width: Int, reference: UnsafeRawBufferPointer?
    ) -> [UInt8]? {
        guard let words = bytes.baseAddress else { return nil }
        let count = bytes.count / width
        let union = pannier_words_union(words, count, Int32(width))
        let shift = min(union.trailingZeroBitCount, 8 * width - 2)
        let earlier = reference?.count == bytes.count ? reference?.baseAddress : nil
        let chunk = WordPlanner.Chunk(words: words, earlier: earlier, count: count, width: width, shift: shift)
        guard let model = planner.plan(chunk) else { return nil }
        var packed: [UInt8] = [model.layout == .two ? ChunkMethod.words2.rawValue : ChunkMethod.words.rawValue]
        model.write(to: &packed)
        for (context, row) in model.frequencies.enumerated() {
            var start: UInt32 = 0
            for (symbol, frequency) in row.enumerated() where frequency > 0 {
                let place = context * WordModel.maxSymbols + symbol
                encoders[place] = pannier_words_encoder_of(start, UInt32(frequency))
                encoderOfCode[context * WordModel.codeCount + Int(model.codes[symbol])] = UInt16(place)
                start += UInt32(frequency)
            }
        }
        var kernel = model.kernelModel
        let capacity = bytes.count + 2048
        if out.count < capacity { out = [UInt8](repeating: 0, count: capacity) }
        let size = pannier_words_encode(
            &kernel, encoderOfCode, encoders, words, model.transform == .plain ? nil : earlier, count, &out, capacity)
        guard size > 0 else { return nil }
        let apart = model.apartBytes(words: count)
        guard apart > 0 else { return packed + out[capacity - size..<capacity] }
        let head = packed.count
        return [UInt8](unsafeUninitializedCapacity: head + apart + size + 8) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            _ = UnsafeMutableBufferPointer(rebasing: buffer[..<head]).update(fromContentsOf: packed)
            pannier_words_pack(&kernel, words, model.transform == .plain ? nil : earlier, count, base + head)
            _ = UnsafeMutableBufferPointer(rebasing: buffer[(head + apart)...]).update(
                fromContentsOf: out[capacity - size..<capacity])
            initialized = head + apart + size
        }
    }

    // MARK: Decoding

    /// Decodes a chunk.
    /// - Parameters:
    ///   - payload: followed by at least `slack` readable bytes.
    ///   - bytes: the chunk's exact size; they may be the reference's.
    ///   - digests: of a block that is this chunk, to which words are added while they are decoded.
    /// - Returns: false when the payload is damaged.
    package func decode(
        _ payload: UnsafeRawBufferPointer, into bytes: UnsafeMutableRawBufferPointer, reference: UnsafeRawBufferPointer?,
        digests: BlockDigests? = nil
    ) -> Bool {
        guard let method = payload.first.flatMap(ChunkMethod.init) else { return false }
        let body = UnsafeRawBufferPointer(rebasing: payload.dropFirst())
        guard bytes.count > 0, let to = bytes.baseAddress else { return body.isEmpty && method == .raw }
        switch method {
        case .raw:
            guard body.count == bytes.count else { return false }
            bytes.copyMemory(from: body)
            return true
        case .zstd:
            guard let decompressor else { return false }
            let size = ZSTD_decompressDCtx(decompressor, to, bytes.count, body.baseAddress, body.count)
            return ZSTD_isError(size) == 0 && size == bytes.count
        case .constant:
            guard let unit = body.first.map(Int.init), unit > 0, body.count == unit + 1, bytes.count % unit == 0 else {
                return false
            }
            pannier_bytes_fill(to, bytes.count, body.baseAddress.map { $0 + 1 }, unit)
            return true
        case .same:
            guard body.isEmpty, let reference, reference.count == bytes.count else { return false }
            bytes.copyMemory(from: reference)
            return true
        case .words, .words2:
            return decodeWords(body, method == .words ? .three : .two, into: bytes, reference: reference, digests)
        }
    }

    private func decodeWords(
        _ payload: UnsafeRawBufferPointer, _ layout: WordModel.Layout, into bytes: UnsafeMutableRawBufferPointer,
        reference: UnsafeRawBufferPointer?, _ digests: BlockDigests?
    ) -> Bool {
        guard let (model, used) = WordModel.read(payload, layout), bytes.count % model.width == 0,
            let start = payload.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return false }
        let count = bytes.count / model.width, apart = model.apartBytes(words: count)
        guard used + apart <= payload.count else { return false }
        var earlier: UnsafeRawPointer?
        if model.transform != .plain {
            guard let reference, reference.count == bytes.count else { return false }
            earlier = reference.baseAddress
        }
        return model.withAlphabet { alphabet in
            withUnsafePointer(to: model.kernelModel) { kernel in
                var coded = pannier_words_coded()
                coded.model = kernel
                coded.alphabet = alphabet
                coded.table = decodeTable.baseAddress
                coded.apart = start + used
                coded.stream = start + used + apart
                coded.length = payload.count - used - apart
                coded.earlier = earlier
                coded.words = bytes.baseAddress
                coded.count = count
                let digested = digests?.whileDecoding { first, second, parted in
                    coded.digests = (first, second)
                    coded.parted = parted
                    return pannier_words_decode(&coded) == 0
                }
                return digested ?? (pannier_words_decode(&coded) == 0)
            }
        }
    }

    /// Bytes of a payload's beginning that say whether it needs a reference.
    static let head = 4

    /// Whether a payload that begins so can be decoded only with the reference's bytes.
    static func needsReference(_ payload: UnsafeRawBufferPointer) -> Bool {
        switch payload.first.flatMap(ChunkMethod.init) {
        case .same?: true
        // The transform is the third byte of the model.
        case .words?, .words2?: payload.count > 3 && payload[3] != WordModel.Transform.plain.rawValue
        default: false
        }
    }

    /// Bytes that must be readable beyond the end of a payload.
    package static let slack = Int(PANNIER_WORDS_SLACK)
}
