/* Reads a table of comma-separated values (RFC 4180): quoted fields, "" for a quote in one, any line ends. */
#ifndef IMP_CLI_CSV_H
#define IMP_CLI_CSV_H

#include <stdbool.h>

typedef struct imp_cli_csv {
    const char *path; /* for messages */
    char *text;       /* the whole file; fields are made in it */
    char *at;
    int line; /* of the last record, from 1 */
    int next_line;
} imp_cli_csv;

/* Returns 0, or the exit code after saying what is wrong. */
int imp_cli_csv_open(const char *path, imp_cli_csv *csv);

/* The next record's fields, at most that many; they stay until the end. Lines without any text are left out. Returns how
   many there are, 0 past the last record, -1 after saying what is wrong. */
int imp_cli_csv_next(imp_cli_csv *csv, char **fields, int most);

void imp_cli_csv_close(imp_cli_csv *csv);

#endif
