/* What the commands that measure share: a context, pictures, and what comes of the times. */
#ifndef IMP_CLI_BENCHMARK_H
#define IMP_CLI_BENCHMARK_H

#include "impasto.h"

/* Returns 0, or the exit code after saying what is wrong. */
int imp_cli_bench_context(int threads, const char *instruction_set, size_t memory_limit, imp_context **context);

/* A smooth picture of random colours, the same for a seed. */
int imp_cli_bench_picture(imp_context *context, uint32_t seed, int width, int height, imp_image *picture);

/* Sorts the times, and tells the middle one, or the mean of both that are. */
double imp_cli_bench_median(double *seconds, int count);

/* Of the most memory that was resident, in units of 1024 x 1024 bytes. */
double imp_cli_bench_megabytes(void);

#endif
