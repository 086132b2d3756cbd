/* Shows how a painting comes along: a bar in a terminal, else lines, or JSON events. */
#ifndef IMP_CLI_PROGRESS_H
#define IMP_CLI_PROGRESS_H

#include <stdbool.h>

#include "impasto.h"

typedef struct imp_cli_progress {
    bool json, quiet;
    bool timed;           /* by --time: how many iterations there will be is not known */
    double shown_at;      /* imp_cli_seconds() of the last output */
    int scale;            /* that scale_seconds belongs to */
    double scale_seconds; /* of the run when the scale began */
    double seconds;       /* of the run at the last step */
} imp_cli_progress;

/* Called after each step: prints when it is time to, always when the step was the last. */
void imp_cli_progress_show(imp_cli_progress *shown, const imp_progress *progress);

#endif
