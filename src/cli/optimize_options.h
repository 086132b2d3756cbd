/* What `impasto optimize` is told. */
#ifndef IMP_CLI_OPTIMIZE_OPTIONS_H
#define IMP_CLI_OPTIMIZE_OPTIONS_H

#include "cli/job.h"
#include "cli/options.h"

typedef struct imp_cli_optimize_settings {
    imp_cli_job_settings job;
    imp_painting_options painting; /* what the options set directly */
    imp_cli_texts styles;          /* "painting.jpg" or "painting.jpg:2" */
    const char *keep_colors, *initial;
    int batch; /* 0: as many as pay */
} imp_cli_optimize_settings;

extern const imp_cli_option imp_cli_optimize_options[];
void imp_cli_optimize_defaults(void *settings);

#endif
