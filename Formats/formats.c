// Embeds the tables. A new table is one line here; Tests/LayoutsTests holds that none is forgotten.

#include "Formats.h"

// #embed is C23; clang knows it in every language mode. (The compiler notes what is embedded, so that an edited table
// is compiled again.)
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char hf_llama[] = {
#embed "hf-llama/layout.json"
};
static const unsigned char gguf_llama[] = {
#embed "gguf-llama/layout.json"
};
static const unsigned char litgpt_tinyllama[] = {
#embed "litgpt-tinyllama/layout.json"
};
static const unsigned char litgpt_early[] = {
#embed "litgpt-early/layout.json"
};
static const unsigned char litgpt[] = {
#embed "litgpt/layout.json"
};
static const unsigned char meta[] = {
#embed "meta/layout.json"
};
static const unsigned char tinyllama_1_1b[] = {
#embed "presets/tinyllama-1.1b.json"
};
static const unsigned char tinyllama_120m[] = {
#embed "presets/tinyllama-120m.json"
};
static const unsigned char code_tinyllama_1b[] = {
#embed "presets/code-tinyllama-1b.json"
};
static const unsigned char kjv_llama_2_8m[] = {
#embed "presets/kjv-llama-2.8m.json"
};

static const pannier_format_file files[] = {
    {"layout", "Formats/hf-llama/layout.json", hf_llama, sizeof hf_llama},
    {"layout", "Formats/litgpt-tinyllama/layout.json", litgpt_tinyllama, sizeof litgpt_tinyllama},
    {"layout", "Formats/litgpt-early/layout.json", litgpt_early, sizeof litgpt_early},
    {"layout", "Formats/litgpt/layout.json", litgpt, sizeof litgpt},
    {"layout", "Formats/meta/layout.json", meta, sizeof meta},
    {"layout", "Formats/gguf-llama/layout.json", gguf_llama, sizeof gguf_llama},
    {"preset", "Formats/presets/tinyllama-1.1b.json", tinyllama_1_1b, sizeof tinyllama_1_1b},
    {"preset", "Formats/presets/tinyllama-120m.json", tinyllama_120m, sizeof tinyllama_120m},
    {"preset", "Formats/presets/code-tinyllama-1b.json", code_tinyllama_1b, sizeof code_tinyllama_1b},
    {"preset", "Formats/presets/kjv-llama-2.8m.json", kjv_llama_2_8m, sizeof kjv_llama_2_8m},
};

const pannier_format_file *const pannier_formats = files;
const size_t pannier_formats_count = sizeof files / sizeof *files;
