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

/* b where it is greater or NaN, else a: in a chain of these the first of the greatest wins, and a NaN is
   passed on. */
static float greater_of(float a, float b) {
    return b > a || b != b ? b : a;
}

/* One pixel of pooling; top and bottom are the left pixels of the window's two rows. */
static void pool_pixel(imp_pool_kind kind, float average_scale, const float *restrict top, const float *restrict bottom,
                       float *restrict to) {
    const float *top_right = top + IMP_BLOCK, *bottom_right = bottom + IMP_BLOCK;
    if (kind == IMP_POOL_MAX)
        for (int c = 0; c < IMP_BLOCK; c++)
            to[c] = greater_of(greater_of(greater_of(top[c], top_right[c]), bottom[c]), bottom_right[c]);
    else
        for (int c = 0; c < IMP_BLOCK; c++)
            to[c] = ((top[c] + top_right[c]) + (bottom[c] + bottom_right[c])) * (average_scale * 0.25f);
}

static void pool(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out, int block_begin,
                 int block_end, int row_begin, int row_end) {
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++)
            for (int x = 0; x < out->width; x++)
                pool_pixel(kind, average_scale, imp_pixel(in, block, 2 * y, 2 * x),
                           imp_pixel(in, block, 2 * y + 1, 2 * x), imp_pixel(out, block, y, x));
}

/* The share of pixel `which` (row by row) of a window in its gradient: all when it is the first of the
   greatest, else nothing. */
static void share_of(const float *restrict top, const float *restrict bottom, const float *restrict gradient, int which,
                     float *restrict share) {
    const float *pixels[4] = {top, top + IMP_BLOCK, bottom, bottom + IMP_BLOCK};
    const float *mine = pixels[which];
    for (int c = 0; c < IMP_BLOCK; c++) share[c] = gradient[c];
    for (int other = 0; other < 4; other++) {
        const float *theirs = pixels[other];
        if (other < which)
            for (int c = 0; c < IMP_BLOCK; c++) share[c] = mine[c] > theirs[c] || mine[c] != mine[c] ? share[c] : 0;
        if (other > which)
            for (int c = 0; c < IMP_BLOCK; c++) share[c] = theirs[c] > mine[c] || theirs[c] != theirs[c] ? 0 : share[c];
    }
}

/* What pooling hands back to pixel (y, x) of its input. */
static void pool_gradient(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out_gradient,
                          int block, int y, int x, float *restrict share) {
    if (y / 2 >= out_gradient->height || x / 2 >= out_gradient->width) {
        memset(share, 0, IMP_BLOCK * sizeof *share);
        return;
    }
    const float *gradient = imp_pixel(out_gradient, block, y / 2, x / 2);
    if (kind == IMP_POOL_MAX)
        share_of(imp_pixel(in, block, y / 2 * 2, x / 2 * 2), imp_pixel(in, block, y / 2 * 2 + 1, x / 2 * 2), gradient,
                 y % 2 * 2 + x % 2, share);
    else
        for (int c = 0; c < IMP_BLOCK; c++) share[c] = gradient[c] * (average_scale * 0.25f);
}

/* Stores values, added to what is there (accumulate), where the mask is positive (mask may be NULL), zero elsewhere. */
static void put_pixel(float *restrict to, const float *restrict values, int accumulate, const float *restrict mask) {
    float sum[IMP_BLOCK];
    memcpy(sum, values, sizeof sum);
    if (accumulate)
        for (int c = 0; c < IMP_BLOCK; c++) sum[c] += to[c];
    if (mask)
        for (int c = 0; c < IMP_BLOCK; c++) sum[c] = mask[c] > 0 ? sum[c] : 0;
    memcpy(to, sum, sizeof sum);
}

static void pool_backward(imp_pool_kind kind, float average_scale, const imp_view *in, const imp_view *out_gradient,
                          const imp_view *in_gradient, int accumulate, const imp_view *mask, int block_begin,
                          int block_end, int row_begin, int row_end) {
    for (int block = block_begin; block < block_end; block++)
        for (int y = row_begin; y < row_end; y++)
            for (int x = 0; x < in_gradient->width; x++) {
                float share[IMP_BLOCK];
                pool_gradient(kind, average_scale, in, out_gradient, block, y, x, share);
                put_pixel(imp_pixel(in_gradient, block, y, x), share, accumulate,
                          mask ? imp_pixel(mask, block, y, x) : NULL);
            }
}

/* Adds the products of two blocks' channels over a run of pixels. */
static void add_products(const imp_view *map, int i, int j, int y, int height, int x, int width, float *second,
                         size_t stride) {
    quad sum[IMP_BLOCK][4] = {{{0}}};
    for (int row = 0; row < height; row++) {
        const float *a = imp_pixel(map, i, y + row, x);
        const quad *b = (const quad *)imp_pixel(map, j, y + row, x);
        for (int pixel = 0; pixel < width; pixel++, a += IMP_BLOCK, b += 4)
            for (int c = 0; c < IMP_BLOCK; c++) {
                sum[c][0] += a[c] * b[0];
                sum[c][1] += a[c] * b[1];
                sum[c][2] += a[c] * b[2];
                sum[c][3] += a[c] * b[3];
            }
    }
    for (int c = 0; c < IMP_BLOCK; c++) {
        quad *to = (quad *)(second + ((size_t)i * IMP_BLOCK + (size_t)c) * stride + (size_t)j * IMP_BLOCK);
        for (int part = 0; part < 4; part++) to[part] += sum[c][part];
    }
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

static size_t gemm_scratch(int n, int k) {
    (void)n;
    (void)k;
    return 0;
}

/* 16 neighbours of a row of A x B. */
static void product_block(int k, const float *a, const float *b, size_t ldb, quad sum[4]) {
    quad sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
    for (int p = 0; p < k; p++, b += ldb) {
        const quad *from = (const quad *)b;
        sum0 += a[p] * from[0];
        sum1 += a[p] * from[1];
        sum2 += a[p] * from[2];
        sum3 += a[p] * from[3];
    }
    sum[0] = sum0, sum[1] = sum1, sum[2] = sum2, sum[3] = sum3;
}

static void gemm(int n, int k, float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                 float *c, size_t ldc, int row_begin, int row_end, float *scratch) {
    (void)scratch;
    for (int i = row_begin; i < row_end; i++) {
        const float *row = a + (size_t)i * lda;
        for (int j = 0; j < n; j += IMP_BLOCK) {
            float sum[IMP_BLOCK] = {0}, *to = c + (size_t)i * ldc + j;
            int columns = imp_block_channels(n, j / IMP_BLOCK);
            if (columns == IMP_BLOCK)
                product_block(k, row, b + j, ldb, (quad *)sum);
            else
                for (int p = 0; p < k; p++)
                    for (int column = 0; column < columns; column++)
                        sum[column] += row[p] * b[(size_t)p * ldb + (size_t)(j + column)];
            for (int column = 0; column < columns; column++)
                to[column] = alpha * sum[column] + (beta != 0 ? beta * to[column] : 0);
        }
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
