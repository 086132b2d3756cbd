/* What the files of the CPU backend share: how work is cut, and the primitives that have a file of their own. */
#ifndef IMP_GRAPH_BACKEND_CPU_H
#define IMP_GRAPH_BACKEND_CPU_H

#include "graph/backend.h"

static inline int imp_divide_up(int a, int b) {
    return (a + b - 1) / b;
}

static inline int imp_smaller(int a, int b) {
    return a < b ? a : b;
}

/* Blocks and rows of one picture that a thread works on at a time. */
typedef struct imp_piece {
    int picture, block_begin, block_end;
    int row_group, row_begin, row_end;
} imp_piece;

typedef void imp_piece_work(void *job, const imp_piece *piece);

/* pictures x groups of blocks x groups of rows, handed out to the threads as they become free. */
typedef struct imp_cut {
    imp_piece_work *work;
    void *job;
    int pictures, blocks, blocks_each, rows, rows_each;
} imp_cut;

void imp_cut_run(imp_context *context, const imp_cut *cut);

const imp_kernels *imp_cpu_kernels(const imp_context *context, imp_element element);

/* The primitives of imp_backend. */
void imp_cpu_convolve(imp_context *context, const imp_map_convolution *map);

/* A convolution of one picture; its mask points to *mask where there is one. */
void imp_cpu_view_convolution(const imp_map_convolution *map, int picture, imp_convolution *convolution,
                              imp_view *mask);

/* backend_cpu_winograd.c. find: the way to convolve, NULL for the direct one. */
const imp_winograd *imp_cpu_find_winograd(const imp_context *context, const imp_map_convolution *map);
size_t imp_cpu_convolution_scratch(const imp_context *context, const imp_map_convolution *map, int any_threads);
void imp_cpu_winograd(imp_context *context, const imp_map_convolution *map, const imp_winograd *steps);

/* backend_cpu_pixels.c */
void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         size_t plane, const imp_map *map, int replicate);
void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int replicate, int accumulate, float *pixels, size_t plane);
void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out);

/* backend_cpu_statistics.c */
size_t imp_cpu_statistics_scratch(const imp_map *map);
void imp_cpu_statistics(imp_context *context, const imp_map *map, float *scratch, float *sum, float *second);
size_t imp_cpu_statistics_gradient_scratch(const imp_context *context, imp_element element, int channels);
void imp_cpu_statistics_gradient(imp_context *context, const imp_map *map, const float *by_second, const float *by_sum,
                                 float *scratch, const imp_map *gradient, int accumulate, const imp_map *mask);
double imp_cpu_squared_difference(imp_context *context, const imp_map *a, const imp_map *b);

#endif
