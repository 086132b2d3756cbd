/* Shows how a painting comes along: a bar in a terminal, else lines, or JSON events. */
#ifndef IMP_CLI_PROGRESS_H
#define IMP_CLI_PROGRESS_H

#include <stdbool.h>

#include "impasto.h"

typedef struct imp_cli_progress {
    bool json, quiet;
    const char *photos;   /* which of several, in front of a bar or line; NULL: there is one */
    bool timed;           /* by --time: how many iterations there will be is not known */
    double shown_at;      /* imp_cli_seconds() of the last output */
    int scale;            /* that scale_seconds belongs to */
    double scale_seconds; /* of the run when the scale began */
    double seconds;       /* of the run at the last step */
} imp_cli_progress;

/* "9-16/20" in buffer, which is returned: the last of so many that were taken, of all. */
enum { IMP_CLI_PHOTOS_TEXT = 40 };
const char *imp_cli_photos_text(char buffer[IMP_CLI_PHOTOS_TEXT], int taken, int together, int all);

/* "48 s", "3 min 20 s", "1 h 05 min" */
enum { IMP_CLI_DURATION_TEXT = 32 };
const char *imp_cli_duration_text(char buffer[IMP_CLI_DURATION_TEXT], double seconds);

/* Called after each step: prints when it is time to, always when the step was the last. photo: whose event it is in
   JSON, where each photo of several has its own. */
void imp_cli_progress_show(imp_cli_progress *shown, const char *photo, const imp_progress *progress);

#endif
