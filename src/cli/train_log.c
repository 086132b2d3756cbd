/* Writes the log of a training, and reads it back where one goes on. */
#include "cli/train_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"

#define MOST_POINTS 2000 /* of a whole training: as many as a screen has columns */
#define LINE 4096        /* bytes of a line of ours at most */

static const char *event_name(bool validation) {
    return validation ? "validation" : "step";
}

static bool add_point(imp_cli_train_log *log, const imp_cli_point *point) {
    if (log->count == log->room) {
        int room = log->room ? 2 * log->room : 64;
        imp_cli_point *grown = realloc(log->points, (size_t)room * sizeof *grown);
        if (!grown) return false;
        log->points = grown;
        log->room = room;
    }
    log->points[log->count++] = *point;
    return true;
}

static void print_losses(const imp_cli_train_log *log, FILE *stream, const double *losses) {
    fputs(",\"losses\":{", stream);
    for (int i = 0; imp_training_loss_name(log->training, i); i++) {
        if (i) putc(',', stream);
        imp_json_text(stream, imp_training_loss_name(log->training, i));
        putc(':', stream);
        imp_json_number(stream, losses[i]);
    }
    fputs("}}\n", stream);
}

/* progress: of a step; NULL for a validation. */
static void print_point(const imp_cli_train_log *log, FILE *stream, const imp_cli_point *point,
                        const imp_training_progress *progress) {
    fprintf(stream, "{\"event\":\"%s\",\"step\":%lld", event_name(point->validation), (long long)point->step);
    if (progress) {
        const struct {
            const char *name;
            double value;
        } fields[] = {{"stage", progress->stage},
                      {"learning_rate", progress->learning_rate},
                      {"gradient_norm", progress->gradient_norm},
                      {"pictures_per_second", progress->pictures_per_second},
                      {"seconds_left", progress->seconds_left}};
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            fprintf(stream, ",\"%s\":", fields[i].name);
            imp_json_number(stream, fields[i].value);
        }
    }
    print_losses(log, stream, point->losses);
}

static bool write_point(imp_cli_train_log *log, const imp_cli_point *point, const imp_training_progress *progress) {
    print_point(log, log->stream, point, progress);
    if (log->json) {
        print_point(log, stdout, point, progress);
        imp_cli_flush();
    }
    bool written = fflush(log->stream) == 0 && !ferror(log->stream);
    if (!written)
        imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", log->path, strerror(errno));
    else if (!(written = add_point(log, point)))
        imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    return written;
}

bool imp_cli_train_log_step(imp_cli_train_log *log, const imp_training_progress *progress, bool now) {
    log->sum.step++;
    for (int i = 0; i < IMP_TRAINING_MAX_LOSSES; i++) log->sum.losses[i] += progress->losses[i];
    if (!now && log->sum.step < log->every) return true;
    imp_cli_point point = log->sum;
    for (int i = 0; i < IMP_TRAINING_MAX_LOSSES; i++) point.losses[i] /= (double)log->sum.step;
    point.step = progress->step;
    log->sum = (imp_cli_point){0};
    return write_point(log, &point, progress);
}

bool imp_cli_train_log_validation(imp_cli_train_log *log, int64_t step, const double *losses) {
    imp_cli_point point = {.validation = true, .step = step};
    memcpy(point.losses, losses, sizeof point.losses);
    return write_point(log, &point, NULL);
}

/* ---- Reading back ------------------------------------------------------------------------------------------------ */

/* The number behind "name": in text; not a number where there is none. */
static double find_number(const char *text, const char *name) {
    char key[256];
    double number;
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    return at && sscanf(at + strlen(key), "%lf", &number) == 1 ? number : NAN;
}

/* A line of ours; false for what a killed process left of one. */
static bool read_point(const imp_cli_train_log *log, const char *line, imp_cli_point *point) {
    const char *losses = strstr(line, "\"losses\":{");
    double step = find_number(line, "step");
    if (!losses || !strstr(losses, "}}\n") || !(step >= 0 && step < 1e15)) return false;
    *point = (imp_cli_point){.step = (int64_t)step, .validation = strstr(line, "\"event\":\"validation\"") != NULL};
    for (int i = 0; imp_training_loss_name(log->training, i); i++)
        point->losses[i] = find_number(losses, imp_training_loss_name(log->training, i));
    return true;
}

/* Takes the lines up to a step as points, and writes them to `kept`. */
static bool keep_lines(imp_cli_train_log *log, FILE *old, FILE *kept, int64_t until) {
    char line[LINE];
    imp_cli_point point;
    while (fgets(line, sizeof line, old)) {
        if (!read_point(log, line, &point) || point.step > until) continue;
        if (!add_point(log, &point) || fputs(line, kept) < 0) return false;
    }
    return fflush(kept) == 0;
}

/* The old log without later steps takes its place; a log that is missing is no failure. */
static bool cut_log(imp_cli_train_log *log, int64_t until) {
    char path[IMP_CLI_PATH + 8];
    FILE *old = fopen(log->path, "r");
    if (!old) return errno == ENOENT;
    snprintf(path, sizeof path, "%s.new", log->path);
    FILE *kept = fopen(path, "w");
    bool done = kept && keep_lines(log, old, kept, until);
    if (kept) done = fclose(kept) == 0 && done;
    fclose(old);
    done = done && rename(path, log->path) == 0;
    if (!done) unlink(path);
    return done;
}

int imp_cli_train_log_open(imp_cli_train_log *log, const char *folder, const imp_training *training, int64_t steps,
                           int64_t until, bool json) {
    *log = (imp_cli_train_log){.training = training, .json = json, .every = (int)(1 + (steps - 1) / MOST_POINTS)};
    int length = snprintf(log->path, sizeof log->path, "%s/log.jsonl", folder);
    if (length < 0 || length >= IMP_CLI_PATH) return imp_cli_fail(IMP_CLI_FAILURE, "%s: the path is too long", folder);
    if (until == 0 || cut_log(log, until)) log->stream = fopen(log->path, until == 0 ? "w" : "a");
    return log->stream ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", log->path, strerror(errno));
}

void imp_cli_train_log_close(imp_cli_train_log *log) {
    if (log->stream) fclose(log->stream);
    free(log->points);
}
