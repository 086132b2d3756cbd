/* `impasto bench train`: how many pictures a second a recipe's steps take. */
#include <stdlib.h>
#include <string.h>

#include "cli/benchmark.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/trainer.h"

enum { WARM_UP = 2 }; /* steps that are not timed: they make plans and fill the queue */

typedef struct bench_settings {
    imp_cli_trainer_settings trainer;
    int steps;
    bool json;
} bench_settings;

#define AT(field) .offset = offsetof(bench_settings, field)
/* clang-format off: a table reads best as one */
static const imp_cli_option bench_options[] = {
    {"steps", 'n', .kind = IMP_CLI_INTEGER, .minimum = 1, .maximum = 10000, AT(steps), .value = "N",
     .help = "Steps that are timed, after two that are not; 10 where it is not given."},
    IMP_CLI_TRAINER_OPTIONS(bench_settings, trainer),
    IMP_CLI_ROW_JSON(AT(json)),
    {0}};
/* clang-format on */

static void bench_defaults(void *user) {
    bench_settings *settings = user;
    settings->steps = 10;
    settings->trainer.prefetch = 1;
}

static int time_steps(imp_cli_trainer *trainer, int count, double *seconds) {
    imp_cli_trainer_prefetch(trainer, 0);
    for (int i = -WARM_UP; i < count; i++) {
        imp_training_progress progress = {.size = sizeof progress};
        double begin = imp_cli_seconds();
        int status = imp_training_step(trainer->training, &progress);
        if (status) return imp_cli_trainer_fail(trainer, status);
        if (i >= 0) seconds[i] = imp_cli_seconds() - begin;
        if (progress.done && i + 1 < count)
            return imp_cli_fail(IMP_CLI_USAGE,
                                "--steps: the recipe has %lld steps only, the first %d of which are not timed: give "
                                "fewer than %d",
                                (long long)progress.steps, WARM_UP, count);
    }
    return 0;
}

static void print_result(const imp_cli_trainer *trainer, const bench_settings *settings, double *seconds) {
    const imp_recipe_info *info = &trainer->info;
    imp_context_info context = {.size = sizeof context};
    int count = settings->steps;
    imp_context_get_info(trainer->context, &context);
    const double median = imp_cli_bench_median(seconds, count), least = seconds[0];
    const double megabytes = imp_cli_bench_megabytes();
    if (!settings->json) {
        char threads[IMP_CLI_COUNT_TEXT];
        printf(
            "%s on %s, batch %d of %dx%d, %s (%s): %.3g pictures/s in the median of %d steps, %.3g at best; %.4f s a "
            "step; %.0f MB resident at most\n",
            info->architecture, info->loss_network, info->batch, info->crop_side, info->crop_side,
            imp_cli_count_text(threads, context.threads, "thread"), context.instruction_set, info->batch / median,
            count, info->batch / least, median, megabytes);
        return;
    }
    printf("{\"bench\":\"train\",\"version\":\"%s\",\"architecture\":", imp_version());
    imp_json_text(stdout, info->architecture);
    fputs(",\"loss_network\":", stdout);
    imp_json_text(stdout, info->loss_network);
    printf(",\"instruction_set\":\"%s\",\"threads\":%d,\"batch\":%d,\"crop\":%d,\"steps\":%d,\"seconds_per_step\":{"
           "\"min\":",
           context.instruction_set, context.threads, info->batch, info->crop_side, count);
    imp_json_number(stdout, least);
    fputs(",\"median\":", stdout);
    imp_json_number(stdout, median);
    fputs("},\"pictures_per_second\":", stdout);
    imp_json_number(stdout, info->batch / median);
    fputs(",\"peak_rss_mb\":", stdout);
    imp_json_number(stdout, megabytes);
    fputs("}\n", stdout);
}

static int run_bench(void *user, char **arguments, int count) {
    const bench_settings *settings = user;
    imp_cli_trainer trainer;
    double *seconds = calloc((size_t)settings->steps, sizeof *seconds);
    (void)count;
    if (!seconds) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    int code = imp_cli_trainer_open(&trainer, &settings->trainer, arguments[0], NULL, NULL);
    if (!code) code = time_steps(&trainer, settings->steps, seconds);
    if (!code) print_result(&trainer, settings, seconds);
    imp_cli_trainer_close(&trainer);
    free(seconds);
    return code;
}

const imp_cli_command imp_cli_bench_train = {
    .name = "bench train",
    .arguments = "RECIPE",
    .least = 1,
    .most = 1,
    .summary = "Measure how many pictures a second a training takes.",
    .description =
        "Times steps of the training that RECIPE describes, with its pictures and all that a step needs, and "
        "writes nothing: the least and the median time of a step, pictures a second, and the most memory "
        "that was resident (in units of 1024 x 1024 bytes).",
    .options = bench_options,
    .settings_size = sizeof(bench_settings),
    .defaults = bench_defaults,
    .run = run_bench};
