/* The names by which the models in a folder are known. */
#ifndef IMP_CLI_MODEL_NAMES_H
#define IMP_CLI_MODEL_NAMES_H

#include <stdbool.h>

typedef struct imp_cli_model_names {
    char **names; /* [count] */
    int count;
} imp_cli_model_names;

/* Adds the names of the folder's models, in the order of their bytes; a folder that is not there has none. False without
   memory for all of them. imp_cli_model_names_free then, too. */
bool imp_cli_model_names_add(imp_cli_model_names *list, const char *folder);
void imp_cli_model_names_free(imp_cli_model_names *list);

/* The one that a mistyped word was meant to be; NULL: none is near. */
const char *imp_cli_model_names_nearest(const imp_cli_model_names *list, const char *word);

#endif
