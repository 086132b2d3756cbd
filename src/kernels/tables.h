/* What the kernel files share among themselves: the tables, and the one packing that all convolutions read. */
#ifndef IMP_KERNELS_TABLES_H
#define IMP_KERNELS_TABLES_H

#include "kernels/kernels.h"

extern const imp_kernels imp_kernels_c;
#ifdef __x86_64__
extern const imp_kernels imp_kernels_avx2, imp_kernels_avx512;
#endif

/* Packed weights are [output block][input block][ky][kx][input channel of the block][16 output channels]; an
   input block has its real channels only, an output block always 16, the ones past the last zero. */
size_t imp_packed_size(int out_channels, int in_channels, int kernel_height, int kernel_width);
void imp_pack_weights(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                      int transpose, float *packed);

/* Real channels of a block. */
static inline int imp_block_channels(int channels, int block) {
    int left = channels - block * IMP_BLOCK;
    return left < IMP_BLOCK ? left : IMP_BLOCK;
}

/* Where the packed weights of an output block begin: blocks before it have input channels x kernel taps rows
 * of 16. */
static inline const float *imp_block_weights(const imp_convolution *job, int block) {
    size_t taps = (size_t)job->kernel_height * (size_t)job->kernel_width;
    return job->weights + (size_t)block * (size_t)job->in.channels * taps * IMP_BLOCK;
}

/* Channel 0 of a block's pixel; y and x may be inside the halo. */
static inline float *imp_pixel(const imp_view *view, int block, int y, int x) {
    return view->at + (ptrdiff_t)block * (ptrdiff_t)view->plane + (ptrdiff_t)y * (ptrdiff_t)view->row +
           (ptrdiff_t)x * IMP_BLOCK;
}

/* Statistics are summed in float over runs of at most this many pixels, and the runs then added: the error of
   both sums stays near the rounding of one float. A run of two blocks, 32 KB, stays in the first caches. */
#define IMP_RUN 256

/* Whole rows in a run of pixels: narrow maps put several into one. */
static inline int imp_run_rows(int width) {
    return width >= IMP_RUN || width < 1 ? 1 : IMP_RUN / width;
}

#endif
