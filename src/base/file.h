/* Files: read whole with a bound, written to a temporary file and then renamed. imp_file_write and imp_file_can_write, in
 * impasto.h, stand here too. */
#ifndef IMP_BASE_FILE_H
#define IMP_BASE_FILE_H

#include <stdio.h>

#include "base/context.h"

/* Reads path into *bytes (released by imp_release) when it has at most limit bytes. The error names the path:
   "cat.jpg: No such file or directory", "cat.jpg: is a folder", "cat.jpg: 5000000000 bytes, more than the
   4294967296 that are read". An empty file is IMP_ERR_FORMAT: "cat.jpg: the file is empty". */
int imp_file_read(imp_context *context, const char *path, uint64_t limit, uint8_t **bytes, size_t *length);

/* A file being written beside its final path. */
typedef struct imp_file_writer {
    FILE *stream;
    char *path, *temporary;
} imp_file_writer;

/* Creates the temporary file, in path's own folder, with the permissions of the file that it will replace. */
int imp_file_writer_open(imp_context *context, const char *path, imp_file_writer *writer);

/* Flushes, syncs and renames over path; on failure the temporary file is gone and path is as it was. Always
 * ends the writer. */
int imp_file_writer_commit(imp_context *context, imp_file_writer *writer);

/* Removes the temporary file; fine on a writer that is ended already. */
void imp_file_writer_abandon(imp_context *context, imp_file_writer *writer);

#endif
