/* The crops that a training learns on: a function of their number, made ahead by threads of their own. */
#ifndef IMP_CLI_CROPS_H
#define IMP_CLI_CROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "impasto.h"

typedef struct imp_cli_crops imp_cli_crops;

/* path: the recipe's, for messages; base: where its relative paths begin. All must outlive the crops. Lists all pictures.
   Returns 0, or the exit code after saying what is wrong. */
int imp_cli_crops_create(const imp_recipe *recipe, const char *path, const char *base, imp_cli_crops **crops);
void imp_cli_crops_free(imp_cli_crops *crops);

/* For imp_training_create. Failures are said as they come; imp_cli_crops_said: whether one was since the last call. */
imp_training_source imp_cli_crops_source(imp_cli_crops *crops);
bool imp_cli_crops_said(imp_cli_crops *crops);

/* Has tell called once, before the first crop of "sample" is made: of those that are measured before the first step. */
void imp_cli_crops_on_sample(imp_cli_crops *crops, void (*tell)(void *user), void *user);

/* Starts threads that make the crops of "train" from number first on, up to depth of them ahead of what was taken. Where
   the system gives no thread, crops are made when they are asked for. */
void imp_cli_crops_prefetch(imp_cli_crops *crops, uint64_t first, int threads, int depth);

/* Makes crop number of the validation set as a picture of 8 bits, in context. */
int imp_cli_crops_validation(imp_cli_crops *crops, imp_context *context, int number, imp_image *image);

#endif
