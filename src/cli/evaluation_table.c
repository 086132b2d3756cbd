/* What `impasto evaluate` prints while it runs: a table, or one JSON object a line. */
#include <stdio.h>
#include <string.h>

#include "cli/evaluation.h"
#include "cli/report.h"

enum { NAME_WIDTH = 16, LEAST_COLUMN = 7 }; /* "another painting" */

static int column_width(const imp_cli_score *kind) {
    int length = (int)strlen(kind->title);
    return length < LEAST_COLUMN ? LEAST_COLUMN : length;
}

/* A name in a column of its own; a longer one stands in a line of its own. */
static void print_name(const char *name) {
    fputs("  ", stdout);
    imp_cli_print_text(name);
    int length = (int)strlen(name);
    if (length > NAME_WIDTH) {
        printf("\n  ");
        length = 0;
    }
    printf("%*s", NAME_WIDTH - length, "");
}

static void print_scores(const char *name, const imp_scores *scores) {
    print_name(name);
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++) {
        char text[32];
        snprintf(text, sizeof text, kind->format, imp_cli_score_of(scores, kind));
        printf("  %*s", column_width(kind), text);
    }
    putchar('\n');
}

static void print_head(void) {
    print_name("");
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++)
        printf("  %*s", column_width(kind), kind->title);
    putchar('\n');
}

/* What all outputs of a pair share. */
static void print_pair(const imp_cli_row *row) {
    imp_cli_print_text(row->triple->photo);
    fputs(" as ", stdout);
    imp_cli_print_text(row->triple->style);
    printf(", %dx%d pixels", row->width, row->height);
    if (row->other) {
        fputs("; another painting: ", stdout);
        imp_cli_print_text(row->other);
    }
    putchar('\n');
    print_head();
    for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++)
        if (i != IMP_CLI_OTHER || row->other) print_scores(imp_cli_candidate_titles[i], &row->scores[i]);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void print_field(const char *before, const char *key, double value) {
    printf("%s\"%s\":", before, key);
    imp_json_number(stdout, value);
}

static void print_scores_json(const imp_scores *scores) {
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++)
        print_field(kind == imp_cli_scores ? "{" : ",", kind->key, imp_cli_score_of(scores, kind));
}

static void print_text_json(const char *before, const char *key, const char *text) {
    printf("%s\"%s\":", before, key);
    if (text)
        imp_json_text(stdout, text);
    else
        fputs("null", stdout);
}

static void print_row_json(const imp_cli_rows *rows, const imp_cli_row *row) {
    print_text_json("{\"event\":\"scores\",", "label", row->triple->label);
    print_text_json(",", "photo", row->triple->photo);
    print_text_json(",", "style", row->triple->style);
    print_text_json(",", "output", row->triple->output);
    print_text_json(",", "other", row->other);
    printf(",\"width\":%d,\"height\":%d,\"scores\":", row->width, row->height);
    print_scores_json(&row->scores[IMP_CLI_OUTPUT]);
    fputs(",\"layers\":{", stdout);
    for (int i = 0; i < rows->layer_count; i++) {
        const imp_layer_scores *layer = &row->layers[i];
        printf("%s\"%s\":", i ? "," : "", layer->name);
        print_field("{", "gram_similarity", layer->gram_similarity);
        print_field(",", "style_loss", layer->style_loss);
        print_field(",", "sliced_wasserstein", layer->sliced_wasserstein);
        putchar('}');
    }
    fputs("}},\"beside\":{", stdout);
    for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++) {
        if (i == IMP_CLI_OTHER && !row->other) continue;
        printf("%s\"%s\":", i > IMP_CLI_UNTOUCHED ? "," : "", imp_cli_candidate_keys[i]);
        print_scores_json(&row->scores[i]);
        putchar('}');
    }
    fputs("}}\n", stdout);
}

void imp_cli_print_row(const imp_cli_rows *rows) {
    const imp_cli_row *row = &rows->items[rows->count - 1];
    if (rows->json) {
        print_row_json(rows, row);
    } else {
        if (!imp_cli_shares_pair(rows, rows->count - 1)) {
            if (rows->count > 1) putchar('\n');
            print_pair(row);
        }
        print_scores(row->triple->output, &row->scores[IMP_CLI_OUTPUT]);
    }
    imp_cli_flush();
}

static void print_label_mean(const imp_cli_rows *rows, const imp_cli_row *row) {
    const char *label = row->triple->label;
    char name[256];
    int count;
    imp_scores mean = imp_cli_mean(rows, row->label, IMP_CLI_OUTPUT, &count);
    if (rows->json) {
        print_text_json("{\"event\":\"mean\",", "label", label);
        printf(",\"outputs\":%d,\"scores\":", count);
        print_scores_json(&mean);
        fputs("}}\n", stdout);
        return;
    }
    snprintf(name, sizeof name, "%s (%d)", *label ? label : "outputs", count);
    print_scores(name, &mean);
}

void imp_cli_print_means(const imp_cli_rows *rows, int tried) {
    if (!rows->json && rows->count > 1) {
        puts("\nmeans");
        print_head();
        for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++) {
            int count;
            imp_scores mean = imp_cli_mean(rows, -1, (imp_cli_candidate)i, &count);
            if (count) print_scores(imp_cli_candidate_titles[i], &mean);
        }
    }
    for (int i = 0; i < rows->count && rows->count > 1; i++)
        if (rows->items[i].first_of_label) print_label_mean(rows, &rows->items[i]);
    if (rows->json)
        printf("{\"event\":\"done\",\"evaluated\":%d,\"outputs\":%d}\n", rows->count, tried);
    else if (tried > 1)
        printf("%d of %d outputs evaluated\n", rows->count, tried);
}
