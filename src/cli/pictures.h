/* Lists of picture files: of a folder or a text file, in a fixed order, with those remembered that cannot be read. */
#ifndef IMP_CLI_PICTURES_H
#define IMP_CLI_PICTURES_H

#include <pthread.h>
#include <stdbool.h>

#include "cli/models_folder.h"
#include "impasto.h"

typedef struct imp_cli_listed {
    char *path;
    int line; /* of the list; 0: of a folder */
} imp_cli_listed;

typedef struct imp_cli_pictures {
    const char *recipe;     /* that named them, */
    char key[40];           /* and where in it: "data.sources[0].pictures" */
    char *file;             /* the list; NULL: a folder */
    imp_cli_listed *listed; /* [count] in the order of their bytes, or of the list */
    int count;
    bool *bad;    /* [count] that could not be read; behind mutex, as the two below are */
    char *told;   /* lines about bad ones that were not shown yet; NULL: none */
    char *failed; /* about the first one that there was no memory for; NULL: none */
    pthread_mutex_t mutex;
} imp_cli_pictures;

/* name after base, unless it is absolute; returns false when that is too long. */
bool imp_cli_path_beside(const char *base, const char *name, char path[IMP_CLI_PATH]);

/* Whether a file of that name is taken for a picture, by its ending. */
bool imp_cli_is_picture_name(const char *name);

/* source: a folder, whose files with a picture's ending are taken, or a text file with the path of one picture a line,
   relative to itself; relative to base. recipe, which must outlive the list, and key: where that stands, for messages.
   Returns 0, or the exit code after saying what is wrong. */
int imp_cli_pictures_list(const char *base, const char *source, const char *recipe, const char *key,
                          imp_cli_pictures *list);
void imp_cli_pictures_free(imp_cli_pictures *list); /* of a list that is all zero too */

/* Reads the picture at index, or the next one after it that can be read; from any thread. IMP_ERR_IO: none can.
   IMP_ERR_MEMORY: imp_cli_pictures_failure says which one was too large. */
int imp_cli_pictures_read(imp_cli_pictures *list, imp_context *context, int index, imp_image *image);

/* NULL where there was memory for all. */
const char *imp_cli_pictures_failure(imp_cli_pictures *list);

/* Warns of the pictures that were found bad since the last call. */
void imp_cli_pictures_tell(imp_cli_pictures *list);

#endif
