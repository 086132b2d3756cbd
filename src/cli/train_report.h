/* The report of a training: one HTML file with curves, pictures and settings in it. */
#ifndef IMP_CLI_TRAIN_REPORT_H
#define IMP_CLI_TRAIN_REPORT_H

#include "cli/train_log.h"

/* Writes folder/report.html anew, with the sheets folder/pictures/NNNNNNNN.jpg of the log's validations (a few of them,
   the last too). Returns 0, or the exit code after saying what is wrong. */
int imp_cli_train_report(const imp_cli_trainer *trainer, const char *folder, const imp_cli_train_log *log,
                         const imp_training_progress *progress);

/* folder/pictures/NNNNNNNN.jpg of a step; false when that is too long. */
bool imp_cli_train_sheet(const char *folder, int64_t step, char path[IMP_CLI_PATH]);

#endif
