/* What the files of the CPU backend share: how work is cut, and the primitives that have a file of their own. */
#ifndef IMP_GRAPH_BACKEND_CPU_H
#define IMP_GRAPH_BACKEND_CPU_H

#include "base/half.h"
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
    int thread; /* that works on it, from 0 on */
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

static inline int imp_convolution_is_depthwise(const imp_map_convolution *map) {
    return imp_is_depthwise(map->groups, map->in.view.channels, map->out.view.channels);
}

/* Zeros between the pixels that a convolution reads, and one more. */
static inline int imp_spread(const imp_map_convolution *map) {
    return map->spread > 1 ? map->spread : 1;
}

/* The primitives of imp_backend. */
void imp_cpu_convolve(imp_context *context, const imp_map_convolution *map);
size_t imp_cpu_convolution_scratch(const imp_context *context, const imp_map_convolution *map, int any_threads);

/* One picture's pooling. */
imp_pooling imp_cpu_view_pooling(const imp_map_pooling *map, int picture);

/* A convolution of one picture; its mask points to *mask where there is one. scratch: the thread's own, or NULL. */
void imp_cpu_view_convolution(const imp_map_convolution *map, int picture, void *scratch, imp_convolution *convolution,
                              imp_view *mask);

/* backend_cpu_winograd.c. find: the way to convolve, NULL for the direct one. */
const imp_winograd *imp_cpu_find_winograd(const imp_context *context, const imp_map_convolution *map);
size_t imp_cpu_winograd_scratch(const imp_map_convolution *map, const imp_winograd *steps, int threads); /* floats */
void imp_cpu_winograd(imp_context *context, const imp_map_convolution *map, const imp_winograd *steps);

/* A piece's halo: zeros beside its rows, and above and below the map where the piece ends there. */
void imp_cpu_zero_halo(const imp_map *map, const imp_piece *piece);

/* For work that costs the same everywhere: one block at a time, and an even number of rows so that no pooling
   window is torn. */
void imp_cpu_run_evenly(imp_context *context, const imp_map *map, imp_piece_work *work, void *job);

/* An element of a map; index counts from at in elements. */
static inline float imp_get_element(imp_element element, const void *at, size_t index) {
    return element == IMP_ELEMENT_F32 ? ((const float *)at)[index] : imp_bf16_to_f32(((const uint16_t *)at)[index]);
}

static inline void imp_put_element(imp_element element, void *at, size_t index, float value) {
    if (element == IMP_ELEMENT_F32)
        ((float *)at)[index] = value;
    else
        ((uint16_t *)at)[index] = imp_f32_to_bf16(value);
}

/* backend_cpu_gradient.c */
size_t imp_cpu_weight_gradient_scratch(const imp_map_weight_gradient *job);
void imp_cpu_weight_gradient(imp_context *context, const imp_map_weight_gradient *job);

/* backend_cpu_halo.c */
void imp_cpu_fill_halo(imp_context *context, const imp_map *map, imp_padding padding);
void imp_cpu_fold_halo(imp_context *context, const imp_map *gradient, int halo, imp_padding padding,
                       const imp_map *mask);

/* backend_cpu_layers.c */
void imp_cpu_blend(imp_context *context, const imp_map_blend *job);
void imp_cpu_channel_products(imp_context *context, const imp_map *x, const imp_map *y, const float *x_shift,
                              const float *y_shift, float *sum, float *product);
void imp_cpu_fill_channels(imp_context *context, float *values, float scale, const imp_map *out, int accumulate,
                           const imp_map *mask);
void imp_cpu_activate(imp_context *context, imp_activation kind, float slope, const imp_map *in, const imp_map *out);
void imp_cpu_activate_backward(imp_context *context, imp_activation kind, float slope, const imp_map *in,
                               const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                               const imp_map *mask);
void imp_cpu_enlarge(imp_context *context, int factor, const imp_map *in, const imp_map *out);
void imp_cpu_enlarge_backward(imp_context *context, int factor, const imp_map *out_gradient, const imp_map *in_gradient,
                              int accumulate, const imp_map *mask);
void imp_cpu_resize(imp_context *context, const imp_map *in, const imp_map *out);
void imp_cpu_resize_backward(imp_context *context, const imp_map *out_gradient, const imp_map *in_gradient,
                             int accumulate, const imp_map *mask);
void imp_cpu_max_pool(imp_context *context, const imp_windows *windows, const imp_map *in, const imp_map *out);
void imp_cpu_max_pool_backward(imp_context *context, const imp_windows *windows, const imp_map *in,
                               const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                               const imp_map *mask);

/* backend_cpu_shuffle.c */
void imp_cpu_shuffle(imp_context *context, const imp_map *in, const imp_map *out, int accumulate, const imp_map *mask);

/* backend_cpu_phases.c: a piece of the output of a direct convolution whose spread is not 1, but for its halo. scratch: as
   of imp_cpu_view_convolution. */
void imp_cpu_convolve_phases(const imp_map_convolution *map, const imp_kernels *kernels, void *scratch,
                             const imp_piece *piece);

/* backend_cpu_pixels.c */
void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         size_t plane, const imp_map *map);
void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int accumulate, float *pixels, size_t plane);
void imp_cpu_read_planes(imp_context *context, const imp_map *map, float *planes);
void imp_cpu_add_planes(imp_context *context, const float *planes, const imp_map *gradient, int accumulate,
                        const imp_map *mask);
void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out);

/* backend_cpu_statistics.c */
size_t imp_cpu_statistics_scratch(const imp_map *map);
void imp_cpu_statistics(imp_context *context, const imp_map *map, float *scratch, float *sum, float *second);
size_t imp_cpu_statistics_gradient_scratch(const imp_context *context, const imp_map *map, int any_threads);
void imp_cpu_statistics_gradient(imp_context *context, const imp_map *map, const float *by_second, const float *by_sum,
                                 float *scratch, const imp_map *gradient, int accumulate, const imp_map *mask);
double imp_cpu_squared_difference(imp_context *context, const imp_map *a, const imp_map *b);

#endif
