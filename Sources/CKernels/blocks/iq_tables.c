// Builds the tables of the IQ formats. See iq_tables.h.
//
// The figures are ggml's (ggml-quants.c and ggml-common.h, MIT), and so is the rule for the neighbours of a point:
// the points of the codebook at the two (IQ2_XXS, IQ2_XS, IQ3_XXS), three (IQ1, IQ3_S) or one (IQ2_S) smallest
// distances that occur, by distance and then by place.
#include "iq_tables.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const int8_t pannier_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

#define LISTS_OF(kind, points_, digits_, shells_, prune_, ...)                                                        \
    [kind] = {points_, sizeof points_ / 2, digits_, shells_, prune_, {__VA_ARGS__}}
static const struct book {
    const uint16_t *points;
    int count;
    int digits;  // 8 coordinates of 3 levels, or 4 of 8
    int shells;  // how many distances the neighbours span
    bool prune;  // whether lists without the members that another one precludes are worth having
    int8_t values[8];
} books[PANNIER_CODEBOOKS] = {
    LISTS_OF(PANNIER_IQ2_XXS_POINTS, pannier_iq2_xxs_points, 8, 2, true, 8, 25, 43),
    LISTS_OF(PANNIER_IQ2_XS_POINTS, pannier_iq2_xs_points, 8, 2, true, 8, 25, 43),
    LISTS_OF(PANNIER_IQ2_S_POINTS, pannier_iq2_s_points, 8, 1, false, 8, 25, 43),
    LISTS_OF(PANNIER_IQ1_POINTS, pannier_iq1_points, 8, 3, false, -1, 0, 1),
    LISTS_OF(PANNIER_IQ3_XXS_POINTS, pannier_iq3_xxs_points, 4, 2, true, 4, 12, 20, 28, 36, 44, 52, 62),
    LISTS_OF(PANNIER_IQ3_S_POINTS, pannier_iq3_s_points, 4, 3, true, 1, 3, 5, 7, 9, 11, 13, 15),
};

enum { NUMBERS_OF_8 = 6561, NUMBERS_OF_4 = 4096, MOST_NUMBERS = PANNIER_CERTAIN + NUMBERS_OF_8, MOST_POINTS = 2048 };

static uint32_t lists[PANNIER_CODEBOOKS][MOST_NUMBERS];
static uint16_t places[PANNIER_CODEBOOKS][MOST_NUMBERS];
// As many chunks of eight as all the lists of the codebook fill.
static uint16_t iq2_xxs_neighbours[24898 * 8], iq2_xs_neighbours[36113 * 8], iq2_s_neighbours[9657 * 8],
    iq1_neighbours[44961 * 8], iq3_xxs_neighbours[5209 * 8], iq3_s_neighbours[6574 * 8];
static uint16_t *const neighbours[PANNIER_CODEBOOKS] = {
    [PANNIER_IQ2_XXS_POINTS] = iq2_xxs_neighbours, [PANNIER_IQ2_XS_POINTS] = iq2_xs_neighbours,
    [PANNIER_IQ2_S_POINTS] = iq2_s_neighbours,     [PANNIER_IQ1_POINTS] = iq1_neighbours,
    [PANNIER_IQ3_XXS_POINTS] = iq3_xxs_neighbours, [PANNIER_IQ3_S_POINTS] = iq3_s_neighbours,
};
static pannier_codebook codebooks[PANNIER_CODEBOOKS];

// Coordinate i of a point of the codebook, packed with 2 or 3 bits each.
static int coordinate(const struct book *book, int place, int i) {
    return book->digits == 8 ? book->points[place] >> 2 * i & 3 : book->points[place] >> 3 * i & 7;
}

static int number_of(const struct book *book, int place) {
    int number = 0;
    for (int i = book->digits; i-- > 0;) number = number * (book->digits == 8 ? 3 : 8) + coordinate(book, place, i);
    return number;
}

static uint16_t code_of(const struct book *book, int place) {
    if (book->digits == 8) return book->points[place];
    int code = 0;
    for (int i = 0; i < 4; i++) code |= coordinate(book, place, i) << 4 * i;
    return (uint16_t)code;
}

// Appends a list of `length` codes after `*chunk` chunks of the codebook. Returns its entry.
static uint32_t append(pannier_codebook_kind kind, const uint16_t *members, int length, bool on_grid, uint32_t *chunk) {
    const int chunks = (length + 7) / 8;
    for (int lane = 0; lane < 8; lane++)
        for (int c = 0; c < chunks; c++) {
            int member = lane * chunks + c;
            neighbours[kind][(*chunk + (uint32_t)c) * 8 + (uint32_t)lane] =
                members[member < length ? member : length - 1];
        }
    const uint32_t entry = PANNIER_LIST_ENTRY(*chunk, length, on_grid);
    *chunk += (uint32_t)chunks;
    return entry;
}

// A code's levels in unary, bits 1 to the level's set, so that `&` and `|` take the smaller and larger of each.
static uint32_t unary(const struct book *book, unsigned code) {
    uint32_t bits = 0;
    for (int i = 0; i < book->digits; i++)
        bits |= book->digits == 8 ? ((1u << (code >> 2 * i & 3)) - 1) << 2 * i : ((1u << (code >> 4 * i & 7)) - 1) << 7 * i;
    return bits;
}

// Leaves out the members that lie beyond an earlier one, seen from the point, in each coordinate in which they differ.
// Returns how many are left.
static int prune(const struct book *book, uint32_t point, uint16_t *members, int length) {
    uint32_t kept[MOST_POINTS];
    int count = 0;
    for (int i = 0; i < length; i++) {
        const uint32_t member = unary(book, members[i]), nearest = point & member, farthest = point | member;
        bool beyond = false;
        for (int j = 0; j < count && !beyond; j++) beyond = ((nearest & ~kept[j]) | (kept[j] & ~farthest)) == 0;
        if (beyond) continue;
        kept[count] = member;
        members[count++] = members[i];
    }
    return count;
}

static void build(pannier_codebook_kind kind) {
    const struct book *book = &books[kind];
    // A point is two halves of `half` possible numbers; squared distances are tabulated half by half.
    const int base = book->digits == 8 ? 3 : 8, half = book->digits == 8 ? 81 : 64, numbers = half * half;
    uint8_t apart[81][81];
    for (int a = 0; a < half; a++)
        for (int b = 0; b < half; b++) {
            int sum = 0;
            for (int x = a, y = b, i = 0; i < book->digits / 2; i++, x /= base, y /= base)
                sum += (x % base - y % base) * (x % base - y % base);
            apart[a][b] = (uint8_t)sum;
        }
    uint8_t low[MOST_POINTS], high[MOST_POINTS];
    bool on_grid[MOST_NUMBERS] = {false};
    for (int place = 0; place < book->count; place++) {
        int number = number_of(book, place);
        low[place] = (uint8_t)(number % half);
        high[place] = (uint8_t)(number / half);
        on_grid[number] = true;
        places[kind][number] = (uint16_t)place;
    }

    uint32_t chunk = 0;
    for (int number = 0; number < numbers; number++) {
        uint16_t members[MOST_POINTS];
        int length = 0;
        if (on_grid[number]) {
            members[length++] = code_of(book, places[kind][number]);
        } else {
            uint8_t distances[MOST_POINTS];
            int counts[256] = {0};
            const uint8_t *to_low = apart[number % half], *to_high = apart[number / half];
            for (int place = 0; place < book->count; place++) {
                distances[place] = (uint8_t)(to_low[low[place]] + to_high[high[place]]);
                counts[distances[place]]++;
            }
            // Where the members at each distance begin; -1 at distances beyond the last wanted.
            int starts[256];
            int wanted = book->shells;
            for (int d = 0; d < 256; d++) {
                starts[d] = -1;
                if (counts[d] == 0 || wanted == 0) continue;
                wanted--;
                starts[d] = length;
                length += counts[d];
            }
            for (int place = 0; place < book->count; place++) {
                int d = distances[place];
                if (starts[d] >= 0) members[starts[d]++] = code_of(book, place);
            }
        }
        lists[kind][number] = append(kind, members, length, on_grid[number], &chunk);
        lists[kind][PANNIER_CERTAIN + number] = lists[kind][number];
        if (!book->prune) continue;
        unsigned code = 0;
        for (int i = 0, rest = number; i < book->digits; i++, rest /= base)
            code |= (unsigned)(rest % base) << (book->digits == 8 ? 2 : 4) * i;
        const int left = prune(book, unary(book, code), members, length);
        if (left < length) lists[kind][PANNIER_CERTAIN + number] = append(kind, members, left, false, &chunk);
    }
    codebooks[kind] = (pannier_codebook){lists[kind], neighbours[kind], places[kind]};
}

#define BUILD(kind)                                                                                                    \
    static void build_##kind(void) { build(kind); }
BUILD(PANNIER_IQ2_XXS_POINTS)
BUILD(PANNIER_IQ2_XS_POINTS)
BUILD(PANNIER_IQ2_S_POINTS)
BUILD(PANNIER_IQ1_POINTS)
BUILD(PANNIER_IQ3_XXS_POINTS)
BUILD(PANNIER_IQ3_S_POINTS)
#undef BUILD

const pannier_codebook *pannier_codebook_of(pannier_codebook_kind kind) {
    static pthread_once_t once[PANNIER_CODEBOOKS] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT,
                                                     PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};
    static void (*const builders[PANNIER_CODEBOOKS])(void) = {
        [PANNIER_IQ2_XXS_POINTS] = build_PANNIER_IQ2_XXS_POINTS, [PANNIER_IQ2_XS_POINTS] = build_PANNIER_IQ2_XS_POINTS,
        [PANNIER_IQ2_S_POINTS] = build_PANNIER_IQ2_S_POINTS,     [PANNIER_IQ1_POINTS] = build_PANNIER_IQ1_POINTS,
        [PANNIER_IQ3_XXS_POINTS] = build_PANNIER_IQ3_XXS_POINTS, [PANNIER_IQ3_S_POINTS] = build_PANNIER_IQ3_S_POINTS,
    };
    pthread_once(&once[kind], builders[kind]);
    return &codebooks[kind];
}

static uint64_t values[PANNIER_CODEBOOKS][MOST_POINTS];

static void build_values(void) {
    for (int kind = 0; kind < PANNIER_CODEBOOKS; kind++)
        for (int place = 0; place < books[kind].count; place++)
            for (int i = 0; i < books[kind].digits; i++)
                values[kind][place] |=
                    (uint64_t)(uint8_t)books[kind].values[coordinate(&books[kind], place, i)] << 8 * i;
}

const uint64_t *pannier_codebook_values(pannier_codebook_kind kind) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build_values);
    return values[kind];
}
