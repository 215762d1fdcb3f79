// Runs the kernels of one machine on files, for arm64.py: quantize and decode, or the plain float conversions.
//
//     kernel_driver TYPE ROWS COLUMNS BYTES SOURCE OUTPUT [IMPORTANCE]     blocks, then the decoded floats
//     kernel_driver halves COUNT SOURCE OUTPUT                             f32 -> f16 -> f32, f32 -> bf16 -> f32
#include "CKernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *read_file(const char *path, size_t size) {
    void *bytes = malloc(size);
    FILE *file = fopen(path, "rb");
    if (!bytes || !file || fread(bytes, 1, size, file) != size) exit(3);
    fclose(file);
    return bytes;
}

static void write_part(FILE *file, const void *bytes, size_t size) {
    if (fwrite(bytes, 1, size, file) != size) exit(3);
}

int main(int count, char **arguments) {
    if (count == 5 && strcmp(arguments[1], "halves") == 0) {
        size_t n = strtoul(arguments[2], NULL, 10);
        float *x = read_file(arguments[3], n * 4), *back = malloc(n * 4);
        void *halves = malloc(n * 2);
        FILE *out = fopen(arguments[4], "wb");
        if (!back || !halves || !out) return 3;
        pannier_f32_to_f16(x, halves, (int64_t)n);
        pannier_f16_to_f32(halves, back, (int64_t)n);
        write_part(out, halves, n * 2);
        write_part(out, back, n * 4);
        pannier_f32_to_bf16(x, halves, (int64_t)n);
        pannier_bf16_to_f32(halves, back, (int64_t)n);
        write_part(out, halves, n * 2);
        write_part(out, back, n * 4);
        return fclose(out) ? 3 : 0;
    }
    if (count < 7) return 64;
    int type = atoi(arguments[1]);
    size_t rows = strtoul(arguments[2], NULL, 10), columns = strtoul(arguments[3], NULL, 10);
    size_t bytes = strtoul(arguments[4], NULL, 10), values = rows * columns;
    float *source = read_file(arguments[5], values * 4);
    float *importance = count > 7 ? read_file(arguments[7], columns * 4) : NULL;
    void *blocks = malloc(bytes);
    float *decoded = malloc(values * 4);
    pannier_quantize_fn quantize = pannier_quantizer(type);
    pannier_dequantize_fn decode = pannier_dequantizer(type);
    FILE *out = fopen(arguments[6], "wb");
    if (!blocks || !decoded || !out || !quantize || !decode) return 3;
    quantize(source, blocks, (int64_t)rows, (int64_t)columns, importance);
    decode(blocks, decoded, (int64_t)values);
    write_part(out, blocks, bytes);
    write_part(out, decoded, values * 4);
    return fclose(out) ? 3 : 0;
}
