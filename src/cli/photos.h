/* The photos that a command is given: where each is written to, at what size it is painted, and which are painted
 * together. */
#ifndef IMP_CLI_PHOTOS_H
#define IMP_CLI_PHOTOS_H

#include <stdbool.h>

#include "cli/models_folder.h"
#include "impasto.h"

typedef struct imp_cli_photo {
    const char *path;
    char output[IMP_CLI_PATH];
    int width, height; /* of the result; 0: it has none */
    bool taken;        /* it was painted, or could not be */
} imp_cli_photo;

/* -o is a folder: where there are several photos, and where it is one or ends as one. */
bool imp_cli_is_output_folder(const char *output, int count);

/* Where each photo is to be written: output itself, or a file in it, of the photo's own name; its ending becomes .png
   where the photo's cannot be written, or with deep not in 16 bits. Checks that each can be, that no two are the same,
   and that none is one of the photos. photos: [count], with their paths. Returns 0, or the exit code after saying what
   is wrong. */
int imp_cli_name_outputs(imp_context *context, imp_cli_photo *photos, int count, const char *output, bool deep);

/* Whether a picture that ends so takes 16 bits a sample. */
bool imp_cli_takes_16_bits(const char *path);

/* Finds each photo's size in its file's header. Says which has none; returns the exit code of the first of those, or
   0. */
int imp_cli_find_sizes(imp_context *context, imp_cli_photo *photos, int count, const imp_painting_options *options);

/* The first photo from index on that is not taken and, where size is not NULL, is of the size of that one; count: none
   is left. */
int imp_cli_next_photo(const imp_cli_photo *photos, int count, int index, const imp_cli_photo *size);

#endif
