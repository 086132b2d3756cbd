/* What a plan asks of the machine that it runs on: memory, and whole-map primitives. The CPU's is one such table; a
 * GPU's would be one more.
 *
 * A primitive works on all pictures of its maps. One that writes a map (does not accumulate) also fills the map's
 * halo, with zeros unless it says otherwise, because the memory of a map was another map's a moment ago. */
#ifndef IMP_GRAPH_BACKEND_H
#define IMP_GRAPH_BACKEND_H

#include "graph/plan.h"
#include "graph/tensor.h"

/* What a convolution reads of its layer's parameters: weights packed, or plain as they lie in the network. */
typedef struct imp_layer_weights {
    const void *packed;
    const float *plain; /* [out][in][3][3] of the way forward */
    int plain_channels, transpose;
    const float *bias; /* whole blocks; NULL: none */
} imp_layer_weights;

/* 2x2 pooling of whole maps; the fields are those of imp_pooling. choices.batch 0: there are none. */
typedef struct imp_map_pooling {
    imp_pool_kind kind;
    float average_scale;
    int relu;
    imp_map windows, choices;
} imp_map_pooling;

/* A convolution beside 2x2 pooling: its result is pooled, and out a shape alone; or it reads the gradient that pooling
   hands back, of which in is the shape. */
typedef enum imp_pool_side { IMP_POOL_NOWHERE, IMP_POOL_BEHIND, IMP_POOL_BEFORE } imp_pool_side;

/* Convolution of whole maps; the fields are those of imp_convolution. */
typedef struct imp_map_convolution {
    imp_map in, out;
    imp_pool_side pool;
    imp_map_pooling pooling;
    imp_layer_weights weights;
    int kernel, stride, pad, dilation, groups;
    int spread; /* in is read as if between its pixels there were so many of zeros, less one: backward of a stride; 0: 1 */
    int accumulate, relu;
    const imp_map *mask;
    int rows;       /* of the output, by which the way to convolve is chosen; 0: as many as it has */
    float *scratch; /* convolution_scratch floats */
} imp_map_convolution;

/* The gradient by a convolution's weights [out][in / groups][kernel][kernel] and bias [out], summed over the pictures; added
   to what is there. NULL: not wanted. */
typedef struct imp_map_weight_gradient {
    const imp_map *in, *gradient; /* what forward reads, and the gradient by what it writes */
    int kernel, stride, pad, dilation, groups;
    float *weights, *bias;
    float *scratch; /* weight_gradient_scratch floats */
} imp_map_weight_gradient;

/* As imp_blend, with a factor or addend for each channel of each picture, [batch, channels in whole blocks]. */
typedef struct imp_map_blend {
    const imp_map *x, *y, *out; /* y, or x and y: NULL for none */
    const float *x_factor, *y_factor, *addend;
    int accumulate, relu;
    const imp_map *mask;
} imp_map_blend;

#define IMP_MANY_THREADS 8 /* see convolution_scratch */

typedef struct imp_backend {
    float *(*allocate)(imp_context *context, size_t bytes);
    void (*release)(imp_context *context, float *memory);
    const char *(*name)(const imp_context *context, imp_element element); /* "avx512": how --verbose names kernels */

    /* Weights that this convolution of a layer needs, kept in the network: bytes that would be added to it, and the
       weights themselves. transpose: for backward-data; then there is no bias. */
    size_t (*missing_weights)(const imp_context *context, const imp_network *network, int layer, int transpose,
                              const imp_map_convolution *job);
    int (*weights)(imp_context *context, const imp_network *network, int layer, int transpose,
                   const imp_map_convolution *job, imp_layer_weights *weights);

    /* Pixels [batch, 3] of planes to the preprocessed map, which has 3 channels or 3 times the square of a factor: then
       channel c factor^2 + i factor + j of pixel (y, x) is channel c of (y factor + i, x factor + j), as PyTorch's
       PixelUnshuffle has it. plane: floats from one plane to the next, which may have more rows than the map. */
    void (*load_pixels)(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels, size_t plane,
                        const imp_map *map);
    /* The reverse for gradients (=, or += with accumulate). */
    void (*store_pixel_gradient)(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                 int accumulate, float *pixels, size_t plane);
    /* A map of such channels on the scale -1..1 to planes [batch, 3] on 0..255. */
    void (*read_planes)(imp_context *context, const imp_map *map, float *planes);
    /* The gradient by the map of one picture (=, or += with accumulate), then times (mask > 0), from that by its planes; planes
       NULL: zeros. */
    void (*add_planes)(imp_context *context, const float *planes, const imp_map *gradient, int accumulate,
                       const imp_map *mask);

    /* Fills the halo with copies of pixels inside. */
    void (*fill_halo)(imp_context *context, const imp_map *map, imp_padding padding);
    /* The gradient of so many pixels of halo is added to that of the pixels that they are copies of, times (mask > 0) where
       mask is given; then all of the halo is zero. */
    void (*fold_halo)(imp_context *context, const imp_map *gradient, int halo, imp_padding padding,
                      const imp_map *mask);

    /* Before there is memory: floats of scratch (0: none), and how --verbose names the way. any_threads: no fewer than
       contexts of up to IMP_MANY_THREADS threads take, so that what depends on memory is the same for all of them. */
    size_t (*convolution_scratch)(const imp_context *context, const imp_map_convolution *job, int any_threads);
    const char *(*convolution_name)(const imp_context *context, const imp_map_convolution *job);
    void (*convolve)(imp_context *context, const imp_map_convolution *job);
    void (*pool)(imp_context *context, const imp_map_pooling *job, const imp_map *in);
    size_t (*weight_gradient_scratch)(const imp_map_weight_gradient *job); /* SIZE_MAX: overflow */
    void (*weight_gradient)(imp_context *context, const imp_map_weight_gradient *job);
    /* The gradient by pool's in, from that of its windows. */
    void (*pool_backward)(imp_context *context, const imp_map_pooling *job, const imp_map *gradient, int accumulate,
                          const imp_map *mask);
    void (*relu)(imp_context *context, const imp_map *in, const imp_map *out);
    void (*clear)(imp_context *context, const imp_map *map); /* zeros, in the halo too */
    /* out = in, or out += in with accumulate; then times (mask > 0). */
    void (*pass)(imp_context *context, const imp_map *in, const imp_map *out, int accumulate, const imp_map *mask);

    void (*blend)(imp_context *context, const imp_map_blend *job);
    /* As the kernel of this name, of each picture: all [batch, channels in whole blocks]; y and product may be NULL. */
    void (*channel_products)(imp_context *context, const imp_map *x, const imp_map *y, const float *x_shift,
                             const float *y_shift, float *sum, float *product);
    /* Every pixel of out (=, or += with accumulate) its channel's value [batch, channels in whole blocks] times scale, then
       times (mask > 0). values are multiplied in place. */
    void (*fill_channels)(imp_context *context, float *values, float scale, const imp_map *out, int accumulate,
                          const imp_map *mask);
    /* Whole maps like the kernels of these names. */
    void (*activate)(imp_context *context, imp_activation kind, float slope, const imp_map *in, const imp_map *out);
    void (*activate_backward)(imp_context *context, imp_activation kind, float slope, const imp_map *in,
                              const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                              const imp_map *mask);
    void (*enlarge)(imp_context *context, int factor, const imp_map *in, const imp_map *out);
    void (*enlarge_backward)(imp_context *context, int factor, const imp_map *out_gradient, const imp_map *in_gradient,
                             int accumulate, const imp_map *mask);
    void (*resize)(imp_context *context, const imp_map *in, const imp_map *out);
    void (*resize_backward)(imp_context *context, const imp_map *out_gradient, const imp_map *in_gradient,
                            int accumulate, const imp_map *mask);
    void (*max_pool)(imp_context *context, const imp_windows *windows, const imp_map *in, const imp_map *out);
    void (*max_pool_backward)(imp_context *context, const imp_windows *windows, const imp_map *in,
                              const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                              const imp_map *mask);
    /* Between channels and squares of pixels, whichever way the shapes say, out (=, or += with accumulate), then times
       (mask > 0). */
    void (*shuffle)(imp_context *context, const imp_map *in, const imp_map *out, int accumulate, const imp_map *mask);

    /* Statistics of each picture: sum [batch, channels], second [batch, channels, channels]; scratch has
       statistics_scratch floats (0: overflow). */
    size_t (*statistics_scratch)(const imp_map *map);
    void (*statistics)(imp_context *context, const imp_map *map, float *scratch, float *sum, float *second);
    /* gradient (=, or += with accumulate) by_second map + by_sum 1^T, then times (mask > 0), of one picture: maps
       of batch 1. by_second and by_sum may be NULL, for zeros; scratch has statistics_gradient_scratch floats. */
    size_t (*statistics_gradient_scratch)(const imp_context *context, const imp_map *map, int any_threads);
    void (*statistics_gradient)(imp_context *context, const imp_map *map, const float *by_second, const float *by_sum,
                                float *scratch, const imp_map *gradient, int accumulate, const imp_map *mask);

    /* Of one picture, like the kernels of these names. */
    double (*squared_difference)(imp_context *context, const imp_map *a, const imp_map *b);
    void (*scaled_difference)(imp_context *context, float weight, const imp_map *a, const imp_map *b,
                              const imp_map *out, int accumulate, const imp_map *mask);

    /* One picture as plain [channels, height, width]. */
    void (*read_map)(imp_context *context, const imp_map *map, float *out);
} imp_backend;

extern const imp_backend imp_backend_cpu;

#endif
