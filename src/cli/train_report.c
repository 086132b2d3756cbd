/* Writes report.html. */
#include "cli/train_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/html.h"
#include "cli/progress.h"
#include "cli/report.h"

enum { WIDTH = 760, HEIGHT = 220, LEFT = 70, BOTTOM = 24, TOP = 8, MOST_SHEETS = 6 };

bool imp_cli_train_sheet(const char *folder, int64_t step, char path[IMP_CLI_PATH]) {
    int length = snprintf(path, IMP_CLI_PATH, "%s/pictures/%08lld.jpg", folder, (long long)step);
    return length >= 0 && length < IMP_CLI_PATH;
}

/* ---- Curves ------------------------------------------------------------------------------------------------------ */

/* What a curve lies in: steps across, the logarithm of the loss upwards. */
typedef struct frame {
    int loss;
    double steps, low, high; /* low and high: decimal logarithms */
} frame;

/* Whether the point can be shown. */
static bool is_shown(const imp_cli_point *point, int loss) {
    return isfinite(point->losses[loss]) && point->losses[loss] > 0;
}

static bool find_frame(const imp_cli_train_log *log, int loss, frame *in) {
    *in = (frame){.loss = loss, .steps = 1, .low = INFINITY, .high = -INFINITY};
    for (int i = 0; i < log->count; i++) {
        const imp_cli_point *point = &log->points[i];
        if (!is_shown(point, loss)) continue;
        in->steps = fmax(in->steps, (double)point->step);
        in->low = fmin(in->low, log10(point->losses[loss]));
        in->high = fmax(in->high, log10(point->losses[loss]));
    }
    double least_height = 0.1; /* decades: else a flat curve would be all noise */
    if (in->high - in->low < least_height) in->high = in->low + least_height;
    return isfinite(in->low);
}

static double across(const frame *in, double step) {
    return LEFT + step / in->steps * (WIDTH - LEFT - 10);
}

static double upwards(const frame *in, double logarithm) {
    return TOP + (in->high - logarithm) / (in->high - in->low) * (HEIGHT - TOP - BOTTOM);
}

/* Lines at 1, 2 and 5 times powers of ten where there are few decades, else at powers. */
static void print_grid(FILE *stream, const frame *in) {
    static const double parts[] = {1, 2, 5};
    int kinds = in->high - in->low < 3 ? 3 : 1;
    for (int decade = (int)floor(in->low); decade <= in->high; decade++)
        for (int k = 0; k < kinds; k++) {
            double value = parts[k] * pow(10, decade), y = upwards(in, log10(value));
            if (y < TOP || y > HEIGHT - BOTTOM) continue;
            fprintf(stream, "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\">%g</text>\n", LEFT, y,
                    WIDTH - 10, LEFT - 6, y + 4, value);
        }
    fprintf(stream, "<text x=\"%d\" y=\"%d\">step %.0f</text>\n", WIDTH - 10, HEIGHT - 6, in->steps);
}

static void print_curve(FILE *stream, const imp_cli_train_log *log, int loss) {
    frame in;
    if (!find_frame(log, loss, &in)) return;
    fputs("<h3>", stream);
    imp_cli_write_html(stream, imp_training_loss_name(log->training, loss));
    fprintf(stream, "</h3>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\">\n", WIDTH, HEIGHT, WIDTH);
    print_grid(stream, &in);
    fputs("<path class=\"t\" d=\"", stream);
    char letter = 'M';
    for (int i = 0; i < log->count; i++) {
        const imp_cli_point *point = &log->points[i];
        if (point->validation || !is_shown(point, loss)) continue;
        fprintf(stream, "%c%.1f %.1f", letter, across(&in, (double)point->step),
                upwards(&in, log10(point->losses[loss])));
        letter = 'L';
    }
    fputs("\"/>\n", stream);
    for (int i = 0; i < log->count; i++) {
        const imp_cli_point *point = &log->points[i];
        if (!point->validation || !is_shown(point, loss)) continue;
        fprintf(stream, "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\"/>\n", across(&in, (double)point->step),
                upwards(&in, log10(point->losses[loss])));
    }
    fputs("</svg>\n", stream);
}

/* ---- Pictures ---------------------------------------------------------------------------------------------------- */

static void print_sheet(FILE *stream, const char *folder, int64_t step) {
    char path[IMP_CLI_PATH];
    FILE *from = imp_cli_train_sheet(folder, step, path) ? fopen(path, "rb") : NULL;
    if (!from) return; /* a network that paints nothing has none */
    fprintf(stream, "<h3>step %lld</h3>\n<img alt=\"\" src=\"data:image/jpeg;base64,", (long long)step);
    imp_cli_write_base64(stream, from);
    fputs("\">\n", stream);
    fclose(from);
}

/* The sheets of a few validations, evenly over all of them, the last one first. */
static void print_sheets(FILE *stream, const char *folder, const imp_cli_train_log *log) {
    int count = 0, at = 0;
    for (int i = 0; i < log->count; i++) count += log->points[i].validation;
    int shown = count < MOST_SHEETS ? count : MOST_SHEETS;
    for (int i = log->count - 1, left = shown; i >= 0 && left > 0; i--) {
        if (!log->points[i].validation) continue;
        bool due = shown == 1 || at * (shown - 1) >= (shown - left) * (count - 1);
        at++;
        if (!due) continue;
        print_sheet(stream, folder, log->points[i].step);
        left--;
    }
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

typedef struct page {
    const imp_cli_trainer *trainer;
    const char *folder;
    const imp_cli_train_log *log;
    const imp_training_progress *progress;
} page;

static void print_head(FILE *stream, const char *architecture) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Training of ", stream);
    imp_cli_write_html(stream, architecture);
    fputs("</title>\n<style>body{font:15px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
          "svg text{font:11px sans-serif;text-anchor:end;fill:#555}.g{stroke:#ddd}.t{fill:none;stroke:#15b;"
          "stroke-width:1.3}circle{fill:#d40}img{max-width:100%}pre{background:#f5f5f5;padding:1em;overflow:auto}"
          "</style>\n<h1>Training of ",
          stream);
    imp_cli_write_html(stream, architecture);
    fputs("</h1>\n", stream);
}

/* How far it is. */
static void print_progress(FILE *stream, const page *shown) {
    const imp_training_progress *progress = shown->progress;
    char time[IMP_CLI_DURATION_TEXT];
    const char *stage = imp_recipe_stage_name(shown->trainer->recipe, progress->stage - 1);
    fprintf(stream, "<p>Step %lld of %lld, stage %d of %d", (long long)progress->step, (long long)progress->steps,
            progress->stage, progress->stages);
    if (stage && *stage) {
        fputs(" (", stream);
        imp_cli_write_html(stream, stage);
        fputs(")", stream);
    }
    fprintf(stream, "; the last run: %s at %.3g pictures a second. Impasto %s.</p>\n",
            imp_cli_duration_text(time, progress->seconds), progress->pictures_per_second, imp_version());
}

/* For imp_file_write, which sees what cannot be written. */
static int print_report(void *user, FILE *stream) {
    const page *shown = user;
    const imp_recipe_info *info = &shown->trainer->info;
    print_head(stream, info->architecture);
    print_progress(stream, shown);
    fputs("<h2>Losses</h2>\n<p>Lines: the mean over steps. Dots: validation, with averaged weights. Logarithmic.</p>\n",
          stream);
    for (int i = 0; imp_training_loss_name(shown->log->training, i); i++) print_curve(stream, shown->log, i);
    fputs("<h2>Pictures</h2>\n<p>Photos on the left, then each style in the order of the recipe.</p>\n", stream);
    print_sheets(stream, shown->folder, shown->log);
    fputs("<h2>Recipe</h2>\n<pre>", stream);
    imp_cli_write_html(stream, info->text);
    fputs("</pre>\n</html>\n", stream);
    return IMP_OK;
}

int imp_cli_train_report(const imp_cli_trainer *trainer, const char *folder, const imp_cli_train_log *log,
                         const imp_training_progress *progress) {
    char path[IMP_CLI_PATH + 16];
    page shown = {trainer, folder, log, progress};
    snprintf(path, sizeof path, "%s/report.html", folder);
    int status = imp_file_write(trainer->context, path, print_report, &shown);
    return status ? imp_cli_fail_status(trainer->context, status) : 0;
}
