/* Re-lays a convolution's weights into the order in which every kernel reads them. */
#include <string.h>

#include "kernels/tables.h"

static size_t direction_size(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    return (size_t)imp_blocks(out_channels) * IMP_BLOCK * (size_t)in_channels * (size_t)kernel_height *
           (size_t)kernel_width;
}

size_t imp_packed_size(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    size_t forward = direction_size(out_channels, in_channels, kernel_height, kernel_width);
    size_t backward = direction_size(in_channels, out_channels, kernel_height, kernel_width);
    return forward > backward ? forward : backward;
}

/* weights[out][in][kh][kw], or with transpose those of the convolution that goes back: in and out swapped,
 * the taps reversed. */
void imp_pack_weights(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                      int transpose, float *packed) {
    size_t taps = (size_t)kernel_height * (size_t)kernel_width;
    int to_channels = transpose ? in_channels : out_channels;
    int from_channels = transpose ? out_channels : in_channels;
    size_t to_stride = transpose ? taps : taps * (size_t)in_channels;
    size_t from_stride = transpose ? taps * (size_t)in_channels : taps;
    float *at = packed;
    for (int to_block = 0; to_block < imp_blocks(to_channels); to_block++) {
        int lanes = imp_block_channels(to_channels, to_block);
        for (int from_block = 0; from_block < imp_blocks(from_channels); from_block++) {
            int depth = imp_block_channels(from_channels, from_block);
            for (size_t tap = 0; tap < taps; tap++) {
                size_t source_tap = transpose ? taps - 1 - tap : tap;
                for (int c = 0; c < depth; c++, at += IMP_BLOCK) {
                    size_t from = (size_t)from_block * IMP_BLOCK + (size_t)c;
                    memset(at, 0, IMP_BLOCK * sizeof *at);
                    for (int lane = 0; lane < lanes; lane++) {
                        size_t to = (size_t)to_block * IMP_BLOCK + (size_t)lane;
                        at[lane] = weights[to * to_stride + from * from_stride + source_tap];
                    }
                }
            }
        }
    }
}
