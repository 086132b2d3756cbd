/* `impasto optimize`: checks all that can be checked, and paints the photos, those of one size together. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/group.h"
#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

#define MAX_STYLE_WEIGHT 1e6

/* Splits "painting.jpg:2". A file of that whole name comes first; a weight is what follows the last colon when it reads
   as a number, or when what stands before is a file: then a wrong weight is called so. */
static int parse_style(const char *text, imp_cli_style *style) {
    const char *colon = strrchr(text, ':');
    style->weight = 1;
    if (strlen(text) >= sizeof style->path) return imp_cli_fail(IMP_CLI_USAGE, "--style: the path is too long");
    strcpy(style->path, text);
    if (!colon || colon == text || imp_cli_is_file(text)) return 0;
    style->path[colon - text] = '\0';
    bool is_number = imp_cli_number(colon + 1, &style->weight);
    if (is_number && style->weight > 0 && style->weight <= MAX_STYLE_WEIGHT) return 0;
    if (is_number || imp_cli_is_file(style->path))
        return imp_cli_fail(IMP_CLI_USAGE, "--style: the weight '%s' of %s is not a number above 0 and up to %g",
                            colon + 1, style->path, MAX_STYLE_WEIGHT);
    strcpy(style->path, text);
    style->weight = 1;
    return 0;
}

/* What the options say together. */
static int check_options(imp_cli_job *job) {
    const imp_cli_optimize_settings *settings = job->settings;
    if (settings->styles.count == 0)
        return imp_cli_fail(IMP_CLI_USAGE, "--style is missing: the painting to take the manner of");
    if (!settings->output) return imp_cli_fail(IMP_CLI_USAGE, "-o is missing: the picture to write");
    if (settings->initial && settings->painting.start)
        return imp_cli_fail(IMP_CLI_USAGE, "--start and --init exclude each other");
    if (settings->quiet && settings->verbose)
        return imp_cli_fail(IMP_CLI_USAGE, "--quiet and --verbose exclude each other");
    if (settings->depth && strcmp(settings->depth, "16") == 0 &&
        !imp_cli_is_output_folder(settings->output, job->photo_count) && !imp_cli_takes_16_bits(settings->output))
        return imp_cli_fail(IMP_CLI_USAGE, "--depth: 16 bits need an output that ends in .png or .tif");
    for (int i = 0; i < settings->styles.count; i++) {
        int code = parse_style(settings->styles.items[i], &job->styles[i]);
        if (code) return code;
    }
    return 0;
}

/* The outputs may replace older results, but none of the pictures that they are made from. */
static int check_outputs(const imp_cli_job *job) {
    const imp_cli_optimize_settings *settings = job->settings;
    bool deep = settings->depth && strcmp(settings->depth, "16") == 0;
    int code = imp_cli_name_outputs(job->context, job->photos, job->photo_count, settings->output, deep);
    for (int i = 0; i < job->photo_count && !code; i++) {
        const char *output = job->photos[i].output;
        for (int j = 0; j < settings->styles.count && !code; j++)
            if (imp_cli_same_file(output, job->styles[j].path))
                code = imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the painting itself; give another name", output);
        if (!code && settings->initial && imp_cli_same_file(output, settings->initial))
            code = imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the --init picture itself; give another name", output);
    }
    return code;
}

/* The library's warnings, and with --verbose the rest of what it tells. */
static void log_line(void *user, imp_log_level level, const char *message) {
    const imp_cli_optimize_settings *settings = user;
    if (level == IMP_LOG_WARNING) {
        imp_cli_warn("%s", message);
    } else if (settings->verbose && !settings->json) {
        imp_cli_bar_end();
        puts(message);
    }
}

static int create_context(imp_cli_job *job, size_t memory_limit) {
    const imp_cli_optimize_settings *settings = job->settings;
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = settings->threads;
    options.memory_limit = memory_limit;
    options.instruction_set = settings->instruction_set;
    options.log = log_line;
    options.user = (void *)(uintptr_t)settings; /* comes back to log_line, which takes it as const */
    int status = imp_context_create(&options, &job->context);
    return status ? imp_cli_fail_status(job->context, status) : 0;
}

/* Opens the model, and begins a context for all that follows: what the program and the model take, which the limit
   counts too, is known only then. */
static int open_model(imp_cli_job *job, imp_model **model) {
    int code = imp_cli_open_model(job->context, job->settings->model, model);
    job->model = *model;
    if (code || !job->settings->memory_limit) return code;
    imp_context_free(job->context);
    job->context = NULL;
    return create_context(job, imp_cli_limit_beside(*model, job->settings->memory_limit));
}

/* Everything that can fail early, but for photos that cannot be read: the others of a list are painted all the same. */
static int prepare(imp_cli_job *job, imp_model **model) {
    int code = check_options(job);
    if (!code) code = create_context(job, job->settings->memory_limit);
    if (!code) code = check_outputs(job);
    if (!code) code = open_model(job, model);
    return code;
}

static int find_sizes(imp_cli_job *job) {
    imp_painting_options options = job->settings->painting;
    options.enlarge = job->settings->enlarge;
    int code = imp_cli_find_sizes(job->context, job->photos, job->photo_count, &options);
    for (int i = 0; i < job->photo_count; i++) job->tried += job->photos[i].taken;
    return code;
}

/* All groups, one after the other. Returns the exit code of the first failure, or 0. */
static int paint_all(imp_cli_job *job) {
    int count = job->photo_count, code = count > 1 ? find_sizes(job) : 0;
    for (int next = 0; !job->hopeless && !imp_cli_signal();) {
        imp_cli_group group;
        int failure;
        next = imp_cli_next_photo(job->photos, count, next, NULL);
        if (next == count) break;
        bool begun = imp_cli_group_begin(job, next, &group, &failure);
        if (!code) code = failure;
        failure = begun ? imp_cli_group_paint(&group) : 0;
        if (!code) code = failure;
        imp_painting_free(group.painting);
    }
    return imp_cli_signal() ? 128 + imp_cli_signal() : code; /* as a shell reports who is ended by a signal */
}

static void print_end(const imp_cli_job *job, double seconds) {
    if (job->photo_count == 1 || job->settings->json || job->settings->quiet) return;
    printf("%d of %d photos in %.1f s", job->painted, job->photo_count, seconds);
    if (job->painted > 0) printf(", %.0f an hour", job->painted / seconds * 3600);
    putchar('\n');
}

static int run_optimize(void *settings, char **arguments, int count) {
    double begin = imp_cli_seconds();
    imp_model *model = NULL;
    imp_cli_job *job = calloc(1, sizeof *job);
    imp_cli_photo *photos = calloc((size_t)count, sizeof *photos);
    int code = job && photos ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    if (!code) {
        job->settings = settings;
        job->photos = photos;
        job->photo_count = count;
        for (int i = 0; i < count; i++) photos[i].path = arguments[i];
        code = prepare(job, &model);
        if (!code) {
            code = paint_all(job);
            print_end(job, imp_cli_seconds() - begin);
        }
        imp_model_free(model);
        imp_context_free(job->context);
    }
    free(photos);
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
