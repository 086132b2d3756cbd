/* The table of hot loops. Each has a plain C reference; faster versions override entries by what the CPU can do. There is
 * one table for each type of the elements of feature maps: f32, or bf16 in half the memory.
 *
 * Feature maps are in the blocked layout: channels in blocks of 16 (64 bytes of f32), each block a plane of (height +
 * 2 halo) rows of (width + 2 halo) pixels of 16 channels. Channels past the last are zero, always. The halo is filled
 * by whoever writes the map (its filling is the padding mode), so that no kernel here has padding logic.
 *
 *     channel c of pixel (y, x):  at[(c / 16) * plane + y * row + x * 16 + c % 16],  y, x from -halo on
 *
 * Work is cut by the caller: every function takes the blocks and rows that it shall write, and what it computes for a
 * pixel never depends on the cut, so that results are the same for any number of threads. Sums over rows are the
 * exception by nature: they depend in the last bits on where the rows begin and end (not on the blocks), so cut rows
 * the same way whatever the number of threads.
 *
 * A NaN is passed on: ReLU keeps it, max pooling takes it for the greatest (its gradient goes to the window's last
 * NaN, as in PyTorch), sums become NaN. A mask that is NaN counts as not > 0.
 */
#ifndef IMP_KERNELS_H
#define IMP_KERNELS_H

#include <stddef.h>

#define IMP_BLOCK 16 /* channels of a block */

/* What a feature map consists of. bf16 is the upper half of an f32: its range, and 8 bits of precision. Maps of bytes are
   the choices of imp_pooling alone. */
typedef enum imp_element { IMP_ELEMENT_F32, IMP_ELEMENT_BF16, IMP_ELEMENT_BYTE } imp_element;

static inline size_t imp_element_bytes(imp_element element) {
    return element == IMP_ELEMENT_F32 ? 4 : element == IMP_ELEMENT_BF16 ? 2 : 1;
}

/* One picture's feature map; strides in elements. */
typedef struct imp_view {
    void *at; /* channel 0 of pixel (0, 0): inside the halo */
    size_t plane, row;
    int channels, height, width; /* channels: the real ones; blocks = ceil(channels / 16) */
} imp_view;

static inline int imp_blocks(int channels) {
    return (channels + IMP_BLOCK - 1) / IMP_BLOCK;
}

typedef enum imp_pool_kind { IMP_POOL_MAX, IMP_POOL_AVERAGE } imp_pool_kind;

/* 2x2 pooling with stride 2, a ReLU before it included; an odd last row or column is dropped, as PyTorch does. For the way
   back each window leaves a byte for each channel, its choice: bit 2 y + x says that the gradient of the window is that
   of its pixel (y, x) too. Max: the first of the greatest, in row order; average: all; after a ReLU only what is > 0. */
typedef struct imp_pooling {
    imp_pool_kind kind;
    float average_scale; /* the mean is multiplied by this */
    int relu;
    imp_view windows; /* of pooled pixels, or of their gradient */
    imp_view choices; /* of windows' shape; at NULL: none are wanted, or on the way back all bits are set */
} imp_pooling;

/* out[o](y, x) = epilogue(bias[o] + sum over i, ky, kx of
                           weights[o][i][ky][kx] *
                           in[i](y * stride + ky * dilation - pad_y, x * stride + kx * dilation - pad_x))
   epilogue: add what is in out (accumulate), then ReLU (relu), then keep only where mask > 0 (mask: zero elsewhere). Without
   taps it is what is left. */
typedef struct imp_convolution {
    imp_view in, out;
    const void *weights; /* packed by pack_weights; NULL for Winograd */
    const float *plain;  /* as they are, for Winograd: imp_plain_weights */
    int plain_out, plain_in, turned;
    const float *bias;                                     /* imp_blocks(out.channels) * 16 floats, or NULL */
    int kernel_height, kernel_width, stride, pad_y, pad_x; /* the halo of in covers the padding */
    int dilation;                                          /* 0 means 1; Winograd knows no other */
    int out_step; /* pixels from one of a row of out to the next, and of mask; 0 means 1; Winograd knows no other */
    int accumulate, relu;
    const imp_view *mask; /* of out's shape, or NULL */
    /* Winograd alone; NULL: none. pool: what would be out, which is not written then and has none of the epilogue, is pooled.
       unpool: the input is what pool_backward makes of this, of in's shape, whose pixels are not there. */
    const imp_pooling *pool, *unpool;
    void *scratch; /* where the table has convolve_scratch: so many bytes, the calling thread's own, aligned to 64 */
} imp_convolution;

static inline int imp_dilation(const imp_convolution *job) {
    return job->dilation > 1 ? job->dilation : 1;
}
static inline int imp_out_step(const imp_convolution *job) {
    return job->out_step > 1 ? job->out_step : 1;
}

/* Whether the tables but that of AMX convolve at a third of the work or less (narrow.inc), where stride and dilation are 1: few outputs, of
   several taps. Every call computes kernel_height - 1 rows more than it writes, so the fewer calls the better. */
#define IMP_NARROW_OUTPUTS 3
#define IMP_NARROW_KERNEL 9          /* taps along a side */
#define IMP_NARROW_LANES 256         /* taps times outputs, in whole blocks: all that there can be */
#define IMP_NARROW_WEIGHTS (1 << 14) /* lanes times inputs */
static inline int imp_narrow_lanes(int out_channels, int kernel_height, int kernel_width) {
    return imp_blocks(kernel_height * kernel_width * out_channels) * IMP_BLOCK;
}
static inline int imp_convolution_is_narrow(int in_channels, int out_channels, int kernel_height, int kernel_width) {
    return out_channels <= IMP_NARROW_OUTPUTS && kernel_height * kernel_width > 1 &&
           kernel_height <= IMP_NARROW_KERNEL && kernel_width <= IMP_NARROW_KERNEL &&
           in_channels <= IMP_NARROW_WEIGHTS / imp_narrow_lanes(out_channels, kernel_height, kernel_width);
}

/* The steps of Winograd convolution with tiles of outputs x outputs, for 3x3 kernels of stride 1 (winograd.inc has the
   method). A tile is numbered along the rows of tiles of the output; n = (outputs + 2)^2 points. The buffers are the
   caller's: weights of some output blocks, input of some tiles, and products of both, each of imp_winograd_floats.
   A pixel's value never depends on the cut. A NaN or an infinity of the input spreads over the tiles that it touches. */
typedef struct imp_winograd {
    int outputs;
    int tiles;           /* that a pass takes at once: hand out whole multiples */
    size_t factor_bytes; /* of what is multiplied: 4 for f32, 2 for bf16; products are f32 */
    /* From the job's plain weights, of output blocks [block_begin, block_end). */
    void (*transform_weights)(const imp_convolution *job, int block_begin, int block_end, void *weights);
    /* Of input blocks [block_begin, block_end), into their place among all input blocks. */
    void (*transform_input)(const imp_convolution *job, int block_begin, int block_end, int tile_begin, int tile_end,
                            void *input);
    /* The products of both, of all points. */
    void (*multiply)(const imp_convolution *job, int block_begin, int block_end, int tile_begin, int tile_end,
                     const void *weights, const void *input, float *products);
    /* Transforms the products to the outputs and writes them with the job's epilogue. */
    void (*transform_output)(const imp_convolution *job, int block_begin, int block_end, int tile_begin, int tile_end,
                             const float *products);
} imp_winograd;

/* Factors or products from one point to the next in a buffer of blocks of rows (channels or tiles) x 16: a cache line or
   two more than those, or else the points of a tile fall on the same few lines of a cache. Rows of weights come in
   pairs, as bf16 factors are multiplied. */
static inline size_t imp_winograd_stride(int blocks, int rows) {
    return ((size_t)blocks * (size_t)rows + 2) * IMP_BLOCK;
}
static inline int imp_winograd_rows(int channels) {
    return (channels + 1) / 2 * 2;
}

/* Elements of a buffer. Weights: (output blocks, imp_winograd_rows(input channels)), input: (input blocks, tiles), both
   factors; products: (output blocks, tiles), floats. */
static inline size_t imp_winograd_size(const imp_winograd *steps, int blocks, int rows) {
    return (size_t)((steps->outputs + 2) * (steps->outputs + 2)) * imp_winograd_stride(blocks, rows);
}

/* Tiles along a row or column of size outputs. */
static inline int imp_winograd_tiles(int size, int outputs) {
    return (size + outputs - 1) / outputs;
}

/* out[c] (=, or += with accumulate) x_factor[c] * x + y_factor[c] * y + addend[c], then the epilogue of a convolution. What
   has no y goes without its term; a factor that is NULL is 1, an addend 0. out may be y. */
typedef struct imp_blend {
    const imp_view *x, *y, *out;               /* y, or x and y: NULL */
    const float *x_factor, *y_factor, *addend; /* imp_blocks(channels) * 16 floats; past the last channel addend is 0 */
    int accumulate, relu;
    const imp_view *mask;
} imp_blend;

/* As PyTorch defines them, with x the input:
       leaky ReLU     x where x > 0, else slope * x           hard sigmoid   relu6(x + 3) / 6
       ReLU6          x between 0 and 6                       hard swish     x * relu6(x + 3) / 6
       sigmoid        1 / (1 + exp(-x))                       tanh
   At their corners the derivatives are those of the flat side, or of slope. */
typedef enum imp_activation {
    IMP_ACTIVATION_LEAKY_RELU,
    IMP_ACTIVATION_RELU6,
    IMP_ACTIVATION_HARD_SIGMOID,
    IMP_ACTIVATION_HARD_SWISH,
    IMP_ACTIVATION_SIGMOID,
    IMP_ACTIVATION_TANH
} imp_activation;

/* Windows of pooling: out(y, x) is of the pixels of in from (y * stride - pad_y, x * stride - pad_x) on. Each window has a
   pixel inside the picture; those outside do not count, whatever the halo holds. */
typedef struct imp_windows {
    int kernel_height, kernel_width, stride, pad_y, pad_x;
} imp_windows;

typedef struct imp_kernels {
    const char *name;    /* "avx512", "avx2", "sse2", "neon", "c" ... */
    imp_element element; /* of every view that it is given */
    imp_element factor;  /* what convolutions multiply: their weights are rounded to it */

    /* Bytes that packed weights take (enough for either direction, the same for each tap), and the packing of
       weights[out][in][kh][kw]. With transpose the packed ones are those of backward-data at stride 1: in and out
       swapped, the kernel turned by 180 degrees; its padding is kernel - 1 - pad. */
    size_t (*packed_bytes)(int out_channels, int in_channels, int kernel_height, int kernel_width);
    void (*pack_weights)(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                         int transpose, void *packed);

    /* Writes output blocks [block_begin, block_end) of output rows [row_begin, row_end). */
    void (*convolve)(const imp_convolution *job, int block_begin, int block_end, int row_begin, int row_end);
    /* Bytes of scratch that a call for so many rows may take, of the job or of one with a part of its kernel and output; NULL:
       none. Such a table gathers what rows read, and a tile of its weights serves four of them: cut 8 rows or more, a few
       hundred pixels, and blocks where that leaves threads without work. */
    size_t (*convolve_scratch)(const imp_convolution *job, int rows);
    /* Where there is no scratch: block count by which callers should cut output channels (1, or 2 when two blocks share a pass); other cuts are
       slower, not wrong. Cut rows where each thread gets 16 or more (then it reads its own part of the input and all
       weights), else cut blocks as well (then it reads its own part of the weights and all of the input): the deep
       layers of small pictures, or many threads. A call for a few rows reads all weights for them, so make calls as
       large as the threads allow. */
    int convolve_block_step;
    /* The same where each channel has a kernel of its own: in and out have the same channels. weights are those of
       imp_pack_depthwise, in f32 for every table. */
    void (*convolve_depthwise)(const imp_convolution *job, int block_begin, int block_end, int row_begin, int row_end);
    /* The gradient of convolve by its weights, over some rows of out: job->in is what the forward read, job->out the gradient
       by its output, which is only read; of the rest the kernel, stride, padding and dilation count. Written, as a sum over
       rows [row_begin, row_end) of out, with 0 for channels past the last:
           partial[o block - out_begin][i block - in_begin][ky][kx][16 of i][16 of o] */
    void (*weight_gradient)(const imp_convolution *job, int out_begin, int out_end, int in_begin, int in_end,
                            int row_begin, int row_end, float *partial);
    /* The same for convolve_depthwise: partial[block][ky][kx][16], for blocks [block_begin, block_end) of all. */
    void (*depthwise_weight_gradient)(const imp_convolution *job, int block_begin, int block_end, int row_begin,
                                      int row_end, float *partial);
    /* As convolve, for 3x3 kernels of stride 1, with fewer multiplications; ends with NULL. */
    const imp_winograd *winograd[3];

    /* Rows are of windows. */
    void (*pool)(const imp_pooling *job, const imp_view *in, int block_begin, int block_end, int row_begin,
                 int row_end);
    /* The gradient by what pool saw, from that of the windows: writes (or adds to, with accumulate) rows of gradient,
       multiplied by (mask > 0) at the end where mask is given; begin at even rows for speed. */
    void (*pool_backward)(const imp_pooling *job, const imp_view *gradient, int accumulate, const imp_view *mask,
                          int block_begin, int block_end, int row_begin, int row_end);

    /* Additive statistics of rows [row_begin, row_end): second[i * stride + j] = sum of F_i F_j for i in the blocks
       [block_begin, block_end) and j in blocks 0..block of i (the lower triangle by blocks, whole blocks on the
       diagonal); written, not added to. stride: imp_blocks(channels) * 16. A block's work grows with its index: hand
       blocks out one by one, the last first, or a call for all of them is fastest (a run of pixels stays in the cache
       for all pairs). */
    void (*second_moments)(const imp_view *map, int block_begin, int block_end, int row_begin, int row_end,
                           float *second, size_t stride);
    /* sum[c] = sum over the rows of x - x_shift[c], and, unless y is NULL, product[c] = sum of (x - x_shift[c]) *
       (y - y_shift[c]), for the blocks; written. A shift that is NULL is 0; past the last channel shifts are 0. y may be x.
       Mean and variance: x and y the same, both shifted by a mean (of sums, or one nearby). Without a shift the variance
       that is left of a sum of squares has the rounding of the squares' mean, about 1e-7 of it: a relative error of
       1e-7 * (1 + mean^2 / variance). Backward of a norm: x the gradient, y the input, y_shift its means. */
    void (*channel_products)(const imp_view *x, const imp_view *y, const float *x_shift, const float *y_shift,
                             int block_begin, int block_end, int row_begin, int row_end, float *sum, float *product);
    void (*blend)(const imp_blend *job, int block_begin, int block_end, int row_begin, int row_end);

    /* out = the function of in. slope: of the leaky ReLU only. */
    void (*activate)(imp_activation kind, float slope, const imp_view *in, const imp_view *out, int block_begin,
                     int block_end, int row_begin, int row_end);
    /* in_gradient (=, or += with accumulate) out_gradient times the derivative at in, then times (mask > 0) where mask is
       given. in: what activate saw. */
    void (*activate_backward)(imp_activation kind, float slope, const imp_view *in, const imp_view *out_gradient,
                              const imp_view *in_gradient, int accumulate, const imp_view *mask, int block_begin,
                              int block_end, int row_begin, int row_end);

    /* Every pixel of in becomes factor x factor of out, whose rows are meant. */
    void (*enlarge)(int factor, const imp_view *in, const imp_view *out, int block_begin, int block_end, int row_begin,
                    int row_end);
    /* Rows of in_gradient; accumulate and mask as above, here and in the next ones. */
    void (*enlarge_backward)(int factor, const imp_view *out_gradient, const imp_view *in_gradient, int accumulate,
                             const imp_view *mask, int block_begin, int block_end, int row_begin, int row_end);
    /* Bilinear, between any sizes: pixel centres are at halves, what lies outside the outermost centres is as they are, and
       a smaller picture takes the 2x2 pixels about its own (PyTorch's interpolate with align_corners and antialias False). */
    void (*resize)(const imp_view *in, const imp_view *out, int block_begin, int block_end, int row_begin, int row_end);
    void (*resize_backward)(const imp_view *out_gradient, const imp_view *in_gradient, int accumulate,
                            const imp_view *mask, int block_begin, int block_end, int row_begin, int row_end);
    /* The greatest of a window, and its gradient: to the first of the greatest, in row order. in: what max_pool saw. */
    void (*max_pool)(const imp_windows *windows, const imp_view *in, const imp_view *out, int block_begin,
                     int block_end, int row_begin, int row_end);
    void (*max_pool_backward)(const imp_windows *windows, const imp_view *in, const imp_view *out_gradient,
                              const imp_view *in_gradient, int accumulate, const imp_view *mask, int block_begin,
                              int block_end, int row_begin, int row_end);

    /* Sum over the blocks and rows of (a - b)^2. The parts of a cut add up to the whole except for the
       last bits of a double. */
    double (*squared_difference)(const imp_view *a, const imp_view *b, int block_begin, int block_end, int row_begin,
                                 int row_end);
    /* out (=, or += with accumulate) weight * (a - b), then times (mask > 0) where mask is given. */
    void (*scaled_difference)(float weight, const imp_view *a, const imp_view *b, const imp_view *out, int accumulate,
                              const imp_view *mask, int block_begin, int block_end, int row_begin, int row_end);

    /* Row-major C[m x n] = alpha * A[m x k] * B[k x n] + beta * C, rows [row_begin, row_end) of C, leading dimensions
       in floats; packed inside in scratch of gemm_scratch(n, k) floats that the calling thread owns. beta = 0 never
       reads C. For the small matrices of losses. */
    size_t (*gemm_scratch)(int n, int k);
    void (*gemm)(int n, int k, float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                 float *c, size_t ldc, int row_begin, int row_end, float *scratch);
} imp_kernels;

/* The best table for these imp_cpu_feature bits (base/cpu.h); one of a few constant tables, never NULL. */
const imp_kernels *imp_kernels_get(unsigned cpu_features, imp_element element);

/* Weights [channel][kh][kw] to [block][kh][kw][16], imp_blocks(channels) * kh * kw * 16 floats, zero past the last
   channel. With transpose turned by 180 degrees: those of backward-data at stride 1. */
void imp_pack_depthwise(const float *weights, int channels, int kernel_height, int kernel_width, int transpose,
                        float *packed);

/* Adds a partial weight gradient, of these blocks, to gradient[out][in][kh][kw]; the channels that there are. */
void imp_unpack_weight_gradient(const float *partial, int out_channels, int in_channels, int kernel_height,
                                int kernel_width, int out_begin, int out_end, int in_begin, int in_end,
                                float *gradient);
/* Adds a partial depthwise one, [block][kh][kw][16] of all blocks, to gradient[channel][kh][kw]. */
void imp_unpack_depthwise_gradient(const float *partial, int channels, int kernel_height, int kernel_width,
                                   float *gradient);

/* Points the job to the weights[out][in][3][3] that Winograd transforms; transpose as in pack_weights. */
static inline void imp_plain_weights(imp_convolution *job, const float *weights, int in_channels, int transpose) {
    job->plain = weights;
    job->plain_out = transpose ? 9 : 9 * in_channels;
    job->plain_in = transpose ? 9 * in_channels : 9;
    job->turned = transpose;
}

#endif
