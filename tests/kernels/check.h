/* What the parts of the kernel test share: maps with guards around them, random numbers, comparison with the oracle. */
#ifndef IMP_TESTS_KERNELS_CHECK_H
#define IMP_TESTS_KERNELS_CHECK_H

#include <stdint.h>

#include "kernels/kernels.h"

/* What no kernel may touch holds this; no computed value comes near, and bf16 can hold it. */
#define GUARD 122880.0f

#define MOST_TABLES 12 /* five instruction sets and plain C, for f32 maps and for bf16 */

/* Half a unit in the last place of 1: the largest relative error of one float operation. */
#define ROUNDING (1.0 / (1 << 24))

/* The same for bf16, of which maps may consist and weights may. */
#define HALF_ROUNDING (1.0 / (1 << 8))

/* A map in memory of its own, with a halo. Its values are always such that bf16 can hold them; kernels of bf16 maps get
   a copy, which map_give makes and map_take brings back. */
typedef struct test_map {
    imp_view view;
    float *memory;
    size_t count; /* floats of memory */
    int halo;
    uint16_t *half;
    imp_view half_view;
} test_map;

const imp_view *map_give(test_map *map, const imp_kernels *kernels);
void map_take(test_map *map, const imp_kernels *kernels);

test_map map_make(int channels, int height, int width, int halo); /* all GUARD */
void map_random(test_map *map); /* -1..1, the halo too; channels past the last are zero */
void map_levels(test_map *map); /* the same in steps of 1/2: many equal values */
void map_fill(test_map *map);   /* as map_random, but the halo stays as it is */
void map_free(test_map *map);
test_map map_copy(const test_map *from); /* the same contents */
float *map_at(const test_map *map, int channel, int y, int x);

float random_value(void); /* -1..1, in the precision of bf16 */
int random_below(int bound);
float *random_floats(size_t count);
void *take(size_t bytes); /* aligned memory; ends the test when there is none */

/* Counts a failure, and prints the first few, when ok is 0. */
void expect(int ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
int failure_count(void);

/* value against the exact one, tolerance absolute. NaN agrees with NaN only. */
int near(double value, double exact, double tolerance);

/* The error that a sum of terms products in float may have when their magnitudes add up to magnitude:
   roundings behave like a random walk of `terms` steps of at most ROUNDING * magnitude (deviation 1/sqrt(3)
   of that), and 4 times its root is 7 deviations. */
double sum_tolerance(double terms, double magnitude);

/* What rounding to the type of the table's maps may add to the error of a value. */
double store_tolerance(const imp_kernels *kernels, double value);

/* Whether all floats outside blocks and rows still are the guard. */
int guarded(const test_map *map, int block_begin, int block_end, int row_begin, int row_end);

/* check_winograd.c: all of the job, tiles and output blocks in pieces of random sizes, at most so many. */
void run_winograd_steps(const imp_winograd *steps, const imp_convolution *job, int most_tiles, int most_blocks);

/* ---- Outputs of convolutions: outputs.c -------------------------------------------------------------------------- */

/* A table's convolution, or the depthwise one: blocks and rows of the output. */
typedef void piece_function(const imp_convolution *job, int block_begin, int block_end, int row_begin, int row_end);

/* All of the job's output, in pieces of random blocks and rows, in the order they come. */
void run_in_pieces(piece_function *run, const imp_convolution *job);

/* Where an output value must lie. */
typedef struct output_range {
    double exact, tolerance;
} output_range;

typedef struct output_check {
    const imp_kernels *kernels;
    const char *name;       /* of the case, in messages */
    const test_map *before; /* what the output holds before; its halo is all guard */
    imp_convolution *job;   /* given to the kernels but for the output */
    const void *test;       /* what both functions are given */
    void (*run)(const void *test, const imp_kernels *kernels, const imp_convolution *job, int in_pieces);
    output_range (*range)(const void *test, const imp_kernels *kernels, int channel, int y, int x); /* x: of outputs */
} output_check;

/* Runs it whole and in pieces. */
void check_outputs(const output_check *check);

/* ---- The parts --------------------------------------------------------------------------------------------------- */

void check_packing(void);
void check_convolution(const imp_kernels *const *tables, int count, int every); /* one shape of so many */
void check_winograd(const imp_kernels *const *tables, int count, int every);
void check_depthwise(const imp_kernels *const *tables, int count);
void check_weights(const imp_kernels *const *tables, int count);
void check_pooling(const imp_kernels *kernels);
void check_differences(const imp_kernels *kernels);
void check_activations(const imp_kernels *kernels);
void check_resizing(const imp_kernels *const *tables, int count);
void check_blends(const imp_kernels *kernels);
void check_statistics(const imp_kernels *kernels);
void check_products(const imp_kernels *kernels);
void bench(const imp_kernels *const *tables, int count, int products_only);

#endif
