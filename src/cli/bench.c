/* `impasto bench optimize`: the time of one iteration and the memory it takes, on pictures that it makes itself. */
#include <stdlib.h>
#include <string.h>

#include "cli/benchmark.h"
#include "cli/commands.h"
#include "cli/features.h"
#include "cli/report.h"
#include "cli/shared_options.h"
#include "cli/system.h"
#include "impasto.h"

#define MAX_BENCH_ITERATIONS 10000
#define MODELS_TEXT 512          /* bytes of all networks' names */
#define CLASSIC_ITERATIONS 500.0 /* of a whole picture with the classic preset */

typedef struct bench_settings {
    int size, iterations, threads, batch;
    size_t memory_limit;
    const char *precision, *model, *features, *instruction_set;
    bool json;
} bench_settings;

static IMP_CLI_NAMES(precision_at, "f32", "bf16")

#define AT(field) .offset = offsetof(bench_settings, field)
    static const imp_cli_option bench_options[] = {
        {.name = "size",
         .kind = IMP_CLI_INTEGER,
         AT(size),
         .value = "PIXELS",
         .minimum = 16,
         .maximum = IMP_IMAGE_MAX_SIDE,
         .help = "Width and height of the picture; 512 where it is not given."},
        {.name = "iterations",
         .letter = 'n',
         .kind = IMP_CLI_INTEGER,
         AT(iterations),
         .value = "N",
         .minimum = 1,
         .maximum = MAX_BENCH_ITERATIONS,
         .help = "Iterations that are timed, after one that is not; 10 where it is not given."},
        {.name = "batch",
         .kind = IMP_CLI_INTEGER,
         AT(batch),
         .value = "N",
         .minimum = 1,
         .maximum = IMP_MAX_PHOTOS,
         .help = "Pictures that are painted together; 1 where it is not given."},
        {.name = "precision",
         .kind = IMP_CLI_CHOICE,
         AT(precision),
         .value = "TYPE",
         .choice = precision_at,
         .help = "Of the network's feature maps."},
        IMP_CLI_ROW_MODEL(AT(model)),
        {.name = "features",
         .kind = IMP_CLI_TEXT,
         AT(features),
         .value = "MODELS",
         .help = "Networks whose losses are added, in place of --model: vgg19:1,resnet50:0.5"},
        IMP_CLI_ROW_THREADS(AT(threads)),
        IMP_CLI_ROW_MEMORY(AT(memory_limit), "."),
        IMP_CLI_ROW_INSTRUCTION_SET(AT(instruction_set)),
        IMP_CLI_ROW_JSON(AT(json)),
        {0}};

static void bench_defaults(void *user) {
    bench_settings *settings = user;
    settings->size = 512;
    settings->iterations = 10;
    settings->batch = 1;
    settings->precision = "f32";
}

typedef struct bench_run {
    const bench_settings *settings;
    imp_context *context;
    imp_cli_features features;
    imp_painting *painting;
    imp_estimate estimate;
    uint64_t resident; /* bytes that the process is expected to have at most */
    double expected;   /* seconds that all iterations are expected to take, */
    double all;        /* and those that they took */
    double *seconds;   /* of each timed iteration */
} bench_run;

static int make_picture(const bench_run *run, uint32_t seed, imp_image *picture) {
    return imp_cli_bench_picture(run->context, seed, run->settings->size, run->settings->size, picture);
}

static int add_photo(const bench_run *run, int index) {
    imp_image photo = {.size = sizeof photo};
    int status = make_picture(run, 2 + (uint32_t)index, &photo); /* 1 and 2 are the first photo's and the style's */
    if (!status) status = imp_painting_add_photo(run->painting, &photo, NULL);
    imp_image_release(run->context, &photo);
    return status;
}

static int create_painting(bench_run *run) {
    imp_image photo = {.size = sizeof photo}, style = {.size = sizeof style};
    imp_painting_options options;
    imp_painting_options_default(&options);
    options.preset = "classic";
    options.longer_side = run->settings->size;
    options.precision = run->settings->precision;
    options.iterations = run->settings->iterations + 1;
    int status = make_picture(run, 1, &photo);
    if (!status) status = make_picture(run, 2, &style);
    imp_cli_features_apply(&run->features, &options);
    if (!status) status = imp_painting_create(run->context, NULL, &photo, &options, &run->painting);
    if (!status) status = imp_painting_add_style(run->painting, &style, 1);
    for (int i = 1; i < run->settings->batch && !status; i++) status = add_photo(run, i);
    run->estimate.size = sizeof run->estimate;
    if (!status) status = imp_painting_estimate(run->painting, &run->estimate);
    run->resident = imp_cli_memory_expected(run->context, run->estimate.bytes);
    if (!status) status = imp_painting_estimate_seconds(run->painting, &run->expected);
    int code = status ? imp_cli_fail_status(run->context, status) : 0;
    imp_image_release(run->context, &photo);
    imp_image_release(run->context, &style);
    return code;
}

static int time_iterations(bench_run *run) {
    double start = imp_cli_seconds();
    for (int i = -1; i < run->settings->iterations; i++) { /* the first one makes the plan and warms up */
        double begin = imp_cli_seconds();
        int status = imp_painting_step(run->painting, NULL);
        if (status) return imp_cli_fail_status(run->context, status);
        if (i >= 0) run->seconds[i] = imp_cli_seconds() - begin;
    }
    run->all = imp_cli_seconds() - start;
    return 0;
}

/* "vgg19", or "vgg19+resnet50" of several. */
static void model_names(const bench_run *run, char text[MODELS_TEXT]) {
    size_t used = 0;
    for (int i = 0; i < run->features.count && used < MODELS_TEXT; i++) {
        imp_model_info info = {.size = sizeof info};
        imp_model_get_info(run->features.models[i].model, &info);
        used += (size_t)snprintf(text + used, MODELS_TEXT - used, "%s%s", i ? "+" : "", info.architecture);
    }
}

static void print_result(const bench_run *run) {
    const bench_settings *settings = run->settings;
    imp_context_info context = {.size = sizeof context};
    char model[MODELS_TEXT];
    imp_context_get_info(run->context, &context);
    model_names(run, model);
    const double middle = imp_cli_bench_median(run->seconds, settings->iterations), least = run->seconds[0];
    const double hourly = 3600 * settings->batch / (middle * CLASSIC_ITERATIONS);
    const double megabytes = imp_cli_bench_megabytes();
    const double expected_megabytes = (double)run->resident / (1024.0 * 1024.0);
    if (!settings->json) {
        char threads[IMP_CLI_COUNT_TEXT], pictures[IMP_CLI_COUNT_TEXT];
        printf("%s at %dx%d in %s, %s, %s (%s): %.4f s an iteration at best, %.4f s in the median of %d; %.0f pictures "
               "of %.0f iterations an hour; %.0f MB resident at most; in all %.1f s; expected %.1f s, %.0f MB\n",
               model, settings->size, settings->size, settings->precision,
               imp_cli_count_text(pictures, settings->batch, "picture"),
               imp_cli_count_text(threads, context.threads, "thread"), context.instruction_set, least, middle,
               settings->iterations, hourly, CLASSIC_ITERATIONS, megabytes, run->all, run->expected,
               expected_megabytes);
        return;
    }
    printf("{\"bench\":\"optimize\",\"version\":\"%s\",\"model\":", imp_version());
    imp_json_text(stdout, model);
    printf(",\"precision\":\"%s\",\"instruction_set\":\"%s\",\"threads\":%d,\"width\":%d,\"height\":%d,"
           "\"iterations\":%d,\"batch\":%d,\"seconds_per_iteration\":{\"min\":",
           settings->precision, context.instruction_set, context.threads, settings->size, settings->size,
           settings->iterations, settings->batch);
    imp_json_number(stdout, least);
    fputs(",\"median\":", stdout);
    imp_json_number(stdout, middle);
    putchar('}');
    const struct {
        const char *name;
        double value;
    } fields[] = {{"pictures_per_hour", hourly},
                  {"seconds", run->all},
                  {"expected_seconds", run->expected},
                  {"peak_rss_mb", megabytes},
                  {"expected_rss_mb", expected_megabytes}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        printf(",\"%s\":", fields[i].name);
        imp_json_number(stdout, fields[i].value);
    }
    printf(",\"memory_bytes\":%llu}\n", (unsigned long long)run->estimate.bytes);
}

static int create_context(bench_run *run, size_t memory_limit) {
    const bench_settings *settings = run->settings;
    return imp_cli_bench_context(settings->threads, settings->instruction_set, memory_limit, &run->context);
}

/* The context that painting is limited in: what the model and the program take is known only when it is open. */
static int limit_context(bench_run *run) {
    if (!run->settings->memory_limit) return 0;
    imp_context_free(run->context);
    run->context = NULL;
    return create_context(run, imp_cli_features_limit(&run->features, run->settings->memory_limit));
}

static int run_bench(void *user, char **arguments, int count) {
    (void)arguments, (void)count;
    bench_run run = {.settings = user};
    run.seconds = calloc((size_t)run.settings->iterations, sizeof *run.seconds);
    int code = run.seconds ? create_context(&run, 0) : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    if (!code)
        code = imp_cli_features_open(run.context, run.settings->model, run.settings->features, NULL, &run.features);
    if (!code) code = limit_context(&run);
    if (!code) code = create_painting(&run);
    if (!code) code = time_iterations(&run);
    if (!code) print_result(&run);
    imp_painting_free(run.painting);
    imp_cli_features_free(&run.features);
    imp_context_free(run.context);
    free(run.seconds);
    return code;
}

const imp_cli_command imp_cli_bench_optimize = {
    .name = "bench optimize",
    .arguments = "",
    .summary = "Measure the time of one iteration and its memory.",
    .description =
        "Times iterations of the classic preset at one scale, on pictures that it makes itself, and tells the least "
        "and the median time of one for all pictures together, how many pictures that makes an hour, and the most "
        "memory that was resident (in units of 1024 x 1024 bytes).",
    .options = bench_options,
    .settings_size = sizeof(bench_settings),
    .defaults = bench_defaults,
    .run = run_bench};
