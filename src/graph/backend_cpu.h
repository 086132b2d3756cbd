/* What the files of the CPU backend share: how work is cut, and the primitives that have a file of their own. */
#ifndef IMP_GRAPH_BACKEND_CPU_H
#define IMP_GRAPH_BACKEND_CPU_H

#include "graph/backend.h"

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

const imp_kernels *imp_cpu_kernels(const imp_context *context);

/* The primitives of imp_backend. */
void imp_cpu_convolve(imp_context *context, const imp_map_convolution *map);

/* backend_cpu_pixels.c */
void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         const imp_map *map, int replicate);
void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int replicate, float *pixels);
void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out);

/* backend_cpu_statistics.c */
size_t imp_cpu_statistics_scratch(const imp_map *map);
void imp_cpu_statistics(imp_context *context, const imp_map *map, float *scratch, float *sum, float *second);
size_t imp_cpu_statistics_gradient_scratch(const imp_context *context, int channels);
void imp_cpu_statistics_gradient(imp_context *context, const imp_map *map, const float *by_second, const float *by_sum,
                                 float *scratch, const imp_map *gradient, int accumulate, const imp_map *mask);
double imp_cpu_squared_difference(imp_context *context, const imp_map *a, const imp_map *b);

#endif
