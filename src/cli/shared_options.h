/* Options that several commands have, as rows of their tables. at: where the value goes, AT(field) of the table. */
#ifndef IMP_CLI_SHARED_OPTIONS_H
#define IMP_CLI_SHARED_OPTIONS_H

#include "cli/options.h"
#include "impasto.h"

enum { IMP_CLI_MIN_SIDE = 16, IMP_CLI_MAX_THREADS = 256 };

/* Bounds of --max-memory. */
#define IMP_CLI_MIN_MEMORY 1048576.0
#define IMP_CLI_MAX_MEMORY 1.152921504606847e18 /* 2^60 */

/* Declares name_at(index) over a list of names. */
#define IMP_CLI_NAMES(function, ...)                                                                                   \
    const char *function(int index) {                                                                                  \
        static const char *const names[] = {__VA_ARGS__, NULL};                                                        \
        return names[index];                                                                                           \
    }

const char *imp_cli_precision_at(int index); /* "f32", "bf16", "auto" */
const char *imp_cli_depth_at(int index);     /* "8", "16" */

/* clang-format off: rows read best as such */
#define IMP_CLI_ROW_OUTPUT(at)                                                                                         \
    {                                                                                                                  \
        "output", 'o',                                                                                                 \
            .kind = IMP_CLI_TEXT, at, .value = "OUT",                                                                  \
            .help =                                                                                                    \
                "The picture to write; its ending tells the format (.jpg, .png; with the vips module .webp, .tif, "    \
                ".avif). Or a folder, in which each photo keeps its name; several photos need one."                    \
    }
#define IMP_CLI_ROW_SIZE(at)                                                                                           \
    {                                                                                                                  \
        "size", 0,                                                                                                     \
            .kind = IMP_CLI_INTEGER, .minimum = IMP_CLI_MIN_SIDE, .maximum = IMP_IMAGE_MAX_SIDE, at,                   \
            .value = "PIXELS",                                                                                         \
            .help = "Longer side of the result; 512 where it is not given. A photo that is smaller stays as it is."    \
    }
#define IMP_CLI_ROW_ENLARGE(at)                                                                                        \
    { "enlarge", 0, .kind = IMP_CLI_FLAG, at, .help = "Enlarge a photo that is smaller than --size." }
#define IMP_CLI_ROW_DEPTH(at)                                                                                          \
    {                                                                                                                  \
        "depth", 0, .kind = IMP_CLI_CHOICE, .choice = imp_cli_depth_at, at, .value = "BITS",                           \
                    .help = "Bits of each sample of the result; 16 for .png and .tif only."                            \
    }
#define IMP_CLI_ROW_QUALITY(at)                                                                                        \
    {                                                                                                                  \
        "quality", 'q', .kind = IMP_CLI_INTEGER, .minimum = 1, .maximum = 100, at, .value = "N",                       \
                        .help = "Of .jpg, .webp and .avif; 92 where it is not given."                                  \
    }
#define IMP_CLI_ROW_MODEL(at)                                                                                          \
    {                                                                                                                  \
        "model", 'm',                                                                                                  \
            .kind = IMP_CLI_TEXT, at, .value = "MODEL",                                                                \
            .help =                                                                                                    \
                "A model file, or the name of an installed one (see impasto model list); vgg19 where it is not given." \
    }
#define IMP_CLI_ROW_STYLER_MODEL(at)                                                                                   \
    {                                                                                                                  \
        "model", 'm',                                                                                                  \
            .kind = IMP_CLI_TEXT, at, .value = "MODEL",                                                                \
            .help = "The model that paints: a file, or the name of an installed one (see impasto model list)."         \
    }
#define IMP_CLI_ROW_THREADS(at)                                                                                        \
    {                                                                                                                  \
        "threads", 'j',                                                                                                \
            .kind = IMP_CLI_INTEGER, .minimum = 1, .maximum = IMP_CLI_MAX_THREADS, at, .value = "N",                   \
            .help = "Threads; one for each processor where it is not given. The result is the same for any number."    \
    }
#define IMP_CLI_ROW_MEMORY(at, words)                                                                                  \
    {                                                                                                                  \
        "max-memory", 0, .kind = IMP_CLI_BYTES, .minimum = IMP_CLI_MIN_MEMORY, .maximum = IMP_CLI_MAX_MEMORY, at,      \
                         .value = "BYTES", .help = "Use no more memory than this (800M, 2G)" words                     \
    }
#define IMP_CLI_ROW_PRECISION(at)                                                                                      \
    {                                                                                                                  \
        "precision", 0,                                                                                                \
            .kind = IMP_CLI_CHOICE, .choice = imp_cli_precision_at, at, .value = "TYPE",                               \
            .help =                                                                                                    \
                "Of the network's feature maps: bf16 halves their memory and, where the CPU has it, takes less time; " \
                "auto."                                                                                                \
    }
#define IMP_CLI_ROW_INSTRUCTION_SET(at)                                                                                \
    {                                                                                                                  \
        "instruction-set", 0, .kind = IMP_CLI_CHOICE, .choice = imp_instruction_set_name, at, .value = "NAME",         \
                              .help = "Use no more of the processor than this."                                        \
    }
#define IMP_CLI_ROW_EVENTS(at)                                                                                         \
    { "json", 0, .kind = IMP_CLI_FLAG, at, .help = "Print events for programs: one JSON object a line." }
#define IMP_CLI_ROW_QUIET(at)                                                                                          \
    { "quiet", 0, .kind = IMP_CLI_FLAG, at, .help = "Print nothing but warnings and errors." }
#define IMP_CLI_ROW_VERBOSE(at)                                                                                        \
    { "verbose", 'v', .kind = IMP_CLI_FLAG, at, .help = "Afterwards, print what ran and how long it took." }
#define IMP_CLI_ROW_JSON(at)                                                                                           \
    { "json", 0, .kind = IMP_CLI_FLAG, at, .help = "Print one JSON object, for programs." }
/* clang-format on */

#endif
