/* The contact sheet of a validation: photos, and what the network makes of them. */
#ifndef IMP_CLI_TRAIN_SHEET_H
#define IMP_CLI_TRAIN_SHEET_H

#include "cli/trainer.h"

/* Writes folder/pictures/NNNNNNNN.jpg of the step; nothing for a network that paints nothing. Returns 0, or the exit
   code after saying what is wrong. */
int imp_cli_write_sheet(imp_cli_trainer *trainer, const char *folder, int64_t step);

#endif
