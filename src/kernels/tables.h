/* What the kernel files share among themselves: the tables, and the one packing that all convolutions read. */
#ifndef IMP_KERNELS_TABLES_H
#define IMP_KERNELS_TABLES_H

#include <stdint.h>

#include "kernels/kernels.h"

/* Of f32 maps; of bf16 maps, multiplied in f32 (half) or in bf16 (avx512_bf16, amx). */
extern const imp_kernels imp_kernels_c, imp_kernels_c_half;
extern const imp_kernels imp_kernels_portable, imp_kernels_portable_half;
#ifdef __x86_64__
extern const imp_kernels imp_kernels_avx2, imp_kernels_avx2_half;
extern const imp_kernels imp_kernels_avx512, imp_kernels_avx512_half, imp_kernels_avx512_bf16;
extern const imp_kernels imp_kernels_amx;
#endif

/* Packed weights are [output block][input block][ky][kx][input channel of the block][16 output channels]; an
   input block has its real channels only, an output block always 16, the ones past the last zero. */
size_t imp_packed_bytes(int out_channels, int in_channels, int kernel_height, int kernel_width);
void imp_pack_weights(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                      int transpose, void *packed);

/* The same in bf16, [.. kx][pair of input channels][16 output channels][2]: an input block has its real channels in whole
   pairs, the one past an odd last zero. */
size_t imp_packed_bytes_bf16(int out_channels, int in_channels, int kernel_height, int kernel_width);
void imp_pack_weights_bf16(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                           int transpose, void *packed);

/* The same in AMX's tiles, [output block][32 input channels][ky][kx][pair of input channels][16 output channels][2], with
   zeros for input channels past the last. */
#define IMP_TILE_DEPTH 32 /* input channels of a tile */
size_t imp_packed_bytes_tiles(int out_channels, int in_channels, int kernel_height, int kernel_width);
void imp_pack_weights_tiles(const float *weights, int out_channels, int in_channels, int kernel_height,
                            int kernel_width, int transpose, void *packed);

/* Real channels of a block. */
static inline int imp_block_channels(int channels, int block) {
    int left = channels - block * IMP_BLOCK;
    return left < IMP_BLOCK ? left : IMP_BLOCK;
}

/* Elements from a view's first to channel 0 of a block's pixel; y and x may be inside the halo. */
static inline ptrdiff_t imp_pixel_offset(const imp_view *view, int block, int y, int x) {
    return (ptrdiff_t)block * (ptrdiff_t)view->plane + (ptrdiff_t)y * (ptrdiff_t)view->row + (ptrdiff_t)x * IMP_BLOCK;
}

/* What bilinear resizing reads for a pixel along one direction: (1 - share) of the first and share of the second. */
typedef struct imp_sample {
    int first, second;
    float share;
} imp_sample;

/* The centre of pixel i, brought into the picture that is read, of from pixels; scale: of that to the other. */
static inline imp_sample imp_sample_at(int i, double scale, int from) {
    double place = (i + 0.5) * scale - 0.5;
    if (place < 0) place = 0;
    imp_sample sample = {.first = (int)place < from ? (int)place : from - 1};
    sample.second = sample.first + 1 < from ? sample.first + 1 : sample.first;
    sample.share = (float)(place - sample.first);
    return sample;
}

/* The share that a pixel has in a sample. */
static inline float imp_share_in(imp_sample sample, int pixel) {
    return (sample.first == pixel ? 1 - sample.share : 0) + (sample.second == pixel ? sample.share : 0);
}

/* The first pixel of `to` that may read pixel i of `from`, and the one after the last: those within a pixel of it. */
static inline int imp_samples_begin(int i, int from, int to) {
    int64_t first = ((2 * (int64_t)i - 1) * to - from) / (2 * (int64_t)from);
    return first < 0 || i == 0 ? 0 : (int)first;
}
static inline int imp_samples_end(int i, int from, int to) {
    int64_t end = ((2 * (int64_t)i + 3) * to - from) / (2 * (int64_t)from) + 2;
    return end > to || i + 1 >= from ? to : (int)end;
}

typedef struct imp_range {
    int begin, end;
} imp_range;

/* The windows of `count` that a pixel is in, its place counted from where the first begins. */
static inline imp_range imp_windows_of(int place, int kernel, int stride, int count) {
    imp_range range = {place < kernel ? 0 : (place - kernel) / stride + 1, place / stride + 1};
    if (range.end > count) range.end = count;
    return range;
}

/* Statistics are summed in float over runs of at most this many pixels, and the runs then added: the error of
   both sums stays near the rounding of one float. A run of two blocks, 32 KB, stays in the first caches. */
#define IMP_RUN 256

/* Whole rows in a run of pixels: narrow maps put several into one. */
static inline int imp_run_rows(int width) {
    return width >= IMP_RUN || width < 1 ? 1 : IMP_RUN / width;
}

#endif
