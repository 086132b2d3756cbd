/* `impasto bench stylize`: how long a model that paints by itself takes for a picture, and in how much memory. */
#include <stdlib.h>
#include <string.h>

#include "cli/benchmark.h"
#include "cli/commands.h"
#include "cli/models_folder.h"
#include "cli/report.h"
#include "cli/shared_options.h"
#include "cli/style_shares.h"
#include "cli/system.h"

#define MAX_PICTURES 10000

typedef struct bench_settings {
    const char *size, *precision, *model, *instruction_set;
    int pictures, threads;
    size_t memory_limit;
    bool json;
} bench_settings;

#define AT(field) .offset = offsetof(bench_settings, field)
/* clang-format off: a table reads best as one */
static const imp_cli_option bench_options[] = {
    IMP_CLI_ROW_STYLER_MODEL(AT(model)),
    {"size", 0, .kind = IMP_CLI_TEXT, AT(size), .value = "WIDTHxHEIGHT",
     .help = "Of the pictures; 512x512 where it is not given."},
    {"pictures", 'n', .kind = IMP_CLI_INTEGER, .minimum = 1, .maximum = MAX_PICTURES, AT(pictures), .value = "N",
     .help = "Pictures that are timed, after one that is not; 10 where it is not given."},
    IMP_CLI_ROW_PRECISION(AT(precision)),
    IMP_CLI_ROW_THREADS(AT(threads)),
    IMP_CLI_ROW_MEMORY(AT(memory_limit), ": what needs more is refused."),
    IMP_CLI_ROW_INSTRUCTION_SET(AT(instruction_set)),
    IMP_CLI_ROW_JSON(AT(json)),
    {0}};
/* clang-format on */

static void bench_defaults(void *user) {
    bench_settings *settings = user;
    settings->size = "512x512";
    settings->pictures = 10;
    settings->precision = "f32";
}

typedef struct bench_run {
    const bench_settings *settings;
    int width, height;
    imp_context *context;
    imp_model *model;
    imp_styler *styler;
    imp_estimate estimate;
    uint64_t resident; /* bytes that the process is expected to have at most */
    float *shares;     /* of the model's styles */
    double *seconds;   /* of each timed picture */
} bench_run;

static bool parse_side(const char *text, size_t length, int *side) {
    char digits[8];
    double number;
    if (length == 0 || length >= sizeof digits || strspn(text, "0123456789") < length) return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!imp_cli_number(digits, &number) || number < 1 || number > IMP_IMAGE_MAX_SIDE) return false;
    *side = (int)number;
    return true;
}

static int parse_size(bench_run *run) {
    const char *text = run->settings->size;
    size_t width = strcspn(text, "x");
    if (text[width] == 'x' && parse_side(text, width, &run->width) &&
        parse_side(text + width + 1, strlen(text + width + 1), &run->height))
        return 0;
    return imp_cli_fail(IMP_CLI_USAGE, "--size: '%s' is no width and height of 1 to %d pixels, such as 1920x1080", text,
                        IMP_IMAGE_MAX_SIDE);
}

/* The context in which the styler is made comes after the model, which its limit counts. */
static int open_model(bench_run *run) {
    const bench_settings *settings = run->settings;
    if (!settings->model)
        return imp_cli_fail(IMP_CLI_USAGE, "--model is missing: the model that paints; see 'impasto model list'");
    int code = imp_cli_bench_context(settings->threads, settings->instruction_set, 0, &run->context);
    if (!code) code = imp_cli_open_model(run->context, settings->model, &run->model);
    if (!code) code = imp_cli_check_styler(run->model, settings->model);
    if (code || !settings->memory_limit) return code;
    imp_context_free(run->context);
    run->context = NULL;
    size_t limit = imp_cli_limit_beside(run->model, settings->memory_limit);
    return imp_cli_bench_context(settings->threads, settings->instruction_set, limit, &run->context);
}

/* Of the model's styles the first: what it computes is the same for any. */
static int make_shares(bench_run *run) {
    int count = 0;
    while (imp_model_style_name(run->model, count)) count++;
    run->shares = calloc((size_t)count, sizeof *run->shares);
    run->seconds = calloc((size_t)run->settings->pictures, sizeof *run->seconds);
    if (!run->shares || !run->seconds) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    run->shares[0] = 1;
    return 0;
}

static int create_styler(bench_run *run) {
    const char *precision = run->settings->precision;
    imp_context_info info = {.size = sizeof info};
    run->estimate.size = sizeof run->estimate;
    int status = imp_styler_estimate(run->context, run->model, run->width, run->height, precision, &run->estimate);
    imp_context_get_info(run->context, &info);
    run->resident = imp_cli_memory_expected(run->context, info.memory_now + run->estimate.bytes);
    if (!status) status = imp_styler_create(run->context, run->model, run->width, run->height, precision, &run->styler);
    return status ? imp_cli_fail_status(run->context, status) : 0;
}

static int time_pictures(bench_run *run, const imp_image *photo) {
    for (int i = -1; i < run->settings->pictures; i++) { /* the first one packs weights and warms up */
        imp_image painted = {.size = sizeof painted};
        double begin = imp_cli_seconds();
        int status = imp_styler_run(run->styler, photo, run->shares, 1, IMP_DEPTH_8, &painted);
        double seconds = imp_cli_seconds() - begin;
        imp_image_release(run->context, &painted);
        if (status) return imp_cli_fail_status(run->context, status);
        if (i >= 0) run->seconds[i] = seconds;
    }
    return 0;
}

static int measure(bench_run *run) {
    imp_image photo = {.size = sizeof photo};
    int status = imp_cli_bench_picture(run->context, 1, run->width, run->height, &photo);
    int code = status ? imp_cli_fail_status(run->context, status) : create_styler(run);
    if (!code) code = time_pictures(run, &photo);
    imp_image_release(run->context, &photo);
    return code;
}

static void print_result(const bench_run *run) {
    const bench_settings *settings = run->settings;
    imp_context_info context = {.size = sizeof context};
    imp_model_info model = {.size = sizeof model};
    imp_context_get_info(run->context, &context);
    imp_model_get_info(run->model, &model);
    const double median = imp_cli_bench_median(run->seconds, settings->pictures), least = run->seconds[0];
    const double megabytes = imp_cli_bench_megabytes(), expected = (double)run->resident / (1024.0 * 1024.0);
    if (!settings->json) {
        char threads[IMP_CLI_COUNT_TEXT];
        printf("%s at %dx%d in %s, %s (%s): %.1f ms a picture at best, %.1f ms in the median of %d; %.3g pictures/s; "
               "%.0f MB resident at most, expected %.0f MB\n",
               model.architecture, run->width, run->height, settings->precision,
               imp_cli_count_text(threads, context.threads, "thread"), context.instruction_set, 1e3 * least,
               1e3 * median, settings->pictures, 1 / median, megabytes, expected);
        return;
    }
    printf("{\"bench\":\"stylize\",\"version\":\"%s\",\"model\":", imp_version());
    imp_json_text(stdout, model.architecture);
    printf(",\"precision\":\"%s\",\"instruction_set\":\"%s\",\"threads\":%d,\"width\":%d,\"height\":%d,\"pictures\":%d,"
           "\"milliseconds_per_picture\":{\"min\":",
           settings->precision, context.instruction_set, context.threads, run->width, run->height, settings->pictures);
    imp_json_number(stdout, 1e3 * least);
    fputs(",\"median\":", stdout);
    imp_json_number(stdout, 1e3 * median);
    fputs("},\"pictures_per_second\":", stdout);
    imp_json_number(stdout, 1 / median);
    fputs(",\"operations\":", stdout);
    imp_json_number(stdout, run->estimate.operations);
    fputs(",\"peak_rss_mb\":", stdout);
    imp_json_number(stdout, megabytes);
    fputs(",\"expected_rss_mb\":", stdout);
    imp_json_number(stdout, expected);
    printf(",\"memory_bytes\":%llu}\n", (unsigned long long)run->estimate.bytes);
}

static int run_bench(void *user, char **arguments, int count) {
    (void)arguments, (void)count;
    bench_run run = {.settings = user};
    int code = parse_size(&run);
    if (!code) code = open_model(&run);
    if (!code) code = make_shares(&run);
    if (!code) code = measure(&run);
    if (!code) print_result(&run);
    imp_styler_free(run.styler);
    imp_model_free(run.model);
    imp_context_free(run.context);
    free(run.shares);
    free(run.seconds);
    return code;
}

const imp_cli_command imp_cli_bench_stylize = {
    .name = "bench stylize",
    .arguments = "",
    .summary = "Measure the time of a picture that is painted at once, and its memory.",
    .description =
        "Times a model that was taught its styles on a picture that the command makes itself, from pixels to pixels, "
        "and tells the least and the median time of a picture, pictures a second, and the most memory that was "
        "resident (in units of 1024 x 1024 bytes).",
    .options = bench_options,
    .settings_size = sizeof(bench_settings),
    .defaults = bench_defaults,
    .run = run_bench};
