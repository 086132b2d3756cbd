/* `impasto optimize`: checks all that can be checked, paints, and writes the picture, also when it is interrupted. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/models_folder.h"
#include "cli/optimize_options.h"
#include "cli/profile.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

#define MAX_STYLE_WEIGHT 1e6

typedef struct style_argument {
    char path[IMP_CLI_PATH];
    double weight;
} style_argument;

typedef struct optimize_run {
    const imp_cli_optimize_settings *settings;
    const char *photo;
    style_argument styles[IMP_CLI_MAX_TEXTS];
    imp_context *context;
    imp_model *model;
    imp_painting *painting;
    imp_estimate estimate;
    imp_progress progress; /* of the last step */
} optimize_run;

/* Splits "painting.jpg:2". A file of that whole name comes first; a weight is what follows the last colon when it reads
   as a number, or when what stands before is a file: then a wrong weight is called so. */
static int parse_style(const char *text, style_argument *style) {
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

static bool takes_16_bits(const char *path) {
    const char *ending = strrchr(path, '.');
    return ending &&
           (strcasecmp(ending, ".png") == 0 || strcasecmp(ending, ".tif") == 0 || strcasecmp(ending, ".tiff") == 0);
}

/* What the options say together. */
static int check_options(optimize_run *run) {
    const imp_cli_optimize_settings *settings = run->settings;
    if (settings->styles.count == 0)
        return imp_cli_fail(IMP_CLI_USAGE, "--style is missing: the painting to take the manner of");
    if (!settings->output) return imp_cli_fail(IMP_CLI_USAGE, "-o is missing: the picture to write");
    if (settings->initial && settings->painting.start)
        return imp_cli_fail(IMP_CLI_USAGE, "--start and --init exclude each other");
    if (settings->quiet && settings->verbose)
        return imp_cli_fail(IMP_CLI_USAGE, "--quiet and --verbose exclude each other");
    if (settings->depth && strcmp(settings->depth, "16") == 0 && !takes_16_bits(settings->output))
        return imp_cli_fail(IMP_CLI_USAGE, "--depth: 16 bits need an output that ends in .png or .tif");
    for (int i = 0; i < settings->styles.count; i++) {
        int code = parse_style(settings->styles.items[i], &run->styles[i]);
        if (code) return code;
    }
    return 0;
}

/* The output may replace an older result, but none of the pictures that it is made from. */
static int check_output(const optimize_run *run) {
    const imp_cli_optimize_settings *settings = run->settings;
    const char *output = settings->output;
    if (imp_cli_same_file(output, run->photo))
        return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the photo itself; give another name", output);
    for (int i = 0; i < settings->styles.count; i++)
        if (imp_cli_same_file(output, run->styles[i].path))
            return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the painting itself; give another name", output);
    if (settings->initial && imp_cli_same_file(output, settings->initial))
        return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the --init picture itself; give another name", output);
    int status = imp_picture_can_write(run->context, output);
    return status ? imp_cli_fail_status(run->context, status) : 0;
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

static int create_context(optimize_run *run, size_t memory_limit) {
    const imp_cli_optimize_settings *settings = run->settings;
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = settings->threads;
    options.memory_limit = memory_limit;
    options.instruction_set = settings->instruction_set;
    options.log = log_line;
    options.user = (void *)(uintptr_t)settings; /* comes back to log_line, which takes it as const */
    int status = imp_context_create(&options, &run->context);
    return status ? imp_cli_fail_status(run->context, status) : 0;
}

static int create_painting(optimize_run *run, const imp_image *photo, const imp_image *initial) {
    const imp_cli_optimize_settings *settings = run->settings;
    imp_painting_options options = settings->painting;
    options.enlarge = settings->enlarge;
    if (settings->keep_colors)
        options.keep_colors = strcmp(settings->keep_colors, "before") == 0 ? IMP_COLORS_BEFORE : IMP_COLORS_AFTER;
    if (initial->pixels) options.start_image = initial;
    int status = imp_painting_create(run->context, run->model, photo, &options, &run->painting);
    return status ? imp_cli_fail_status(run->context, status) : 0;
}

/* Opens the model, and begins a context for all that follows: what the program and the model take, which the limit
   counts too, is known only then. */
static int open_model(optimize_run *run) {
    int code = imp_cli_open_model(run->context, run->settings->model, &run->model);
    if (code || !run->settings->memory_limit) return code;
    imp_context_free(run->context);
    run->context = NULL;
    return create_context(run, imp_cli_limit_beside(run->model, run->settings->memory_limit));
}

/* Reads the photo and the start picture, and keeps them no longer than the painting needs to take its copies. */
static int start_painting(optimize_run *run) {
    imp_image photo = {.size = sizeof photo}, initial = {.size = sizeof initial};
    int code = 0, status = imp_picture_read(run->context, run->photo, &photo);
    if (!status && run->settings->initial) status = imp_picture_read(run->context, run->settings->initial, &initial);
    if (status) code = imp_cli_fail_status(run->context, status);
    if (!code) code = create_painting(run, &photo, &initial);
    imp_image_release(run->context, &photo);
    imp_image_release(run->context, &initial);
    return code;
}

static int add_style(optimize_run *run, const style_argument *style) {
    imp_image image = {.size = sizeof image};
    int status = imp_picture_read(run->context, style->path, &image);
    if (!status) status = imp_painting_add_style(run->painting, &image, style->weight);
    int code = status ? imp_cli_fail_status(run->context, status) : 0;
    imp_image_release(run->context, &image);
    return code;
}

/* Refuses what is known not to fit, and warns of what probably does not. --max-memory is the library's affair. */
static int check_memory(const optimize_run *run) {
    char needed_text[IMP_CLI_SIZE_TEXT], there_text[IMP_CLI_SIZE_TEXT];
    const double needed = (double)run->estimate.bytes;
    const double space = (double)imp_cli_address_space_left(), available = (double)imp_cli_memory_available();
    imp_cli_size_text(needed_text, needed);
    if (needed > space)
        return imp_cli_fail(IMP_CLI_FAILURE,
                            "this painting needs about %s, more than the %s that the limit of the "
                            "process (ulimit -v) leaves: give a smaller --size",
                            needed_text, imp_cli_size_text(there_text, space));
    if (needed > available)
        imp_cli_warn("this painting needs about %s, and only %s are free: it may be slow or be ended by the system; a "
                     "smaller --size needs less",
                     needed_text, imp_cli_size_text(there_text, available));
    return 0;
}

/* Everything that can fail early. */
static int prepare(optimize_run *run) {
    int code = check_options(run);
    if (!code) code = create_context(run, run->settings->memory_limit);
    if (!code) code = check_output(run);
    if (!code) code = open_model(run);
    if (!code) code = start_painting(run);
    for (int i = 0; !code && i < run->settings->styles.count; i++) code = add_style(run, &run->styles[i]);
    if (code) return code;
    run->estimate.size = sizeof run->estimate;
    int status = imp_painting_estimate(run->painting, &run->estimate);
    if (status) return imp_cli_fail_status(run->context, status);
    return check_memory(run);
}

static void print_start_json(const optimize_run *run, const imp_context_info *info) {
    const imp_estimate *estimate = &run->estimate;
    fputs("{\"event\":\"start\",\"photo\":", stdout);
    imp_json_text(stdout, run->photo);
    fputs(",\"styles\":[", stdout);
    for (int i = 0; i < run->settings->styles.count; i++) {
        fputs(i ? ",{\"path\":" : "{\"path\":", stdout);
        imp_json_text(stdout, run->styles[i].path);
        fputs(",\"weight\":", stdout);
        imp_json_number(stdout, run->styles[i].weight);
        putchar('}');
    }
    fputs("],\"output\":", stdout);
    imp_json_text(stdout, run->settings->output);
    printf(",\"width\":%d,\"height\":%d,\"scales\":%d,\"iterations\":%d,\"memory_bytes\":%llu,\"operations\":",
           estimate->width, estimate->height, estimate->scales, estimate->iterations,
           (unsigned long long)estimate->bytes);
    imp_json_number(stdout, estimate->operations);
    printf(",\"threads\":%d,\"instruction_set\":", info->threads);
    imp_json_text(stdout, info->instruction_set);
    fputs("}\n", stdout);
}

static void print_start(const optimize_run *run) {
    const imp_estimate *estimate = &run->estimate;
    imp_context_info info = {.size = sizeof info};
    char memory[IMP_CLI_SIZE_TEXT], count[IMP_CLI_COUNT_TEXT], scales[IMP_CLI_COUNT_TEXT];
    const double limit = run->settings->painting.time_limit;
    imp_context_get_info(run->context, &info);
    if (run->settings->json) {
        print_start_json(run, &info);
    } else if (!run->settings->quiet) {
        printf("%s -> %s: %dx%d pixels, %s\n", run->photo, run->settings->output, estimate->width, estimate->height,
               imp_cli_count_text(count, run->settings->styles.count, "style"));
        if (limit > 0)
            printf("%g s", limit);
        else
            printf("%s", imp_cli_count_text(count, estimate->iterations, "iteration"));
        printf(" at %s, about %s of memory, %s (%s)\n", imp_cli_count_text(scales, estimate->scales, "scale"),
               imp_cli_size_text(memory, (double)estimate->bytes), imp_cli_count_text(count, info.threads, "thread"),
               info.instruction_set);
    }
    imp_cli_flush();
}

/* Steps to the end, a failure or a signal; returns the library's status. */
static int step_all(optimize_run *run) {
    imp_cli_progress shown = {
        .json = run->settings->json, .quiet = run->settings->quiet, .timed = run->settings->painting.time_limit > 0};
    if (run->estimate.iterations == 0) return IMP_OK;
    while (!run->progress.done && !imp_cli_signal()) {
        int status = imp_painting_step(run->painting, &run->progress);
        if (status) return status;
        imp_cli_progress_show(&shown, &run->progress);
    }
    return IMP_OK;
}

static int write_picture(optimize_run *run) {
    const imp_cli_optimize_settings *settings = run->settings;
    imp_image picture = {.size = sizeof picture};
    bool deep = settings->depth && strcmp(settings->depth, "16") == 0;
    int status = imp_painting_image(run->painting, deep ? IMP_DEPTH_16 : IMP_DEPTH_8, &picture);
    if (!status) status = imp_picture_write(run->context, settings->output, &picture, settings->quality);
    int code = status ? imp_cli_fail_status(run->context, status) : 0;
    imp_image_release(run->context, &picture);
    return code;
}

static void print_done(const optimize_run *run) {
    const imp_cli_optimize_settings *settings = run->settings;
    char count[IMP_CLI_COUNT_TEXT];
    imp_cli_bar_end();
    if (settings->json) {
        fputs("{\"event\":\"done\",\"output\":", stdout);
        imp_json_text(stdout, settings->output);
        printf(",\"width\":%d,\"height\":%d,\"iterations\":%d,\"seconds\":", run->estimate.width, run->estimate.height,
               run->progress.iteration);
        imp_json_number(stdout, run->progress.seconds);
        printf(",\"interrupted\":%s}\n", imp_cli_signal() ? "true" : "false");
    } else if (!settings->quiet) {
        printf("%s: %s in %.1f s%s\n", settings->output,
               imp_cli_count_text(count, run->progress.iteration, "iteration"), run->progress.seconds,
               imp_cli_signal() ? ", interrupted" : "");
    }
    if (settings->verbose) imp_cli_print_profile(run->painting, settings->json);
}

/* A step failed. What was painted before is worth keeping; a run that never began leaves nothing. */
static int end_by_failure(optimize_run *run, int status) {
    char message[IMP_CLI_PATH];
    const char *output = run->settings->output;
    snprintf(message, sizeof message, "%s", imp_error(run->context));
    if (run->progress.iteration == 0) return imp_cli_fail(imp_cli_exit_code(status), "%s", message);
    int code = write_picture(run);
    if (code) return code;
    if (status == IMP_ERR_NUMERIC) return imp_cli_fail(IMP_CLI_FAILURE, "%s (written to %s)", message, output);
    return imp_cli_fail(imp_cli_exit_code(status), "%s; what was painted until then is in %s", message, output);
}

static int paint(optimize_run *run) {
    print_start(run);
    imp_cli_catch_signals();
    int status = step_all(run);
    if (status) return end_by_failure(run, status);
    int code = write_picture(run);
    if (code) return code;
    print_done(run);
    return imp_cli_signal() ? 128 + imp_cli_signal() : 0; /* as a shell reports who is ended by a signal */
}

static int run_optimize(void *settings, char **arguments, int count) {
    (void)count;
    optimize_run *run = calloc(1, sizeof *run);
    if (!run) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    run->settings = settings;
    run->photo = arguments[0];
    run->progress.size = sizeof run->progress;
    int code = prepare(run);
    if (!code) code = paint(run);
    imp_painting_free(run->painting);
    imp_model_free(run->model);
    imp_context_free(run->context);
    free(run);
    return code;
}

const imp_cli_command imp_cli_optimize = {
    .name = "optimize",
    .arguments = "PHOTO",
    .least = 1,
    .most = 1,
    .summary = "Paint a photograph in the manner of one or more paintings.",
    .description =
        "Paints PHOTO in the manner of the paintings given with --style, by optimising the picture itself, and "
        "writes it to OUT. Ctrl-C stops early and writes what is painted so far.",
    .options = imp_cli_optimize_options,
    .settings_size = sizeof(imp_cli_optimize_settings),
    .defaults = imp_cli_optimize_defaults,
    .run = run_optimize};
