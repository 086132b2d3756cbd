/* Re-lays a convolution's weights into the order in which kernels read them. */
#include <string.h>

#include "base/half.h"
#include "kernels/tables.h"

/* Weights of one output block: input channels in whole groups of `together` x taps x 16. */
static size_t block_size(int in_channels, int taps, int together) {
    return (size_t)((in_channels + together - 1) / together * together) * (size_t)taps * IMP_BLOCK;
}

static size_t packed_size(int out_channels, int in_channels, int taps, int together) {
    size_t forward = (size_t)imp_blocks(out_channels) * block_size(in_channels, taps, together);
    size_t backward = (size_t)imp_blocks(in_channels) * block_size(out_channels, taps, together);
    return forward > backward ? forward : backward;
}

size_t imp_packed_bytes(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    return packed_size(out_channels, in_channels, kernel_height * kernel_width, 1) * sizeof(float);
}

size_t imp_packed_bytes_bf16(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    return packed_size(out_channels, in_channels, kernel_height * kernel_width, 2) * sizeof(uint16_t);
}

/* weights[out][in][taps] as one direction sees them: with transpose in and out are swapped, the taps reversed. */
typedef struct direction {
    const float *weights;
    size_t to_stride, from_stride, taps;
    int to_channels, from_channels, transpose;
} direction;

static direction find_direction(const float *weights, int out_channels, int in_channels, size_t taps, int transpose) {
    return (direction){
        .weights = weights,
        .to_stride = transpose ? taps : taps * (size_t)in_channels,
        .from_stride = transpose ? taps * (size_t)in_channels : taps,
        .taps = taps,
        .to_channels = transpose ? in_channels : out_channels,
        .from_channels = transpose ? out_channels : in_channels,
        .transpose = transpose,
    };
}

/* From one input channel to the 16 outputs of a block, zero past the last of either. */
static void take_row(const direction *way, int to_block, int from, size_t tap, float row[IMP_BLOCK]) {
    int lanes = from < way->from_channels ? imp_block_channels(way->to_channels, to_block) : 0;
    size_t source_tap = way->transpose ? way->taps - 1 - tap : tap;
    memset(row, 0, IMP_BLOCK * sizeof *row);
    for (int lane = 0; lane < lanes; lane++) {
        size_t to = (size_t)to_block * IMP_BLOCK + (size_t)lane;
        row[lane] = way->weights[to * way->to_stride + (size_t)from * way->from_stride + source_tap];
    }
}

/* From a channel and the next to the 16 outputs of a block, [16][2]. */
static void take_pair(const direction *way, int to_block, int from, size_t tap, uint16_t *pair) {
    float even[IMP_BLOCK], odd[IMP_BLOCK];
    take_row(way, to_block, from, tap, even);
    take_row(way, to_block, from + 1, tap, odd);
    for (int lane = 0; lane < IMP_BLOCK; lane++) {
        *pair++ = imp_f32_to_bf16(even[lane]);
        *pair++ = imp_f32_to_bf16(odd[lane]);
    }
}

void imp_pack_weights(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                      int transpose, void *packed) {
    direction way =
        find_direction(weights, out_channels, in_channels, (size_t)(kernel_height * kernel_width), transpose);
    float *at = packed;
    for (int to_block = 0; to_block < imp_blocks(way.to_channels); to_block++)
        for (int from = 0; from < way.from_channels; from += IMP_BLOCK)
            for (size_t tap = 0; tap < way.taps; tap++)
                for (int c = from; c < from + IMP_BLOCK && c < way.from_channels; c++, at += IMP_BLOCK)
                    take_row(&way, to_block, c, tap, at);
}

void imp_pack_weights_bf16(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                           int transpose, void *packed) {
    direction way =
        find_direction(weights, out_channels, in_channels, (size_t)(kernel_height * kernel_width), transpose);
    uint16_t *at = packed;
    for (int to_block = 0; to_block < imp_blocks(way.to_channels); to_block++)
        for (int from = 0; from < way.from_channels; from += IMP_BLOCK)
            for (size_t tap = 0; tap < way.taps; tap++)
                for (int c = from; c < from + IMP_BLOCK && c < way.from_channels; c += 2, at += 2 * IMP_BLOCK)
                    take_pair(&way, to_block, c, tap, at);
}

size_t imp_packed_bytes_tiles(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    size_t taps = (size_t)(kernel_height * kernel_width);
    size_t forward = (size_t)imp_blocks(out_channels) * block_size(in_channels, (int)taps, IMP_TILE_DEPTH);
    size_t backward = (size_t)imp_blocks(in_channels) * block_size(out_channels, (int)taps, IMP_TILE_DEPTH);
    return (forward > backward ? forward : backward) * sizeof(uint16_t);
}

void imp_pack_weights_tiles(const float *weights, int out_channels, int in_channels, int kernel_height,
                            int kernel_width, int transpose, void *packed) {
    direction way =
        find_direction(weights, out_channels, in_channels, (size_t)(kernel_height * kernel_width), transpose);
    uint16_t *at = packed;
    int blocks = imp_blocks(way.to_channels);
    size_t height = (size_t)kernel_height, width = (size_t)kernel_width;
    for (int pair = 0; pair < blocks; pair += 2)
        for (int from = 0; from < way.from_channels; from += IMP_TILE_DEPTH)
            for (size_t i = 0; i < way.taps; i++)
                for (int to_block = pair; to_block < pair + 2 && to_block < blocks; to_block++)
                    for (int c = from; c < from + IMP_TILE_DEPTH; c += 2, at += 2 * IMP_BLOCK)
                        take_pair(&way, to_block, c, i % height * width + i / height, at);
}

void imp_pack_depthwise(const float *weights, int channels, int kernel_height, int kernel_width, int transpose,
                        float *packed) {
    int taps = kernel_height * kernel_width;
    for (int block = 0; block < imp_blocks(channels); block++)
        for (int tap = 0; tap < taps; tap++)
            for (int lane = 0; lane < IMP_BLOCK; lane++) {
                int from = transpose ? taps - 1 - tap : tap;
                *packed++ = lane < imp_block_channels(channels, block)
                                ? weights[(size_t)(block * IMP_BLOCK + lane) * (size_t)taps + (size_t)from]
                                : 0;
            }
}

void imp_unpack_weight_gradient(const float *partial, int out_channels, int in_channels, int kernel_height,
                                int kernel_width, int out_begin, int out_end, int in_begin, int in_end,
                                float *gradient) {
    size_t taps = (size_t)(kernel_height * kernel_width);
    for (int out_block = out_begin; out_block < out_end; out_block++)
        for (int in_block = in_begin; in_block < in_end; in_block++)
            for (size_t tap = 0; tap < taps; tap++, partial += IMP_BLOCK * IMP_BLOCK)
                for (int i = 0; i < imp_block_channels(in_channels, in_block); i++)
                    for (int o = 0; o < imp_block_channels(out_channels, out_block); o++) {
                        size_t out = (size_t)(out_block * IMP_BLOCK + o), in = (size_t)(in_block * IMP_BLOCK + i);
                        gradient[(out * (size_t)in_channels + in) * taps + tap] += partial[i * IMP_BLOCK + o];
                    }
}

void imp_unpack_depthwise_gradient(const float *partial, int channels, int kernel_height, int kernel_width,
                                   float *gradient) {
    size_t taps = (size_t)(kernel_height * kernel_width);
    for (size_t c = 0; c < (size_t)channels; c++)
        for (size_t tap = 0; tap < taps; tap++)
            *gradient++ += partial[(c / IMP_BLOCK * taps + tap) * IMP_BLOCK + c % IMP_BLOCK];
}
