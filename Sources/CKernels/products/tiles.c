// See tiles.h.
#include "tiles.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t pannier_matmul_scratch(int64_t tokens) {
    return (int64_t)sizeof(float) * TILE_ROWS * (TILE_COLUMNS + (tokens + 15) / 16 * 16);
}

void pannier_walk_tiles(const tile_kernels *kernels, const pannier_matrix *w, int64_t first, int64_t last,
                        const float *packed, int64_t tokens, float *out, int64_t out_stride, void *scratch) {
    const int64_t width = (tokens + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
    float *tile = scratch, *sums = tile + TILE_ROWS * TILE_COLUMNS;
    // A tile is a whole number of blocks wide. Blocks have 1, 32, 64, 128 or 256 values.
    const int64_t tile_columns = kernels->columns / w->block_elements * w->block_elements;
    for (int64_t row = first; row < last; row += TILE_ROWS) {
        const int64_t rows = least(last - row, TILE_ROWS);
        for (int64_t column = 0; column < w->columns; column += tile_columns) {
            const int64_t count = least(w->columns - column, tile_columns);
            const int64_t offset = column / w->block_elements * w->block_bytes;
            for (int64_t r = 0; r < rows; r++) kernels->decode(w, (const char *)w->row[row + r] + offset, count, tile, r);
            for (int64_t token = 0; token < width; token += kernels->panel)
                for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
                    const tile_place place = {
                        .tile = tile, .row = r, .rows = least(rows - r, BLOCK_ROWS),
                        .packed = packed, .columns = w->columns, .column = column, .count = count,
                        .token = token, .width = least(width - token, kernels->panel),
                        .sums = sums + r * width + token, .sums_stride = width, .add = column > 0,
                    };
                    kernels->multiply(&place);
                }
        }
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t r = 0; r < rows; r++) out[t * out_stride + row + r] = sums[r * width + t];
    }
}
