// The walk that all batch products share: over tiles of weights, and for each over the panels of activations.
//
// A tile of TILE_ROWS rows is decoded once and multiplied with every panel. Tiles of the same columns follow one another in a
// band of rows, so that those columns of the whole batch (512 KB of floats where it has 256 tokens), the tile and the band's
// sums stay in the L2 cache: how fast the cache behind it is depends on what else the machine does.
#ifndef PANNIER_TILES_H
#define PANNIER_TILES_H

#include <stdbool.h>
#include "../include/pannier_matmul.h"

enum {
    TILE_ROWS = 48,
    /// Tiles of a band, and their rows.
    BAND_TILES = 4,
    BAND_ROWS = BAND_TILES * TILE_ROWS,
    /// Columns of a tile of floats. One of 16-bit values may have twice as many.
    TILE_COLUMNS = 512,
    /// Rows of a tile that a block product keeps in registers.
    BLOCK_ROWS = 6,
    /// Tokens of a panel, at most.
    TILE_TOKENS = 64,
};

/// A piece of memory.
typedef struct fetch_run {
    const char *from, *end;
} fetch_run;

/// Pieces whose lines are asked for while block products compute, a line every FETCH_STEPS steps, so that they wait in the
/// second cache. All at once they would take the places in which the product's own lines come.
typedef struct fetch_list {
    const char *line, *end; ///< what is left of the piece before `next`
    const fetch_run *next, *last;
} fetch_list;
enum { FETCH_STEPS = 4, FETCH_LINE = 64 };

static inline __attribute__((always_inline)) bool fetch_next(fetch_list *list) {
    if (list->line >= list->end) {
        if (list->next == list->last) return false;
        list->line = list->next->from - (uintptr_t)list->next->from % FETCH_LINE;
        list->end = list->next++->end;
    }
    __builtin_prefetch(list->line, 0, 2);
    list->line += FETCH_LINE;
    return true;
}

/// Where a tile meets a panel of activations.
typedef struct tile_place {
    const void *tile;
    int64_t rows;            ///< of the tile
    const float *packed;     ///< the whole batch
    int64_t columns;         ///< of the whole matrix
    int64_t column, count;   ///< of the tile, within the matrix
    int64_t token, width;    ///< of the panel: its first token, and its tokens as they are padded
    float *sums;             ///< of the tile's first row and `token`
    int64_t sums_stride;     ///< between rows
    bool add;                ///< to the sums, or begin them
    fetch_list *ahead;       ///< what comes after it
} tile_place;

/// The operations of one arithmetic at one CPU level.
typedef struct tile_kernels {
    int64_t lanes;   ///< to whole vectors of which tokens are padded
    int64_t panel;   ///< tokens of a panel, at most TILE_TOKENS
    int64_t columns; ///< of a tile
    /// The tile of `rows` rows, from the `count` weights at each of `row`.
    void (*decode)(const pannier_matrix *w, const char *const *row, int64_t rows, int64_t count, void *tile);
    void (*multiply)(const tile_place *place);
} tile_kernels;

/// Rows [first, last) of the product. `scratch` is that of pannier_matmul_scratch.
void pannier_walk_tiles(const tile_kernels *kernels, const pannier_matrix *w, int64_t first, int64_t last,
                        const float *packed, int64_t tokens, float *out, int64_t out_stride, void *scratch);

#endif
