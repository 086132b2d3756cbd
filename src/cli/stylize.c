/* `impasto stylize`: paints photos at once, with a network that was taught its styles. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/job.h"
#include "cli/profile.h"
#include "cli/report.h"
#include "cli/shared_options.h"
#include "cli/style_shares.h"
#include "cli/system.h"
#include "impasto_picture.h"

typedef struct stylize_settings {
    imp_cli_job_settings job;
    imp_cli_texts styles;
    double strength;
    const char *keep_colors;
} stylize_settings;

static IMP_CLI_NAMES(colors_at, "after")

#define AT(field) .offset = offsetof(stylize_settings, field)
    /* clang-format off: a table reads best as one */
    static const imp_cli_option stylize_options[] = {
        IMP_CLI_ROW_STYLER_MODEL(AT(job.model)),
        {"style", 's', .kind = IMP_CLI_TEXTS, AT(styles), .value = "NAME[:SHARE],...",
         .help =
             "The style of the model to paint in; it may be left out where there is one. Several are mixed by their "
             "shares (1 where none is given), which count against each other: 2 and 1 is the same as 4 and 2."},
        {"strength", 0, .kind = IMP_CLI_NUMBER, .minimum = 0, .maximum = 1, AT(strength), .value = "X",
         .help = "1, where it is not given, is the painting, 0 the photo; between them they are blended."},
        IMP_CLI_ROW_OUTPUT(AT(job.output)),
        IMP_CLI_ROW_SIZE(AT(job.longer_side)),
        IMP_CLI_ROW_ENLARGE(AT(job.enlarge)),
        {"keep-colors", 'k', .kind = IMP_CLI_CHOICE, .choice = colors_at, AT(keep_colors), .value = "WHEN",
         .help = "Keep the photo's colours: take over its hues after painting."},
        IMP_CLI_ROW_DEPTH(AT(job.depth)),
        IMP_CLI_ROW_QUALITY(AT(job.quality)),
        IMP_CLI_ROW_THREADS(AT(job.threads)),
        IMP_CLI_ROW_MEMORY(AT(job.memory_limit), ": what needs more is refused."),
        IMP_CLI_ROW_PRECISION(AT(job.precision)),
        IMP_CLI_ROW_INSTRUCTION_SET(AT(job.instruction_set)),
        IMP_CLI_ROW_EVENTS(AT(job.json)),
        IMP_CLI_ROW_QUIET(AT(job.quiet)),
        IMP_CLI_ROW_VERBOSE(AT(job.verbose)),
        {0}};
/* clang-format on */

static void stylize_defaults(void *user) {
    stylize_settings *settings = user;
    settings->strength = 1;
}

typedef struct stylize_job {
    imp_cli_job base;
    const stylize_settings *settings;
    float *shares; /* of the model's styles */

    /* Of the photos of one size, which share it; NULL before the first one. */
    imp_styler *styler;
    imp_estimate estimate;
    uint64_t resident; /* bytes that the process is expected to have at most */
} stylize_job;

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static void print_start_text(const stylize_job *job, int photos) {
    char memory[IMP_CLI_SIZE_TEXT], count[IMP_CLI_COUNT_TEXT];
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(job->base.context, &info);
    printf("%s, %dx%d pixels, ", imp_cli_count_text(count, photos, "photo"), job->estimate.width, job->estimate.height);
    imp_cli_print_shares(job->base.model, job->shares);
    printf(": about %s of memory, %s (%s)\n", imp_cli_size_text(memory, (double)job->resident),
           imp_cli_count_text(count, info.threads, "thread"), info.instruction_set);
    imp_cli_flush();
}

static void print_photo_json(const char *event, const imp_cli_photo *photo) {
    printf("{\"event\":\"%s\",\"photo\":", event);
    imp_json_text(stdout, photo->path);
    fputs(",\"output\":", stdout);
    imp_json_text(stdout, photo->output);
    printf(",\"width\":%d,\"height\":%d", photo->width, photo->height);
}

static void print_start_json(const stylize_job *job, const imp_cli_photo *photo) {
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(job->base.context, &info);
    print_photo_json("start", photo);
    fputs(",\"styles\":", stdout);
    imp_cli_print_shares_json(job->base.model, job->shares);
    fputs(",\"strength\":", stdout);
    imp_json_number(stdout, job->settings->strength);
    printf(",\"memory_bytes\":%llu,\"resident_bytes\":%llu,\"operations\":", (unsigned long long)job->estimate.bytes,
           (unsigned long long)job->resident);
    imp_json_number(stdout, job->estimate.operations);
    printf(",\"threads\":%d,\"instruction_set\":", info.threads);
    imp_json_text(stdout, info.instruction_set);
    fputs("}\n", stdout);
    imp_cli_flush();
}

static void print_done(const stylize_job *job, const imp_cli_photo *photo, double seconds) {
    if (job->base.settings->json) {
        print_photo_json("done", photo);
        fputs(",\"seconds\":", stdout);
        imp_json_number(stdout, seconds);
        fputs("}\n", stdout);
    } else if (!job->base.settings->quiet) {
        imp_cli_print_text(photo->path);
        fputs(" -> ", stdout);
        imp_cli_print_text(photo->output);
        printf(": %.2f s\n", seconds);
    }
    imp_cli_flush();
}

static int node_at(const void *styler, int index, imp_node_profile *profile) {
    return imp_styler_profile(styler, index, profile);
}

/* ---- Painting ---------------------------------------------------------------------------------------------------- */

/* Reads the photo at the size of its result, which it is given where it has none. */
static int read_photo(const stylize_job *job, imp_cli_photo *photo, imp_image *image) {
    imp_context *context = job->base.context;
    imp_image whole = {.size = sizeof whole};
    int status = imp_picture_read(context, photo->path, &whole);
    if (!status && photo->width == 0) {
        const imp_painting_options sizes = imp_cli_job_sizes(&job->base);
        status = imp_painting_size(context, whole.width, whole.height, &sizes, &photo->width, &photo->height);
    }
    if (!status && (whole.width != photo->width || whole.height != photo->height)) {
        status = imp_image_resize(context, &whole, photo->width, photo->height, image);
    } else if (!status) {
        *image = whole;
        whole.pixels = NULL;
    }
    int code = status ? imp_cli_fail_status(context, status) : 0;
    imp_image_release(context, &whole);
    return code;
}

/* Makes the styler of the photo's size, with its photo in memory, which is counted. */
static int make_styler(stylize_job *job, const imp_cli_photo *photo) {
    imp_context *context = job->base.context;
    const char *precision = job->base.settings->precision;
    imp_context_info info = {.size = sizeof info};
    job->estimate = (imp_estimate){.size = sizeof job->estimate};
    int status = imp_styler_estimate(context, job->base.model, photo->width, photo->height, precision, &job->estimate);
    if (status) return imp_cli_job_fail_size(&job->base, photo, status);
    imp_context_get_info(context, &info);
    job->resident = imp_cli_memory_expected(context, info.memory_now + job->estimate.bytes);
    int code = imp_cli_job_check_memory(job->estimate.bytes, "--size");
    if (code) {
        imp_cli_job_take_size(&job->base, photo);
        return code;
    }
    status = imp_styler_create(context, job->base.model, photo->width, photo->height, precision, &job->styler);
    if (status) return imp_cli_job_fail_size(&job->base, photo, status);
    imp_styler_keep_colors(job->styler, job->settings->keep_colors != NULL);
    const imp_cli_photo *all = job->base.photos;
    int photos = 1, count = job->base.photo_count; /* with those to come */
    for (int i = imp_cli_next_photo(all, count, 0, photo); i < count; i = imp_cli_next_photo(all, count, i + 1, photo))
        photos++;
    if (!job->base.settings->json && !job->base.settings->quiet) print_start_text(job, photos);
    return 0;
}

static int paint_photo(stylize_job *job, imp_cli_photo *photo) {
    double begin = imp_cli_seconds();
    imp_context *context = job->base.context;
    imp_image image = {.size = sizeof image}, painted = {.size = sizeof painted};
    imp_cli_job_take(&job->base, photo);
    int code = read_photo(job, photo, &image);
    if (!code && !job->styler) code = make_styler(job, photo);
    if (!code) {
        if (job->base.settings->json) print_start_json(job, photo);
        int status = imp_styler_run(job->styler, &image, job->shares, job->settings->strength,
                                    imp_cli_job_depth(&job->base), &painted);
        if (status) code = imp_cli_fail(imp_cli_exit_code(status), "%s: %s", photo->path, imp_error(context));
    }
    imp_image_release(context, &image);
    if (!code) code = imp_cli_job_write(&job->base, photo, &painted);
    imp_image_release(context, &painted);
    if (code) return code;
    print_done(job, photo, imp_cli_seconds() - begin);
    job->base.painted++;
    return 0;
}

/* The photos of one size, from this one on. */
static int paint_size(stylize_job *job, int index) {
    const imp_cli_photo *first = &job->base.photos[index];
    int count = job->base.photo_count, code = 0;
    for (; index < count && !imp_cli_signal(); index = imp_cli_next_photo(job->base.photos, count, index, first))
        imp_cli_note_code(&code, paint_photo(job, &job->base.photos[index]));
    if (job->styler && job->base.settings->verbose)
        imp_cli_print_profile(node_at, job->styler, job->base.settings->json);
    imp_styler_free(job->styler);
    job->styler = NULL;
    return code;
}

static int paint_all(stylize_job *job) {
    int code = imp_cli_job_find_sizes(&job->base);
    imp_cli_catch_signals();
    for (int next = 0; !imp_cli_signal();) {
        next = imp_cli_next_photo(job->base.photos, job->base.photo_count, next, NULL);
        if (next == job->base.photo_count) break;
        imp_cli_note_code(&code, paint_size(job, next));
    }
    return code;
}

/* Everything that can fail early, but for photos that cannot be read. */
static int prepare(stylize_job *job, char **paths, int count) {
    const stylize_settings *settings = job->settings;
    if (!settings->job.model)
        return imp_cli_fail(IMP_CLI_USAGE, "--model is missing: the model that paints; see 'impasto model list'");
    int code = imp_cli_job_begin(&job->base, &settings->job, paths, count);
    if (!code) code = imp_cli_job_open_models(&job->base);
    if (!code) code = imp_cli_check_styler(job->base.model, settings->job.model);
    return code ? code : imp_cli_style_shares(job->base.model, settings->job.model, &settings->styles, &job->shares);
}

static int run_stylize(void *settings, char **arguments, int count) {
    stylize_job job = {.settings = settings};
    int code = prepare(&job, arguments, count);
    if (!code) code = imp_cli_job_tell_end(&job.base, paint_all(&job));
    free(job.shares);
    imp_cli_job_free(&job.base);
    return code;
}

const imp_cli_command imp_cli_stylize = {
    .name = "stylize",
    .arguments = "PHOTO...",
    .least = 1,
    .most = INT_MAX,
    .summary = "Paint photographs at once, with a model that was taught its styles.",
    .description =
        "Paints PHOTO in one of the styles that the model was taught, or in a mixture of several, in a single pass of "
        "the "
        "network, and writes it to OUT. Several photos are written to the folder OUT under their own names. A photo "
        "that cannot be read is named, and the others are painted. Ctrl-C stops after the photo at work. Such models "
        "are made by impasto train; impasto model info lists a model's styles.",
    .options = stylize_options,
    .settings_size = sizeof(stylize_settings),
    .defaults = stylize_defaults,
    .run = run_stylize};
