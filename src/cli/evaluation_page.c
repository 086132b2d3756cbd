/* The HTML page of `impasto evaluate`: trade-off plot, means, and each pair's pictures and scores. Pictures stand in the
 * page itself, made small: a page is one file, which can be sent and kept. They are read again, one at a time, so that
 * memory does not grow with their number. */
#include <stdlib.h>
#include <string.h>

#include "cli/evaluation.h"
#include "cli/html.h"
#include "impasto_picture.h"

enum { THUMBNAIL_SIDE = 240 }; /* pixels of the longer one */

/* The picture made small, as the bytes of a JPEG, which the caller frees. */
static int make_thumbnail(imp_context *context, const char *path, char **bytes, size_t *length) {
    imp_image picture = {.size = sizeof picture}, small = {.size = sizeof small};
    int width, height;
    imp_painting_options options;
    imp_painting_options_default(&options);
    options.longer_side = THUMBNAIL_SIDE;
    int status = imp_picture_read(context, path, &picture);
    if (!status) status = imp_painting_size(context, picture.width, picture.height, &options, &width, &height);
    if (!status) status = imp_image_resize(context, &picture, width, height, &small);
    imp_image_release(context, &picture);
    if (status) return status;
    *bytes = NULL;
    FILE *memory = open_memstream(bytes, length);
    status = memory ? imp_picture_encode(context, ".jpg", &small, 0, memory) : IMP_ERR_MEMORY;
    if (memory && fclose(memory) != 0 && !status) status = IMP_ERR_MEMORY;
    imp_image_release(context, &small);
    return status;
}

/* A figure with its words; a picture that can no longer be read is left out of it. */
static void write_figure(const imp_cli_page *page, const char *path, const char *words, const char *color,
                         FILE *stream) {
    char *bytes = NULL;
    size_t length = 0;
    fputs("<figure>", stream);
    if (make_thumbnail(page->context, path, &bytes, &length) == IMP_OK) {
        FILE *from = fmemopen(bytes, length, "rb");
        fputs("<img src=\"data:image/jpeg;base64,", stream);
        if (from) imp_cli_write_base64(stream, from);
        if (from) fclose(from);
        fputs("\" alt=\"", stream);
        imp_cli_write_html(stream, words);
        fputs("\">", stream);
    }
    free(bytes);
    fprintf(stream, "<figcaption style=\"color:%s\">", color);
    imp_cli_write_html(stream, words);
    fputs("</figcaption></figure>\n", stream);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static void write_table_head(const char *first, FILE *stream) {
    fprintf(stream, "<table><tr><th>%s</th>", first);
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++) fprintf(stream, "<th>%s</th>", kind->title);
    fputs("</tr>\n", stream);
}

static void write_table_row(const char *name, const char *color, const imp_scores *scores, FILE *stream) {
    fprintf(stream, "<tr><th style=\"color:%s\">", color);
    imp_cli_write_html(stream, name);
    fputs("</th>", stream);
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++) {
        fputs("<td>", stream);
        fprintf(stream, kind->format, imp_cli_score_of(scores, kind));
        fputs("</td>", stream);
    }
    fputs("</tr>\n", stream);
}

#define PLAIN "#333" /* colour of what has no label */

static void write_means(const imp_cli_rows *rows, FILE *stream) {
    int count;
    fputs("<h2>Means</h2>\n", stream);
    write_table_head("", stream);
    for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++) {
        imp_scores mean = imp_cli_mean(rows, -1, (imp_cli_candidate)i, &count);
        if (count) write_table_row(imp_cli_candidate_titles[i], PLAIN, &mean, stream);
    }
    for (int i = 0; i < rows->count; i++) {
        const imp_cli_row *row = &rows->items[i];
        if (!row->first_of_label) continue;
        imp_scores mean = imp_cli_mean(rows, row->label, IMP_CLI_OUTPUT, &count);
        write_table_row(*row->triple->label ? row->triple->label : "outputs", imp_cli_row_color(row), &mean, stream);
    }
    fputs("</table>\n", stream);
}

static const char *title_of(const imp_cli_row *row) {
    return *row->triple->label ? row->triple->label : row->triple->output;
}

static void write_layers(const imp_cli_rows *rows, int begin, int end, FILE *stream) {
    fputs("<details><summary>by layer</summary><table><tr><th></th><th>layer</th><th>Gram similarity</th><th>style "
          "loss</th><th>sliced Wasserstein</th></tr>\n",
          stream);
    for (int i = begin; i < end; i++)
        for (int j = 0; j < rows->layer_count; j++) {
            const imp_layer_scores *layer = &rows->items[i].layers[j];
            fprintf(stream, "<tr><th style=\"color:%s\">", imp_cli_row_color(&rows->items[i]));
            imp_cli_write_html(stream, title_of(&rows->items[i]));
            fprintf(stream, "</th><td>%s</td><td>%.4f</td><td>%.4g</td><td>%.4g</td></tr>\n", layer->name,
                    layer->gram_similarity, layer->style_loss, layer->sliced_wasserstein);
        }
    fputs("</table></details>\n", stream);
}

/* The outputs of rows begin to end, which share a pair: pictures and scores. */
static void write_pair(const imp_cli_page *page, int begin, int end, FILE *stream) {
    const imp_cli_rows *rows = page->rows;
    const imp_cli_row *first = &rows->items[begin];
    fputs("<h2>", stream);
    imp_cli_write_html(stream, first->triple->photo);
    fputs(" as ", stream);
    imp_cli_write_html(stream, first->triple->style);
    fprintf(stream, ", %d&#215;%d</h2>\n<div class=\"pictures\">\n", first->width, first->height);
    write_figure(page, first->triple->photo, "photo", PLAIN, stream);
    write_figure(page, first->triple->style, "painting", PLAIN, stream);
    if (first->other) write_figure(page, first->other, imp_cli_candidate_titles[IMP_CLI_OTHER], PLAIN, stream);
    for (int i = begin; i < end; i++)
        write_figure(page, rows->items[i].triple->output, title_of(&rows->items[i]), imp_cli_row_color(&rows->items[i]),
                     stream);
    fputs("</div>\n", stream);
    write_table_head("", stream);
    for (int i = IMP_CLI_UNTOUCHED; i < IMP_CLI_CANDIDATES; i++)
        if (i != IMP_CLI_OTHER || first->other)
            write_table_row(imp_cli_candidate_titles[i], PLAIN, &first->scores[i], stream);
    for (int i = begin; i < end; i++)
        write_table_row(rows->items[i].triple->output, imp_cli_row_color(&rows->items[i]),
                        &rows->items[i].scores[IMP_CLI_OUTPUT], stream);
    fputs("</table>\n", stream);
    write_layers(rows, begin, end, stream);
}

int imp_cli_write_page(void *user, FILE *stream) {
    const imp_cli_page *page = user;
    const imp_cli_rows *rows = page->rows;
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Impasto: evaluation</title>\n<style>"
          "body{font:15px/1.4 sans-serif;color:" PLAIN ";max-width:75em;margin:2em auto;padding:0 1em}"
          "h2{font-size:1.1em;margin-top:2em;overflow-wrap:anywhere}table{border-collapse:collapse;margin:.5em 0}"
          "th,td{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right;font-weight:normal}"
          "th:first-child{text-align:left;overflow-wrap:anywhere}figure{margin:0}"
          ".pictures{display:flex;flex-wrap:wrap;gap:1em}</style></head><body>\n<h1>Evaluation</h1>\n<p>",
          stream);
    imp_cli_write_html(stream, page->settings);
    fputs("</p>\n", stream);
    imp_cli_write_plot(rows, stream);
    write_means(rows, stream);
    for (int begin = 0; begin < rows->count;) {
        int end = begin + 1;
        while (end < rows->count && imp_cli_shares_pair(rows, end)) end++;
        write_pair(page, begin, end, stream);
        begin = end;
    }
    fputs("</body></html>\n", stream);
    return IMP_OK;
}
