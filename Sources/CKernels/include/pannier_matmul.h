// Products of weight matrices with activations: y = W x for a batch of tokens, W in any block format.
//
// A weight matrix stays in the file's own bytes. For a batch, a tile of it is decoded to f32 (or bf16) once and
// multiplied with every token of the batch: lanes along the batch, activations packed into panels beforehand. For one
// token, decoding and multiplying are one loop, bound by memory; for many tokens, one after another, rows can be laid
// out once more in groups (matvec_groups.inc). Sums are kept in f32 with many accumulators; at the AVX2 level those of
// one token and quantized weights are kept in integers, exactly (matvec_fixed.inc).
#ifndef PANNIER_MATMUL_H
#define PANNIER_MATMUL_H

#include <stdint.h>
#include "pannier_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Decodes `count` values, a multiple of the format's block, from the blocks at `src`.
typedef void (*pannier_decode_fn)(const void *src, float *dst, int64_t count);

/// Formats whose product with one token has a loop of its own. Values match nothing on disk. Those of 32 values a block
/// are for whole groups of 128 columns.
typedef enum pannier_weight_kind {
    PANNIER_WEIGHT_OTHER = 0, ///< decoded piece by piece with `decode`
    PANNIER_WEIGHT_F32,
    PANNIER_WEIGHT_F16,
    PANNIER_WEIGHT_BF16,
    PANNIER_WEIGHT_Q8_0,
    PANNIER_WEIGHT_Q4_0,
    PANNIER_WEIGHT_Q4_1,
    PANNIER_WEIGHT_Q5_0,
    PANNIER_WEIGHT_Q5_1,
    PANNIER_WEIGHT_Q2_K,
    PANNIER_WEIGHT_Q3_K,
    PANNIER_WEIGHT_Q4_K,
    PANNIER_WEIGHT_Q5_K,
    PANNIER_WEIGHT_Q6_K,
    PANNIER_WEIGHT_IQ4_NL, ///< with AVX2 or AVX-512, elsewhere as OTHER; and the next
    PANNIER_WEIGHT_IQ4_XS,
} pannier_weight_kind;

/// The arithmetic that was asked for. What a machine does not do faster it does in f32.
typedef enum pannier_compute {
    PANNIER_COMPUTE_F32,  ///< weights exact; activations f32, or of 24 bits or more below the largest of 128 or 256
    PANNIER_COMPUTE_BF16, ///< both rounded to bf16; one token's activations to 16 bits below the largest of 128 or 256
} pannier_compute;

/// A weight matrix of `rows` rows of `columns` values. Each row is dense and lies anywhere, without alignment, so that
/// a fused, sliced or permuted tensor of a mapped file serves as it is.
typedef struct pannier_matrix {
    const void *const *row;   ///< where each row begins
    int64_t rows;
    int64_t columns;          ///< a multiple of block_elements
    int32_t block_elements;
    int32_t block_bytes;
    pannier_weight_kind kind;
    pannier_decode_fn decode; ///< never NULL
    const uint8_t *groups;    ///< the rows once more, from pannier_group_rows, or NULL; used for one token
} pannier_matrix;

/// The decoder of plain f32.
void pannier_decode_f32(const void *src, float *dst, int64_t count);

// ---- A batch of tokens -------------------------------------------------------------------------------------------

/// Floats in a packed batch: `columns` activations of `tokens` tokens, padded to whole vectors.
int64_t pannier_packed_floats(int64_t tokens, int64_t columns);
/// Panels in a packed batch; they can be packed by different threads.
int64_t pannier_panels(int64_t tokens);
/// Rows that are decoded together. Products of whole numbers of them are the fastest, and of many of them one after another.
int64_t pannier_matmul_rows(void);
/// Bytes of scratch memory a thread needs for a product with `tokens` tokens.
int64_t pannier_matmul_scratch(int64_t tokens);

/// Packs panels [first, last) of activations. Token t's values begin at x + t * stride.
void pannier_pack_f32(const float *x, int64_t stride, int64_t tokens, int64_t columns, int64_t first, int64_t last,
                      float *packed);
/// Rows [first, last) of the product: out[t * out_stride + r] = sum over k of W[r][k] x[t][k].
/// `packed` comes from pannier_pack_f32; `scratch` is aligned to 64 bytes and belongs to the calling thread.
void pannier_matmul_f32(const pannier_matrix *w, int64_t first, int64_t last, const float *packed, int64_t tokens,
                        float *out, int64_t out_stride, void *scratch);

/// The same in pairs of 16 bits. Where products of bf16 are fast, weights and activations are rounded to bf16; elsewhere with
/// AVX2 or AVX-512's VNNI to integers of 11 and 12 bits below the largest of 256, which loses less (matmul_words.inc). On other
/// machines these are the f32 products. Sums stay f32.
void pannier_pack_bf16(const float *x, int64_t stride, int64_t tokens, int64_t columns, int64_t first, int64_t last,
                       float *packed);
void pannier_matmul_bf16(const pannier_matrix *w, int64_t first, int64_t last, const float *packed, int64_t tokens,
                         float *out, int64_t out_stride, void *scratch);

// ---- One token ---------------------------------------------------------------------------------------------------

/// Floats of the prepared form of `columns` activations, at most.
int64_t pannier_prepared_floats(int64_t columns);
/// Puts one token's activations into the order in which the matrix's loop meets its weights: that of its kind, and of whether
/// its rows are in groups.
void pannier_prepare(const pannier_matrix *w, pannier_compute compute, const float *x, float *prepared);
/// Rows [first, last) of the product with one token: out[r] = sum over k of W[r][k] x[k].
/// `compute` is that of `pannier_prepare`. Of a matrix with groups, `first` is a multiple of PANNIER_ROW_GROUP, and so is
/// `last` but at the matrix's end.
void pannier_matvec(const pannier_matrix *w, pannier_compute compute, int64_t first, int64_t last, const float *prepared,
                    float *out);

/// Rows that lie side by side in a group.
#define PANNIER_ROW_GROUP 8
/// Bytes of a matrix's rows in groups; 0 where this machine multiplies its kind no faster so.
int64_t pannier_groups_bytes(const pannier_matrix *w);
/// Lays out groups [first, last), counted in groups, where all of them begin at `groups`.
void pannier_group_rows(const pannier_matrix *w, int64_t first, int64_t last, uint8_t *groups);

// ---- Between the products ----------------------------------------------------------------------------------------

/// y = x / sqrt(mean(x^2) + eps) * weight
void pannier_rms_norm(const float *x, const float *weight, float eps, int64_t count, float *y);
/// gate = silu(gate) * up
void pannier_silu_multiply(float *gate, const float *up, int64_t count);
/// x += y
void pannier_add(float *x, const float *y, int64_t count);
/// Turns the first 2 * half values of a head by its position's angles. Pairs are (i, i + half), or (2i, 2i + 1) where
/// `adjacent`.
void pannier_rope(float *head, const float *cosine, const float *sine, int64_t half, int adjacent);
/// log(sum(exp(x)))
double pannier_log_sum_exp(const float *x, int64_t count);

/// How far one row of logits is from another.
typedef struct pannier_logits_difference {
    double divergence;        ///< KL divergence of softmax(candidate) from softmax(reference), in nats; never below 0
    double squared_error;     ///< sum of (reference - candidate)^2
    double squared_reference; ///< sum of reference^2
    double largest;           ///< largest |reference - candidate|
    int64_t top_reference;    ///< index of the largest logit; the first of equal ones
    int64_t top_candidate;
} pannier_logits_difference;

pannier_logits_difference pannier_compare_logits(const float *reference, const float *candidate, int64_t count);

/// Causal attention of one query head for a run of tokens at positions [position, position + tokens).
typedef struct pannier_attention {
    const float *query;    ///< token t's head at query + t * query_stride
    int64_t query_stride;
    const float *keys;     ///< [positions][head], position 0 first; reaches past the last token's position
    const float *values;   ///< likewise
    int64_t head;          ///< values in a head
    int64_t position;      ///< of the first token
    int64_t tokens;
    int64_t window;        ///< positions seen, the token's own included; 0 means all
    float scale;           ///< 1 / sqrt(head)
    float *out;            ///< token t's head at out + t * out_stride
    int64_t out_stride;
} pannier_attention;

/// Tokens in one call of pannier_attend, at most.
int64_t pannier_attention_tokens(void);
/// Floats of scratch for a call whose last token is at `last_position`.
int64_t pannier_attention_scratch(int64_t last_position, int64_t head);
void pannier_attend(const pannier_attention *attention, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
