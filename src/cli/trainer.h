/* What every command that trains begins with: a recipe's file, its crops, the training. */
#ifndef IMP_CLI_TRAINER_H
#define IMP_CLI_TRAINER_H

#include "cli/crops.h"
#include "cli/models_folder.h"
#include "cli/shared_options.h"

enum { IMP_CLI_MAX_PREFETCH = 64 };

/* What such commands are told; the beginning of their settings. */
typedef struct imp_cli_trainer_settings {
    const char *data, *instruction_set;
    int threads, prefetch;
} imp_cli_trainer_settings;

typedef struct imp_cli_trainer {
    const imp_cli_trainer_settings *settings;
    char base[IMP_CLI_PATH]; /* where the recipe's paths begin */
    imp_context *context;
    imp_recipe *recipe;
    imp_recipe_info info;
    imp_cli_crops *crops;
    imp_training *training;
} imp_cli_trainer;

/* Reads and makes all of it. tell, which may be NULL: called where something is measured before the first step, which takes
   a while. Returns 0, or the exit code after saying what is wrong; imp_cli_trainer_close then, too. */
int imp_cli_trainer_open(imp_cli_trainer *trainer, const imp_cli_trainer_settings *settings, const char *path,
                         void (*tell)(void *user), void *user);
void imp_cli_trainer_close(imp_cli_trainer *trainer);

/* Starts the threads that make crops ahead, for the steps after that one. */
void imp_cli_trainer_prefetch(imp_cli_trainer *trainer, int64_t step);

/* The exit code for a status of the training, after saying what failed where the crops have not said it. */
int imp_cli_trainer_fail(const imp_cli_trainer *trainer, int status);

/* The options, with what a value is when it is not given. */
/* clang-format off: a table reads best as one */
#define IMP_CLI_TRAINER_OPTIONS(type, field)                                                                           \
    {"data",                                                                                                           \
     'd',                                                                                                              \
     .kind = IMP_CLI_TEXT,                                                                                             \
     .offset = offsetof(type, field.data),                                                                             \
     .value = "FOLDER",                                                                                                \
     .help = "Where relative paths in the recipe begin; the recipe's own folder where it is not given."},              \
        IMP_CLI_ROW_THREADS(.offset = offsetof(type, field.threads)),                                                  \
        {"prefetch",                                                                                                   \
         0,                                                                                                            \
         .kind = IMP_CLI_INTEGER,                                                                                      \
         .minimum = 1,                                                                                                 \
         .maximum = IMP_CLI_MAX_PREFETCH,                                                                              \
         .offset = offsetof(type, field.prefetch),                                                                     \
         .value = "N",                                                                                                 \
         .help = "Threads that read pictures and cut crops ahead; 1 where it is not given."},                          \
        IMP_CLI_ROW_INSTRUCTION_SET(.offset = offsetof(type, field.instruction_set))
/* clang-format on */

#endif
