/* The log of a training: JSON lines in a file, and the same as points of curves in memory. */
#ifndef IMP_CLI_TRAIN_LOG_H
#define IMP_CLI_TRAIN_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/trainer.h"

typedef struct imp_cli_point {
    bool validation; /* else the mean over the steps since the last point */
    int64_t step;
    double losses[IMP_TRAINING_MAX_LOSSES];
} imp_cli_point;

typedef struct imp_cli_train_log {
    char path[IMP_CLI_PATH];
    FILE *stream;
    const imp_training *training; /* for the losses' names */
    bool json;                    /* each line goes to standard output too */
    int every;                    /* steps from one point to the next */
    imp_cli_point sum;            /* over the steps since the last one; its step counts them */
    imp_cli_point *points;
    int count, room;
} imp_cli_train_log;

/* Opens folder/log.jsonl. until: what it holds of later steps is taken out, and the rest becomes points; 0: it begins
   anew. Returns 0, or the exit code after saying what is wrong. */
int imp_cli_train_log_open(imp_cli_train_log *log, const imp_cli_trainer *trainer, const char *folder, int64_t until,
                           bool json);

/* After each step; now: a point is due whatever the interval. False when the file cannot be written, which was said. */
bool imp_cli_train_log_step(imp_cli_train_log *log, const imp_training_progress *progress, bool now);
bool imp_cli_train_log_validation(imp_cli_train_log *log, int64_t step, const double *losses);

/* Writes what is left of the steps since the last point; progress: of the last one. False as above. */
bool imp_cli_train_log_flush(imp_cli_train_log *log, const imp_training_progress *progress);

bool imp_cli_train_log_has_validation(const imp_cli_train_log *log, int64_t step);

void imp_cli_train_log_close(imp_cli_train_log *log);

#endif
