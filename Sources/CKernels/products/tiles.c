// See tiles.h.
#include "tiles.h"

#include <string.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t pannier_matmul_rows(void) { return TILE_ROWS; }

int64_t pannier_matmul_scratch(int64_t tokens) {
    return (int64_t)sizeof(float) * (TILE_ROWS * TILE_COLUMNS + BAND_ROWS * ((tokens + 15) / 16 * 16));
}

/// Rows [row, row + rows) of a matrix and `count` of their columns, which begin `offset` bytes into a row; without rows where
/// there is no tile.
typedef struct tile {
    int64_t row, rows, column, count, offset, bytes;
} tile;

// Tile `index` of those of rows [first, last): band after band, in a band from left to right, and of the same columns down. A
// tile is a whole number of blocks wide. Blocks have 1, 32, 64, 128 or 256 values.
static tile tile_at(int64_t index, int64_t most_columns, const pannier_matrix *w, int64_t first, int64_t last) {
    const int64_t columns = most_columns / w->block_elements * w->block_elements;
    const int64_t across = (w->columns + columns - 1) / columns;
    const int64_t band = first + index / (across * BAND_TILES) * BAND_ROWS, within = index % (across * BAND_TILES);
    if (band >= last) return (tile){0};
    // The last band may be lower.
    const int64_t down = least((last - band + TILE_ROWS - 1) / TILE_ROWS, BAND_TILES);
    if (within >= across * down) return (tile){0};
    const int64_t row = band + within % down * TILE_ROWS, column = within / down * columns;
    const int64_t count = least(w->columns - column, columns);
    return (tile){row, least(last - row, TILE_ROWS), column, count, column / w->block_elements * w->block_bytes,
                  count / w->block_elements * w->block_bytes};
}

static fetch_run run_at(const void *from, int64_t bytes) { return (fetch_run){from, (const char *)from + bytes}; }

typedef float four __attribute__((ext_vector_type(4)));

// Sums lie row after row, what comes out token after token: eight tokens at a time, so that the lines that are written stay in
// the first cache, and of them squares of four.
static void write_out(const float *sums, int64_t width, int64_t rows, int64_t tokens, float *out, int64_t out_stride) {
    const int64_t whole_rows = rows / 4 * 4, whole_tokens = tokens / 4 * 4;
    for (int64_t begin = 0; begin < tokens; begin += 8) {
        const int64_t end = least(begin + 8, tokens), squares = least(end, whole_tokens);
        for (int64_t r = 0; r < whole_rows; r += 4)
            for (int64_t t = begin; t < squares; t += 4) {
                four in[4], pair[4];
                for (int i = 0; i < 4; i++) memcpy(&in[i], sums + (r + i) * width + t, sizeof in[i]);
                for (int i = 0; i < 2; i++) {
                    pair[i] = __builtin_shufflevector(in[2 * i], in[2 * i + 1], 0, 4, 1, 5);
                    pair[2 + i] = __builtin_shufflevector(in[2 * i], in[2 * i + 1], 2, 6, 3, 7);
                }
                for (int i = 0; i < 4; i++) {
                    const four low = pair[i / 2 * 2], high = pair[i / 2 * 2 + 1];
                    const four column = i % 2 ? __builtin_shufflevector(low, high, 2, 3, 6, 7)
                                              : __builtin_shufflevector(low, high, 0, 1, 4, 5);
                    memcpy(out + (t + i) * out_stride + r, &column, sizeof column);
                }
            }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t t = r < whole_rows ? squares : begin; t < end; t++) out[t * out_stride + r] = sums[r * width + t];
    }
}

void pannier_walk_tiles(const tile_kernels *kernels, const pannier_matrix *w, int64_t first, int64_t last,
                        const float *packed, int64_t tokens, float *out, int64_t out_stride, void *scratch) {
    const int64_t width = (tokens + kernels->lanes - 1) / kernels->lanes * kernels->lanes;
    float *decoded = scratch, *band = decoded + TILE_ROWS * TILE_COLUMNS;
    tile here = tile_at(0, kernels->columns, w, first, last);
    for (int64_t index = 0; here.rows > 0; index++) {
        const tile next = tile_at(index + 1, kernels->columns, w, first, last);
        const bool last_column = here.column + here.count == w->columns;
        float *sums = band + (here.row - first) % BAND_ROWS * width;
        const char *row[TILE_ROWS];
        for (int64_t r = 0; r < here.rows; r++) row[r] = (const char *)w->row[here.row + r] + here.offset;
        kernels->decode(w, row, here.rows, here.count, decoded);
        // Each panel asks for its share of what comes next: pieces of rows are too short for the processor to see them
        // coming, and what is written lies apart.
        const int64_t panels = (width + kernels->panel - 1) / kernels->panel;
        const int64_t share = (next.rows + panels - 1) / panels;
        for (int64_t panel = 0; panel < panels; panel++) {
            const int64_t token = panel * kernels->panel, end = least(tokens, token + kernels->panel);
            fetch_run runs[TILE_ROWS + TILE_TOKENS];
            int64_t count = 0;
            for (int64_t t = token; last_column && t < end; t++)
                runs[count++] = run_at(out + t * out_stride + here.row, here.rows * (int64_t)sizeof(float));
            for (int64_t r = panel * share; r < least(next.rows, (panel + 1) * share); r++)
                runs[count++] = run_at((const char *)w->row[next.row + r] + next.offset, next.bytes);
            fetch_list ahead = {.next = runs, .last = runs + count};
            const tile_place place = {
                .tile = decoded, .rows = here.rows,
                .packed = packed, .columns = w->columns, .column = here.column, .count = here.count,
                .token = token, .width = least(width - token, kernels->panel),
                .sums = sums + token, .sums_stride = width, .add = here.column > 0,
                .ahead = &ahead,
            };
            kernels->multiply(&place);
            while (fetch_next(&ahead)) continue;
        }
        if (last_column) write_out(sums, width, here.rows, tokens, out + here.row, out_stride);
        here = next;
    }
}
