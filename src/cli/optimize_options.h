/* What `impasto optimize` is told. */
#ifndef IMP_CLI_OPTIMIZE_OPTIONS_H
#define IMP_CLI_OPTIMIZE_OPTIONS_H

#include "cli/options.h"
#include "impasto.h"

/* Bounds of --max-memory. */
#define IMP_CLI_MIN_MEMORY 1048576.0
#define IMP_CLI_MAX_MEMORY 1.152921504606847e18 /* 2^60 */

typedef struct imp_cli_optimize_settings {
    imp_painting_options painting; /* what the options set directly */
    imp_cli_texts styles;          /* "painting.jpg" or "painting.jpg:2" */
    const char *output, *keep_colors, *depth, *initial, *model, *instruction_set;
    int quality, threads;
    int batch; /* 0: as many as pay */
    size_t memory_limit;
    bool enlarge, json, quiet, verbose;
} imp_cli_optimize_settings;

extern const imp_cli_option imp_cli_optimize_options[];
void imp_cli_optimize_defaults(void *settings);

enum { IMP_CLI_MAX_THREADS = 256 };

#endif
