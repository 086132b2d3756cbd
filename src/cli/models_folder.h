/* Where model files are, and how a name or a path becomes an open model. */
#ifndef IMP_CLI_MODELS_FOLDER_H
#define IMP_CLI_MODELS_FOLDER_H

#include <stdbool.h>

#include "impasto.h"

enum { IMP_CLI_PATH = 4096 };
#define IMP_CLI_MODEL_ENDING ".safetensors"

/* The folders that are searched, in order: the user's, then those beside the program; false past the last. */
bool imp_cli_models_folder(int index, char folder[IMP_CLI_PATH]);

/* The user's own folder, where imports go; false when there is none (no HOME). */
bool imp_cli_models_home(char folder[IMP_CLI_PATH]);

/* Makes the folder and those above it; false with errno. */
bool imp_cli_make_folder(const char *folder);

/* The file that model names: a path when it has a '/' or is a file, else a name to look for in the folders; NULL is
   "vgg19". Returns 0, or the exit code after saying how to get one. */
int imp_cli_find_model(const char *model, char path[IMP_CLI_PATH]);

/* The memory limit of a context in which this model is used, so that the process takes no more than limit in all. */
size_t imp_cli_limit_beside(const imp_model *model, size_t limit);

/* Finds and opens; returns 0, or the exit code after saying what is wrong. */
int imp_cli_open_model(imp_context *context, const char *model, imp_model **opened);

#endif
