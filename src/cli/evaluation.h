/* What `impasto evaluate` has found so far, and who tells of it: the table or events on standard output while it runs,
 * a CSV file and an HTML page at its end. */
#ifndef IMP_CLI_EVALUATION_H
#define IMP_CLI_EVALUATION_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/triples.h"
#include "impasto.h"

/* The output, and what its scores are to be read beside: floors and ceilings. */
typedef enum imp_cli_candidate {
    IMP_CLI_OUTPUT,
    IMP_CLI_UNTOUCHED, /* the photo as it was */
    IMP_CLI_OTHER,     /* another painting */
    IMP_CLI_ORIGINAL,  /* the painting itself */
    IMP_CLI_CANDIDATES
} imp_cli_candidate;

/* "untouched photo"; the key in files is "photo". */
extern const char *const imp_cli_candidate_titles[IMP_CLI_CANDIDATES];
extern const char *const imp_cli_candidate_keys[IMP_CLI_CANDIDATES];

typedef struct imp_cli_score {
    const char *key, *title; /* "gram_similarity", "Gram similarity" */
    const char *format;      /* of a double */
    size_t offset;           /* in imp_scores */
} imp_cli_score;
extern const imp_cli_score imp_cli_scores[]; /* up to one without a key */

/* The score of that kind. */
double imp_cli_score_of(const imp_scores *scores, const imp_cli_score *kind);

/* An output that was scored. */
typedef struct imp_cli_row {
    const imp_cli_triple *triple;
    const char *other; /* painting; NULL: there is none */
    int width, height;
    int label; /* the label's number, from 0 in the order in which they came */
    bool first_of_label;
    imp_scores scores[IMP_CLI_CANDIDATES]; /* IMP_CLI_OTHER: only with one */
    imp_layer_scores *layers;              /* [layer_count], of the output; freed with the row */
} imp_cli_row;

typedef struct imp_cli_rows {
    imp_cli_row *items; /* room for all triples */
    int count, layer_count;
    bool json; /* events on standard output in place of the table */
} imp_cli_rows;

/* Whether the row has the photo, painting, other painting and size of the one before it, and so their scores. */
bool imp_cli_shares_pair(const imp_cli_rows *rows, int index);

/* Numbers the label of the last row. */
void imp_cli_number_label(imp_cli_rows *rows);

/* The mean over the rows with that label (-1: all), those without the candidate left out; *count: how many. */
imp_scores imp_cli_mean(const imp_cli_rows *rows, int label, imp_cli_candidate candidate, int *count);

/* evaluation_table.c: the last row; after it, means by label and how many there were of all. */
void imp_cli_print_row(const imp_cli_rows *rows);
void imp_cli_print_means(const imp_cli_rows *rows, int tried);

/* evaluation_csv.c: one line for each row. For imp_file_write; user: imp_cli_rows. */
int imp_cli_write_csv(void *user, FILE *stream);

/* evaluation_page.c: an HTML page, complete in one file; its pictures are read once more. For imp_file_write. */
typedef struct imp_cli_page {
    imp_context *context;
    const imp_cli_rows *rows;
    const char *settings; /* in words */
} imp_cli_page;
int imp_cli_write_page(void *user, FILE *stream);

/* evaluation_plot.c: SSIM against Gram similarity, as SVG. */
void imp_cli_write_plot(const imp_cli_rows *rows, FILE *stream);

/* The colour of a row's point and of its name, one for each label. */
const char *imp_cli_row_color(const imp_cli_row *row);

#endif
