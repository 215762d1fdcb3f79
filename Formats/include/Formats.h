// The layout tables and presets of this folder as they stand in it, embedded in the program.
#pragma once

#include <stddef.h>

/// One embedded file.
typedef struct {
    /// "layout" or "preset".
    const char *sort;
    /// Its path in the source tree.
    const char *path;
    const unsigned char *bytes;
    size_t count;
} pannier_format_file;

extern const pannier_format_file *const pannier_formats;
extern const size_t pannier_formats_count;
