/* Every kernel in plain C: what the faster versions are tested against, and what runs where there is none.
 * The innermost loops go over the 16 channels of a block, or along a row, so that any compiler turns them
 * into whatever vectors the machine has. */
#include "kernels/tables.h"

#include <string.h>

/* A NaN is not less than zero, so it stays: a broken model or picture shows. */
static float rectify(float value) {
    return value < 0 ? 0 : value;
}

/* Four channels; compilers turn it into a register where there is one, but not an array of 16. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* Adds to the sums of one output pixel, 16 channels: over input block, ky, kx, channel, in this order. */
static void convolve_pixel(const imp_convolution *job, int block, int y, int x, quad sum[4]) {
    const quad *weights = (const quad *)imp_block_weights(job, block);
    quad sum0 = sum[0], sum1 = sum[1], sum2 = sum[2], sum3 = sum[3];
    for (int input = 0; input < imp_blocks(job->in.channels); input++) {
        int depth = imp_block_channels(job->in.channels, input);
        for (int ky = 0; ky < job->kernel_height; ky++)
            for (int kx = 0; kx < job->kernel_width; kx++) {
                const float *in =
                    imp_pixel(&job->in, input, y * job->stride + ky - job->pad_y, x * job->stride + kx - job->pad_x);
                for (int c = 0; c < depth; c++, weights += 4) {
                    sum0 += in[c] * weights[0];
                    sum1 += in[c] * weights[1];
                    sum2 += in[c] * weights[2];
                    sum3 += in[c] * weights[3];
                }
            }
    }
    sum[0] = sum0, sum[1] = sum1, sum[2] = sum2, sum[3] = sum3;
}

static void convolve(const imp_convolution *job, int block_begin, int block_end, int row_begin, int row_end) {
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++)
            for (int x = 0; x < job->out.width; x++) {
                float *out = imp_pixel(&job->out, block, y, x);
                float sum[IMP_BLOCK] = {0};
                if (job->bias) memcpy(sum, job->bias + block * IMP_BLOCK, sizeof sum);
                if (job->accumulate)
                    for (int lane = 0; lane < IMP_BLOCK; lane++) sum[lane] += out[lane];
                convolve_pixel(job, block, y, x, (quad *)sum);
                if (job->relu)
                    for (int lane = 0; lane < IMP_BLOCK; lane++) sum[lane] = rectify(sum[lane]);
                if (job->mask) {
                    const float *mask = imp_pixel(job->mask, block, y, x);
                    for (int lane = 0; lane < IMP_BLOCK; lane++) sum[lane] = mask[lane] > 0 ? sum[lane] : 0;
                }
                memcpy(out, sum, sizeof sum);
            }
}

/* The four pixels of a pooling window. */
static void window_of(const imp_view *in, int block, int y, int x, const float *window[4]) {
    window[0] = imp_pixel(in, block, 2 * y, 2 * x);
    window[1] = window[0] + IMP_BLOCK;
    window[2] = window[0] + in->row;
    window[3] = window[2] + IMP_BLOCK;
}

/* The first of the greatest of four; a NaN counts as greatest, so that it is passed on. */
static int greatest(const float *const window[4], int lane) {
    int best = 0;
    for (int i = 1; i < 4; i++) {
        float value = window[i][lane];
        if (value > window[best][lane] || value != value) best = i;
    }
    return best;
}

static void pool(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out, int block_begin,
                 int block_end, int row_begin, int row_end) {
    const float *window[4];
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++)
            for (int x = 0; x < out->width; x++) {
                float *to = imp_pixel(out, block, y, x);
                window_of(in, block, y, x, window);
                for (int c = 0; c < IMP_BLOCK; c++)
                    if (kind == IMP_POOL_MAX)
                        to[c] = window[greatest(window, c)][c];
                    else
                        to[c] =
                            ((window[0][c] + window[1][c]) + (window[2][c] + window[3][c])) * (average_scale * 0.25f);
            }
}

/* What pooling hands back to channel c of pixel (y, x) of its input. */
static float pool_gradient(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out_gradient,
                           int block, int y, int x, int c) {
    const float *window[4];
    if (y / 2 >= out_gradient->height || x / 2 >= out_gradient->width) return 0;
    float gradient = imp_pixel(out_gradient, block, y / 2, x / 2)[c];
    if (kind == IMP_POOL_AVERAGE) return gradient * (average_scale * 0.25f);
    window_of(in, block, y / 2, x / 2, window);
    return greatest(window, c) == y % 2 * 2 + x % 2 ? gradient : 0;
}

static void pool_backward(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out_gradient,
                          const imp_view *in_gradient, int accumulate, const imp_view *mask, int block_begin,
                          int block_end, int row_begin, int row_end) {
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++)
            for (int x = 0; x < in_gradient->width; x++) {
                float *to = imp_pixel(in_gradient, block, y, x);
                const float *keep = mask ? imp_pixel(mask, block, y, x) : NULL;
                for (int c = 0; c < IMP_BLOCK; c++) {
                    float value = pool_gradient(kind, average_scale, in, out_gradient, block, y, x, c);
                    if (accumulate) value += to[c];
                    to[c] = keep && !(keep[c] > 0) ? 0 : value;
                }
            }
}

/* Adds the products of two blocks' channels over a run of pixels. */
static void add_products(const imp_view *map, int i, int j, int y, int height, int x, int width, float *second,
                         size_t stride) {
    float sum[IMP_BLOCK][IMP_BLOCK] = {{0}};
    for (int row = 0; row < height; row++) {
        const float *restrict a = imp_pixel(map, i, y + row, x);
        const float *restrict b = imp_pixel(map, j, y + row, x);
        for (int pixel = 0; pixel < width; pixel++, a += IMP_BLOCK, b += IMP_BLOCK)
            for (int c = 0; c < IMP_BLOCK; c++)
                for (int lane = 0; lane < IMP_BLOCK; lane++) sum[c][lane] += a[c] * b[lane];
    }
    for (int c = 0; c < IMP_BLOCK; c++)
        for (int lane = 0; lane < IMP_BLOCK; lane++)
            second[((size_t)i * IMP_BLOCK + (size_t)c) * stride + (size_t)j * IMP_BLOCK + (size_t)lane] += sum[c][lane];
}

static void second_moments(const imp_view *map, int block_begin, int block_end, int row_begin, int row_end,
                           float *second, size_t stride) {
    for (int i = block_begin * IMP_BLOCK; i < block_end * IMP_BLOCK; i++)
        memset(second + (size_t)i * stride, 0, (size_t)(i / IMP_BLOCK + 1) * IMP_BLOCK * sizeof *second);
    int rows = imp_run_rows(map->width);
    for (int y = row_begin; y < row_end; y += rows)
        for (int x = 0; x < map->width; x += IMP_RUN) {
            int height = row_end - y < rows ? row_end - y : rows;
            int width = map->width - x < IMP_RUN ? map->width - x : IMP_RUN;
            for (int i = block_begin; i < block_end; i++)
                for (int j = 0; j <= i; j++) add_products(map, i, j, y, height, x, width, second, stride);
        }
}

static void sums(const imp_view *map, int block_begin, int block_end, int row_begin, int row_end, float *sum) {
    for (int block = block_begin; block < block_end; block++) {
        double total[IMP_BLOCK] = {0};
        for (int y = row_begin; y < row_end; y++) {
            const float *at = imp_pixel(map, block, y, 0);
            for (int x = 0; x < map->width; x++, at += IMP_BLOCK)
                for (int c = 0; c < IMP_BLOCK; c++) total[c] += (double)at[c];
        }
        for (int c = 0; c < IMP_BLOCK; c++) sum[block * IMP_BLOCK + c] = (float)total[c];
    }
}

static double squared_difference(const imp_view *a, const imp_view *b, int block_begin, int block_end, int row_begin,
                                 int row_end) {
    double total[IMP_BLOCK] = {0}, all = 0;
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++) {
            const float *from_a = imp_pixel(a, block, y, 0), *from_b = imp_pixel(b, block, y, 0);
            for (int x = 0; x < a->width; x++, from_a += IMP_BLOCK, from_b += IMP_BLOCK)
                for (int c = 0; c < IMP_BLOCK; c++) {
                    float difference = from_a[c] - from_b[c];
                    total[c] += (double)difference * (double)difference;
                }
        }
    for (int c = 0; c < IMP_BLOCK; c++) all += total[c];
    return all;
}

static void scaled_difference(float weight, const imp_view *a, const imp_view *b, const imp_view *out, int accumulate,
                              const imp_view *mask, int block_begin, int block_end, int row_begin, int row_end) {
    int count = out->width * IMP_BLOCK;
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++) {
            const float *from_a = imp_pixel(a, block, y, 0), *from_b = imp_pixel(b, block, y, 0);
            const float *keep = mask ? imp_pixel(mask, block, y, 0) : NULL;
            float *to = imp_pixel(out, block, y, 0);
            for (int i = 0; i < count; i++) {
                float value = weight * (from_a[i] - from_b[i]);
                if (accumulate) value += to[i];
                to[i] = keep && !(keep[i] > 0) ? 0 : value;
            }
        }
}

static void apply_mask(const imp_view *out, const imp_view *mask, int block_begin, int block_end, int row_begin,
                       int row_end) {
    int count = out->width * IMP_BLOCK;
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++) {
            const float *keep = imp_pixel(mask, block, y, 0);
            float *to = imp_pixel(out, block, y, 0);
            for (int i = 0; i < count; i++) to[i] = keep[i] > 0 ? to[i] : 0;
        }
}

/* One row of sums. */
static size_t gemm_scratch(int n, int k) {
    (void)k;
    return (size_t)n;
}

static void gemm(int n, int k, float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                 float *c, size_t ldc, int row_begin, int row_end, float *restrict scratch) {
    for (int i = row_begin; i < row_end; i++) {
        float *to = c + (size_t)i * ldc;
        memset(scratch, 0, (size_t)n * sizeof *scratch);
        for (int p = 0; p < k; p++) {
            float value = a[(size_t)i * lda + (size_t)p];
            const float *restrict from = b + (size_t)p * ldb;
            for (int j = 0; j < n; j++) scratch[j] += value * from[j];
        }
        for (int j = 0; j < n; j++) to[j] = beta != 0 ? beta * to[j] + alpha * scratch[j] : alpha * scratch[j];
    }
}

const imp_kernels imp_kernels_c = {
    .name = "c",
    .packed_size = imp_packed_size,
    .pack_weights = imp_pack_weights,
    .convolve = convolve,
    .convolve_block_step = 1,
    .pool = pool,
    .pool_backward = pool_backward,
    .second_moments = second_moments,
    .sums = sums,
    .squared_difference = squared_difference,
    .scaled_difference = scaled_difference,
    .apply_mask = apply_mask,
    .gemm_scratch = gemm_scratch,
    .gemm = gemm,
};
