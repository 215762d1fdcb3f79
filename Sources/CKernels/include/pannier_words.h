// The entropy coder of checkpoint archives: words of 8, 16 or 32 bits, coded by themselves or against the word that
// stood in the same place of an earlier checkpoint. Docs/ArchiveFormat.md describes the stream.
//
// The coder is rANS (J. Duda, "Asymmetric numeral systems", arXiv:1311.2540) with 32 states side by side that share one
// stream of 16-bit units, as in F. Giesen, "Interleaved entropy coders", arXiv:1402.3392. All CPU levels write and read
// the same bytes.
#ifndef PANNIER_WORDS_H
#define PANNIER_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "pannier_bytes.h"

enum {
    /// States side by side. Element i belongs to state i mod 32.
    PANNIER_WORDS_LANES = 32,
    /// Frequencies of a context sum to 1 << 12.
    PANNIER_WORDS_PRECISION = 12,
    /// Contexts at most.
    PANNIER_WORDS_CONTEXTS = 32,
    /// A context is chosen by the top 9 bits of the earlier word's magnitude.
    PANNIER_WORDS_KEY_BITS = 9,
    /// Symbols at most.
    PANNIER_WORDS_SYMBOLS = 256,
    /// Bucket codes are below this.
    PANNIER_WORDS_CODES = 4096,
    /// Bits of a value that are coded as they are, at most: two steps of 15.
    PANNIER_WORDS_MAX_EXTRA = 30,
    /// Bits of a value that may lie apart from the states, at most: with those of a byte begun, they fit 32 bits.
    PANNIER_WORDS_MAX_APART = 25,
    /// Bytes that must be readable beyond the end of a stream.
    PANNIER_WORDS_SLACK = 512,
    /// Bytes that a decoder's table takes at most.
    PANNIER_WORDS_TABLE = 4 * PANNIER_WORDS_CONTEXTS << PANNIER_WORDS_PRECISION,
};

/// How a word becomes the value that is coded.
typedef enum {
    /// The word itself, its sign bit moved to the bottom.
    PANNIER_WORDS_PLAIN = 0,
    /// The word, its sign bit turned round where the earlier word is negative.
    PANNIER_WORDS_VALUE = 1,
    /// How many representable values lie between the earlier word and this one, away from zero or towards it:
    /// sign bit on top, magnitude below.
    PANNIER_WORDS_DELTA = 2,
} pannier_words_transform;

/// What both directions have to know of a stream.
typedef struct {
    /// Bytes a word takes in memory: 1, 2 or 4.
    int32_t width;
    /// Low bits that are zero in every word and left out.
    int32_t shift;
    pannier_words_transform transform;
    /// Steps of extra bits a value: 0, 1 (at most 15 extra bits) or 2.
    int32_t steps;
    /// A value is its top bits and `extra` low bits. Linear buckets: extra = this. Logarithmic ones: negative, and
    /// -1 - this is the number of bits kept below the leading one of the magnitude.
    int32_t bucket;
    /// Extra bits that every value has and that are no matter of the states, but packed one after another: then there
    /// are no steps. At most PANNIER_WORDS_MAX_APART.
    int32_t apart;
    /// The context of an earlier word whose magnitude's top 9 bits are the index, times 4096.
    uint32_t context_of_key[1 << PANNIER_WORDS_KEY_BITS];
} pannier_words_model;

/// Counts how often each key (the top 9 bits of the magnitude) occurs in `words`.
void pannier_words_count_keys(const pannier_words_model *model, const void *words, size_t count, uint32_t *keys);

/// Counts how often each bucket code occurs in each context: `histogram[context * 4096 + code]` is added to.
/// `earlier` is not read for plain values, whose context is 0.
void pannier_words_count(const pannier_words_model *model, const void *words, const void *earlier, size_t count,
                         uint32_t *histogram);

/// All words or-ed together: what is zero in it is zero everywhere.
uint32_t pannier_words_union(const void *words, size_t count, int32_t width);

/// What coding a symbol needs; made by `pannier_words_encoder`.
typedef struct {
    uint32_t reciprocal;
    /// bias: 13 bits, complement of the frequency: 12 bits above it, shift: 4 bits above that.
    uint32_t packed;
} pannier_words_encoder;

/// The encoder of a symbol that has `frequency` (1 to 4096) of 4096, those before it having `start` in total.
pannier_words_encoder pannier_words_encoder_of(uint32_t start, uint32_t frequency);

/// Codes words. Writes backwards, so that the stream ends at `out + capacity`.
/// A last group of fewer than 32 words is filled up with its last word.
/// @param encoder_of_code which encoder each code has: 4096 entries a context, and one more that is not looked at.
/// @returns the stream's length in bytes; 0 when it does not fit into `capacity`.
size_t pannier_words_encode(const pannier_words_model *model, const uint16_t *encoder_of_code,
                            const pannier_words_encoder *encoders, const void *words, const void *earlier,
                            size_t count, uint8_t *out, size_t capacity);

/// What the symbols of a stream are and how often they occur.
typedef struct {
    int32_t contexts, symbols;
    /// For each context, of each symbol; those of a context sum to 4096.
    const uint16_t *frequencies;
    /// For each symbol: top bits, extra bits << 16, sign << 24.
    const uint32_t *values;
} pannier_words_alphabet;

/// Packs the bits that lie apart: those of 32 words take 4 * `apart` bytes, and a last group is filled up as `encode`
/// does. Eight bytes beyond are written over.
void pannier_words_pack(const pannier_words_model *model, const void *words, const void *earlier, size_t count,
                        uint8_t *out);

/// A stream and where its words go.
typedef struct {
    const pannier_words_model *model;
    const pannier_words_alphabet *alphabet;
    /// PANNIER_WORDS_TABLE bytes, aligned to 8, that are written over.
    void *table;
    /// `length` bytes and PANNIER_WORDS_SLACK readable ones.
    const uint8_t *stream;
    size_t length;
    /// What `pannier_words_pack` made of the words, and 16 readable bytes; not read where nothing lies apart.
    const uint8_t *apart;
    /// As many words; not read for plain values. Those that are decoded may take their place.
    const void *earlier;
    void *words;
    size_t count;
    /// Two digests that the words are added to while they are decoded, or NULL: the bytes before `parted` to the first,
    /// the others to the second. Of damaged streams they are undefined.
    pannier_sha256 *digests[2];
    size_t parted;
} pannier_words_coded;

/// Decodes a stream. Digests cost little beside it where the processor has instructions for them and words have two bytes
/// (AVX2), and the time of both at once elsewhere.
/// @returns 0, or -1 when it is damaged: too short, not used up, or not ending in the states it began with.
int pannier_words_decode(const pannier_words_coded *coded);

#endif
