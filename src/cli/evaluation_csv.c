/* The scores of `impasto evaluate` as a CSV file (RFC 4180): one line for each output, its floors and ceilings in it. */
#include <string.h>

#include "cli/evaluation.h"

static void write_text(FILE *stream, const char *text) {
    if (text[strcspn(text, ",\"\r\n")] == '\0' && *text != ' ') {
        fputs(text, stream);
        return;
    }
    putc('"', stream);
    for (; *text; text++) fputs(*text == '"' ? "\"\"" : (char[]){*text, '\0'}, stream);
    putc('"', stream);
}

static void write_head(const imp_cli_rows *rows, FILE *stream) {
    fputs("label,photo,style,output,other,width,height", stream);
    for (int i = 0; i < IMP_CLI_CANDIDATES; i++)
        for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++)
            fprintf(stream, i ? ",%s_%s" : ",%s", kind->key, imp_cli_candidate_keys[i]);
    for (int i = 0; i < rows->layer_count; i++) {
        const char *name = rows->items[0].layers[i].name;
        fprintf(stream, ",gram_similarity_%s,style_loss_%s,sliced_wasserstein_%s", name, name, name);
    }
    putc('\n', stream);
}

static void write_row(const imp_cli_rows *rows, const imp_cli_row *row, FILE *stream) {
    const char *texts[] = {row->triple->label, row->triple->photo, row->triple->style, row->triple->output,
                           row->other ? row->other : ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(stream, texts[i]);
        putc(',', stream);
    }
    fprintf(stream, "%d,%d", row->width, row->height);
    for (int i = 0; i < IMP_CLI_CANDIDATES; i++)
        for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++) {
            putc(',', stream);
            if (i != IMP_CLI_OTHER || row->other) fprintf(stream, "%.9g", imp_cli_score_of(&row->scores[i], kind));
        }
    for (int i = 0; i < rows->layer_count; i++)
        fprintf(stream, ",%.9g,%.9g,%.9g", row->layers[i].gram_similarity, row->layers[i].style_loss,
                row->layers[i].sliced_wasserstein);
    putc('\n', stream);
}

int imp_cli_write_csv(void *user, FILE *stream) {
    const imp_cli_rows *rows = user;
    write_head(rows, stream);
    for (int i = 0; i < rows->count; i++) write_row(rows, &rows->items[i], stream);
    return IMP_OK;
}
