/* Shows how a painting comes along: a bar in a terminal, else lines, or JSON events. */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

#include "cli/report.h"
#include "cli/system.h"

/* Seconds between two outputs. */
static const double bar_interval = 0.1, line_interval = 1.0;

enum { BAR_TEXT = 512 };

const char *imp_cli_duration_text(char buffer[IMP_CLI_DURATION_TEXT], double seconds) {
    if (!(seconds >= 0 && seconds < 1e7)) return "?";
    long whole = (long)(seconds + 0.5);
    if (whole < 60)
        snprintf(buffer, IMP_CLI_DURATION_TEXT, "%ld s", whole);
    else if (whole < 3600)
        snprintf(buffer, IMP_CLI_DURATION_TEXT, "%ld min %02ld s", whole / 60, whole % 60);
    else
        snprintf(buffer, IMP_CLI_DURATION_TEXT, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
    return buffer;
}

/* Iterations a second on this scale: the scales before were faster, and say nothing of it. */
static double iteration_rate(imp_cli_progress *shown, const imp_progress *progress) {
    if (progress->scale != shown->scale) {
        shown->scale = progress->scale;
        shown->scale_seconds = shown->seconds;
    }
    shown->seconds = progress->seconds;
    double seconds = progress->seconds - shown->scale_seconds;
    return seconds > 0 ? progress->scale_iteration / seconds : 0;
}

static void show_json(const char *photo, const imp_progress *progress, double rate) {
    const struct {
        const char *name;
        double value;
    } fields[] = {
        {"scale", progress->scale},           {"scales", progress->scales},
        {"width", progress->width},           {"height", progress->height},
        {"iteration", progress->iteration},   {"iterations", progress->iterations},
        {"total_loss", progress->total_loss}, {"content_loss", progress->content_loss},
        {"style_loss", progress->style_loss}, {"iterations_per_second", rate},
        {"seconds", progress->seconds},       {"seconds_left", progress->seconds_left},
    };
    fputs("{\"event\":\"progress\",\"photo\":", stdout);
    imp_json_text(stdout, photo);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        printf(",\"%s\":", fields[i].name);
        imp_json_number(stdout, fields[i].value);
    }
    fputs("}\n", stdout);
    imp_cli_flush();
}

/* "120/500", or "120" when the end is told by the time. */
enum { COUNT_TEXT = 32 };
static const char *count_text(char buffer[COUNT_TEXT], const imp_cli_progress *shown, const imp_progress *progress) {
    if (shown->timed)
        snprintf(buffer, COUNT_TEXT, "%d", progress->iteration);
    else
        snprintf(buffer, COUNT_TEXT, "%d/%d", progress->iteration, progress->iterations);
    return buffer;
}

static void show_line(const imp_cli_progress *shown, const imp_progress *progress, double rate) {
    char count[COUNT_TEXT], left[IMP_CLI_DURATION_TEXT];
    if (shown->photos) printf("photos %s, ", shown->photos);
    printf("iteration %s, scale %d/%d (%dx%d), loss %.5g, %.3g iterations/s, %s left\n",
           count_text(count, shown, progress), progress->scale, progress->scales, progress->width, progress->height,
           progress->total_loss, rate, imp_cli_duration_text(left, progress->seconds_left));
    imp_cli_flush();
}

/* "[####......]" of length columns, or nothing where there is no room for one. */
static void draw_bar(char *text, int length, double part) {
    enum { SHORTEST = 8 };
    if (length < SHORTEST) return;
    int inside = length - 3, filled = (int)(part * inside + 0.5);
    size_t at = strlen(text);
    text[at++] = '[';
    for (int i = 0; i < inside; i++) text[at++] = i < filled ? '#' : '.';
    memcpy(text + at, "] ", 3);
}

static void show_bar(const imp_cli_progress *shown, const imp_progress *progress, double rate, int width) {
    char head[64], tail[192], text[BAR_TEXT] = "", count[COUNT_TEXT], left[IMP_CLI_DURATION_TEXT];
    /* Of the time, not of the iterations: those of the last scale take the longest. */
    double seconds = progress->seconds + progress->seconds_left;
    double part = progress->done || !(seconds > 0) ? 1 : progress->seconds / seconds;
    if (width > BAR_TEXT - 4) width = BAR_TEXT - 4;
    snprintf(head, sizeof head, "%s%s%3.0f%% ", shown->photos ? shown->photos : "", shown->photos ? " " : "",
             100 * part);
    snprintf(tail, sizeof tail, "%s left  %s  scale %d/%d %dx%d  loss %.4g  %.3g it/s",
             imp_cli_duration_text(left, progress->seconds_left), count_text(count, shown, progress), progress->scale,
             progress->scales, progress->width, progress->height, progress->total_loss, rate);
    strcpy(text, head);
    int room = width - 1 - (int)strlen(head) - (int)strlen(tail);
    enum { LONGEST_BAR = 30 };
    draw_bar(text, room < LONGEST_BAR ? room : LONGEST_BAR, part < 1 ? part : 1);
    strncat(text, tail, sizeof text - strlen(text) - 1);
    text[width - 1] = '\0'; /* a line that wraps could not be drawn over; the most wanted stands in front */
    imp_cli_bar(text);
}

const char *imp_cli_photos_text(char buffer[IMP_CLI_PHOTOS_TEXT], int taken, int together, int all) {
    if (together > 1)
        snprintf(buffer, IMP_CLI_PHOTOS_TEXT, "%d-%d/%d", taken - together + 1, taken, all);
    else
        snprintf(buffer, IMP_CLI_PHOTOS_TEXT, "%d/%d", taken, all);
    return buffer;
}

void imp_cli_progress_show(imp_cli_progress *shown, const char *photo, const imp_progress *progress) {
    double rate = iteration_rate(shown, progress), now = imp_cli_seconds();
    if (shown->quiet) return;
    if (shown->json) {
        show_json(photo, progress, rate);
        return;
    }
    int width = imp_cli_terminal_width();
    if (!progress->done && now - shown->shown_at < (width ? bar_interval : line_interval)) return;
    shown->shown_at = now;
    if (width)
        show_bar(shown, progress, rate, width);
    else
        show_line(shown, progress, rate);
}
