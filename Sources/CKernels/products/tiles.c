// See tiles.h.
#include "tiles.h"

enum { LINE = 64 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t pannier_matmul_scratch(int64_t tokens) {
    return (int64_t)sizeof(float) * TILE_ROWS * (TILE_COLUMNS + (tokens + 15) / 16 * 16);
}

/// Rows [row, row + rows) of a matrix and `count` of their columns, which begin `offset` bytes into a row; without rows where
/// there is no tile.
typedef struct tile {
    int64_t row, rows, column, count, offset, bytes;
} tile;

// Tile `index` of those of rows [first, last): from left to right, then down. A tile is a whole number of blocks wide. Blocks
// have 1, 32, 64, 128 or 256 values.
static tile tile_at(int64_t index, int64_t most_columns, const pannier_matrix *w, int64_t first, int64_t last) {
    const int64_t columns = most_columns / w->block_elements * w->block_elements;
    const int64_t across = (w->columns + columns - 1) / columns;
    const int64_t row = least(first + index / across * TILE_ROWS, last), column = index % across * columns;
    const int64_t count = least(w->columns - column, columns);
    return (tile){row, least(last - row, TILE_ROWS), column, count, column / w->block_elements * w->block_bytes,
                  count / w->block_elements * w->block_bytes};
}

// Asks for rows [first, last) of a tile from memory, so that they wait in the second cache. Its pieces of rows are too short for
// the processor to see them coming.
static void fetch_rows(const pannier_matrix *w, const tile *tile, int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++)
        for (int64_t at = 0; at < tile->bytes; at += LINE)
            __builtin_prefetch((const char *)w->row[tile->row + r] + tile->offset + at, 0, 2);
}

// Sums lie token after token, what comes out row after row: eight tokens at a time, so that the lines that are written stay in
// the first cache.
static void write_out(const float *sums, int64_t width, int64_t rows, int64_t tokens, float *out, int64_t out_stride) {
    for (int64_t begin = 0; begin < tokens; begin += 8) {
        const int64_t end = least(begin + 8, tokens);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t t = begin; t < end; t++) out[t * out_stride + r] = sums[r * width + t];
    }
}

void pannier_walk_tiles(const tile_kernels *kernels, const pannier_matrix *w, int64_t first, int64_t last,
                        const float *packed, int64_t tokens, float *out, int64_t out_stride, void *scratch) {
    const int64_t width = (tokens + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
    float *decoded = scratch, *sums = decoded + TILE_ROWS * TILE_COLUMNS;
    tile here = tile_at(0, kernels->columns, w, first, last);
    for (int64_t index = 0; here.rows > 0; index++) {
        const tile next = tile_at(index + 1, kernels->columns, w, first, last);
        for (int64_t r = 0; r < here.rows; r++)
            kernels->decode(w, (const char *)w->row[here.row + r] + here.offset, here.count, decoded, r);
        for (int64_t token = 0; token < width; token += kernels->panel) {
            const int64_t tokens_here = least(width - token, kernels->panel);
            fetch_rows(w, &next, next.rows * token / width, next.rows * (token + tokens_here) / width);
            for (int64_t r = 0; r < here.rows; r += BLOCK_ROWS) {
                const tile_place place = {
                    .tile = decoded, .row = r, .rows = least(here.rows - r, BLOCK_ROWS),
                    .packed = packed, .columns = w->columns, .column = here.column, .count = here.count,
                    .token = token, .width = tokens_here,
                    .sums = sums + r * width + token, .sums_stride = width, .add = here.column > 0,
                };
                kernels->multiply(&place);
            }
        }
        if (here.column + here.count == w->columns) write_out(sums, width, here.rows, tokens, out + here.row, out_stride);
        here = next;
    }
}
