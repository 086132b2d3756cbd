/* What is to be evaluated: which photo, painting and output belong together, from arguments, folders or a list. */
#ifndef IMP_CLI_TRIPLES_H
#define IMP_CLI_TRIPLES_H

typedef struct imp_cli_triple {
    char *photo, *style, *output, *label; /* label: "" for none */
} imp_cli_triple;

typedef struct imp_cli_triples {
    imp_cli_triple *items;
    int count;
    int missing; /* outputs whose photo or painting is not in its folder: they were named */
} imp_cli_triples;

/* From outputs, each a file or a folder of pictures, whose name is then the label. photo and style: a file for all of
   them, or a folder in which each has one of its own name, whatever that ends in. Returns 0, or the exit code after
   saying what is wrong. */
int imp_cli_triples_from_outputs(imp_cli_triples *triples, char **outputs, int count, const char *photo,
                                 const char *style);

/* From a CSV file with the columns photo, style, output and, if wanted, label, in any order; paths are seen from the
   file's own folder. */
int imp_cli_triples_from_list(imp_cli_triples *triples, const char *path);

void imp_cli_triples_free(imp_cli_triples *triples);

#endif
