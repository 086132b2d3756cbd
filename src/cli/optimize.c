/* `impasto optimize`: checks all that can be checked, and paints the photos, those of one size together. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/group.h"
#include "cli/report.h"
#include "cli/system.h"

static bool is_painting(const void *user, const char *path) {
    (void)user;
    return imp_cli_is_file(path);
}

/* What the options that only this command has say together. */
static int check_options(imp_cli_optimize_job *job) {
    const imp_cli_optimize_settings *settings = job->settings;
    if (settings->styles.count == 0)
        return imp_cli_fail(IMP_CLI_USAGE, "--style is missing: the painting to take the manner of");
    if (settings->initial && settings->painting.start)
        return imp_cli_fail(IMP_CLI_USAGE, "--start and --init exclude each other");
    if (settings->painting.sketch_share != IMP_PRESET_VALUE && !settings->job.sketch)
        return imp_cli_fail(IMP_CLI_USAGE, "--sketch-share needs --sketch");
    for (int i = 0; i < settings->styles.count; i++) {
        imp_cli_style *style = &job->styles[i];
        const char *text = settings->styles.items[i];
        int code = imp_cli_split_weight("style", text, strlen(text), is_painting, NULL, style->path, &style->weight);
        if (code) return code;
    }
    return 0;
}

/* The outputs may replace older results, but none of the pictures that they are made from. */
static int check_outputs(const imp_cli_optimize_job *job) {
    const imp_cli_optimize_settings *settings = job->settings;
    int code = 0;
    for (int i = 0; i < job->base.photo_count && !code; i++) {
        const char *output = job->base.photos[i].output;
        for (int j = 0; j < settings->styles.count && !code; j++)
            if (imp_cli_same_file(output, job->styles[j].path))
                code = imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the painting itself; give another name", output);
        if (!code && settings->initial && imp_cli_same_file(output, settings->initial))
            code = imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the --init picture itself; give another name", output);
    }
    return code;
}

/* Everything that can fail early, but for photos that cannot be read: the others of a list are painted all the same. */
static int prepare(imp_cli_optimize_job *job, char **paths, int count) {
    int code = check_options(job);
    if (!code) code = imp_cli_job_begin(&job->base, &job->settings->job, paths, count);
    if (!code) code = check_outputs(job);
    return code ? code : imp_cli_job_open_models(&job->base);
}

/* All groups, one after the other. Returns the exit code of the first failure, or 0. */
static int paint_all(imp_cli_optimize_job *job) {
    int count = job->base.photo_count, code = imp_cli_job_find_sizes(&job->base);
    for (int next = 0; !job->base.hopeless && !imp_cli_signal();) {
        imp_cli_group group;
        int failure;
        next = imp_cli_next_photo(job->base.photos, count, next, NULL);
        if (next == count) break;
        bool begun = imp_cli_group_begin(job, next, &group, &failure);
        imp_cli_note_code(&code, failure);
        if (begun) imp_cli_note_code(&code, imp_cli_group_paint(&group));
        imp_painting_free(group.painting);
    }
    return code;
}

static int run_optimize(void *user, char **arguments, int count) {
    imp_cli_optimize_settings *settings = user;
    imp_cli_optimize_job *job = calloc(1, sizeof *job);
    if (!job) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    settings->painting.longer_side = settings->job.longer_side;
    settings->painting.enlarge = settings->job.enlarge;
    settings->painting.precision = settings->job.precision;
    job->settings = settings;
    int code = prepare(job, arguments, count);
    if (!code) code = imp_cli_job_tell_end(&job->base, paint_all(job));
    imp_cli_job_free(&job->base);
    free(job);
    return code;
}

const imp_cli_command imp_cli_optimize = {
    .name = "optimize",
    .arguments = "PHOTO...",
    .least = 1,
    .most = INT_MAX,
    .summary = "Paint photographs in the manner of one or more paintings.",
    .description =
        "Paints PHOTO in the manner of the paintings given with --style, by optimising the picture itself, and "
        "writes it to OUT. Several photos are written to the folder OUT under their own names; those that come out at "
        "the same size are painted together, which takes less time. A photo that cannot be read is named, and the "
        "others are painted. Ctrl-C stops early and writes what is painted so far.",
    .options = imp_cli_optimize_options,
    .settings_size = sizeof(imp_cli_optimize_settings),
    .defaults = imp_cli_optimize_defaults,
    .run = run_optimize};
