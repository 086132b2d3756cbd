/* What the commands that measure share. */
#include "cli/benchmark.h"

#include <stdlib.h>

#include "cli/report.h"
#include "cli/system.h"

static void log_warning(void *user, imp_log_level level, const char *message) {
    (void)user;
    if (level == IMP_LOG_WARNING) imp_cli_warn("%s", message);
}

int imp_cli_bench_context(int threads, const char *instruction_set, size_t memory_limit, imp_context **context) {
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = threads;
    options.instruction_set = instruction_set;
    options.memory_limit = memory_limit;
    options.log = log_warning;
    int status = imp_context_create(&options, context);
    return status ? imp_cli_fail_status(*context, status) : 0;
}

/* A coarse grid of noise (xorshift32 of Marsaglia), enlarged. */
int imp_cli_bench_picture(imp_context *context, uint32_t seed, int width, int height, imp_image *picture) {
    enum { GRID = 12 };
    uint8_t samples[GRID * GRID * 3];
    for (size_t i = 0; i < sizeof samples; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        samples[i] = (uint8_t)(seed >> 24);
    }
    imp_image grid = {sizeof grid, GRID, GRID, 3, IMP_DEPTH_8, GRID * 3, samples};
    return imp_image_resize(context, &grid, width, height, picture);
}

static int compare_seconds(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

double imp_cli_bench_median(double *seconds, int count) {
    qsort(seconds, (size_t)count, sizeof *seconds, compare_seconds);
    return 0.5 * (seconds[(count - 1) / 2] + seconds[count / 2]);
}

double imp_cli_bench_megabytes(void) {
    return (double)imp_cli_memory_peak() / (1024.0 * 1024.0);
}
