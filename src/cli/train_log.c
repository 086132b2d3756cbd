/* Writes the log of a training, and reads it back where one goes on. */
#include "cli/train_log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

bool imp_cli_train_log_flush(imp_cli_train_log *log, const imp_training_progress *progress) {
    imp_cli_point point = log->sum;
    if (point.step == 0) return true;
    for (int i = 0; i < IMP_TRAINING_MAX_LOSSES; i++) point.losses[i] /= (double)log->sum.step;
    point.step = progress->step;
    log->sum = (imp_cli_point){0};
    return write_point(log, &point, progress);
}

bool imp_cli_train_log_step(imp_cli_train_log *log, const imp_training_progress *progress, bool now) {
    log->sum.step++;
    for (int i = 0; i < IMP_TRAINING_MAX_LOSSES; i++) log->sum.losses[i] += progress->losses[i];
    return now || log->sum.step >= log->every ? imp_cli_train_log_flush(log, progress) : true;
}

bool imp_cli_train_log_validation(imp_cli_train_log *log, int64_t step, const double *losses) {
    imp_cli_point point = {.validation = true, .step = step};
    memcpy(point.losses, losses, sizeof point.losses);
    return write_point(log, &point, NULL);
}

bool imp_cli_train_log_has_validation(const imp_cli_train_log *log, int64_t step) {
    for (int i = 0; i < log->count; i++)
        if (log->points[i].validation && log->points[i].step == step) return true;
    return false;
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

typedef struct cut {
    imp_cli_train_log *log;
    FILE *old;
    int64_t until;
    int error; /* errno of what went wrong here */
} cut;

/* Takes the lines up to a step as points, and writes them to `kept`. For imp_file_write. */
static int keep_lines(void *user, FILE *kept) {
    cut *job = user;
    char line[LINE];
    imp_cli_point point;
    while (!job->error && fgets(line, sizeof line, job->old)) {
        if (!read_point(job->log, line, &point) || point.step > job->until) continue;
        if (!add_point(job->log, &point)) job->error = ENOMEM;
        fputs(line, kept); /* whose failure imp_file_write sees */
    }
    if (ferror(job->old)) job->error = errno;
    return job->error ? IMP_ERR_IO : IMP_OK;
}

/* The old log without later steps takes its place; a log that is missing is no failure. Returns 0 or the exit code. */
static int cut_log(imp_cli_train_log *log, imp_context *context, int64_t until) {
    cut job = {.log = log, .old = fopen(log->path, "r"), .until = until};
    if (!job.old && errno == ENOENT) return 0;
    if (!job.old) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", log->path, strerror(errno));
    int status = imp_file_write(context, log->path, keep_lines, &job);
    fclose(job.old);
    if (job.error) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", log->path, strerror(job.error));
    return status ? imp_cli_fail_status(context, status) : 0;
}

int imp_cli_train_log_open(imp_cli_train_log *log, const imp_cli_trainer *trainer, const char *folder, int64_t until,
                           bool json) {
    *log = (imp_cli_train_log){
        .training = trainer->training, .json = json, .every = (int)(1 + (trainer->info.steps - 1) / MOST_POINTS)};
    int length = snprintf(log->path, sizeof log->path, "%s/log.jsonl", folder);
    if (length < 0 || length >= IMP_CLI_PATH) return imp_cli_fail(IMP_CLI_FAILURE, "%s: the path is too long", folder);
    int code = until == 0 ? 0 : cut_log(log, trainer->context, until);
    if (code) return code;
    log->stream = fopen(log->path, until == 0 ? "w" : "a");
    return log->stream ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", log->path, strerror(errno));
}

void imp_cli_train_log_close(imp_cli_train_log *log) {
    if (log->stream) fclose(log->stream);
    free(log->points);
}
