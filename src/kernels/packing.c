/* Re-lays a convolution's weights into the order in which kernels read them. */
#include <string.h>

#include "base/half.h"
#include "kernels/tables.h"

/* Weights of one output block: input channels in whole groups of `together` x taps x 16. */
static size_t block_size(int in_channels, size_t taps, int together) {
    return (size_t)((in_channels + together - 1) / together * together) * taps * IMP_BLOCK;
}

static size_t packed_size(int out_channels, int in_channels, int kernel_taps, int together) {
    size_t taps = (size_t)kernel_taps;
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

/* Rounds a value and what those before it are off by together; off becomes what is left. */
static uint16_t round_onwards(float value, float *off) {
    uint16_t rounded = imp_f32_to_bf16(value + *off);
    *off += value - imp_bf16_to_f32(rounded);
    if (!(*off - *off == 0)) *off = 0; /* of an infinity, or a NaN */
    return rounded;
}

/* The taps of two input channels to the 16 outputs of a block, next_tap apart. Each is rounded with what those before it
   are off by (error diffusion: Floyd and Steinberg 1976), so that the sum of a kernel's taps, or of the part of them that is
   packed, stays what it was: neighbouring pixels are much alike, so that most of an output comes from that sum. Without it the
   filters' errors come to 1 % of VGG19's style loss, with it to a hundredth of that. In the weights' own order both ways, so
   that forward and backward have the same weights. */
static void pack_taps(const direction *way, int to_block, int from, size_t next_tap, uint16_t *at) {
    float off[2][IMP_BLOCK] = {{0}}, values[2][IMP_BLOCK];
    for (size_t i = 0; i < way->taps; i++) {
        size_t tap = way->transpose ? way->taps - 1 - i : i;
        take_row(way, to_block, from, tap, values[0]);
        take_row(way, to_block, from + 1, tap, values[1]);
        for (int lane = 0; lane < IMP_BLOCK; lane++)
            for (int half = 0; half < 2; half++)
                at[tap * next_tap + (size_t)(2 * lane + half)] = round_onwards(values[half][lane], &off[half][lane]);
    }
}

/* Channels in groups of depth, side by side in pairs: [output block][group][tap][pair][16][2]. The last group ends after
   its last channel's pair, or with whole_groups is filled up with zeros. */
static void pack_pairs(const direction *way, int depth, int whole_groups, uint16_t *at) {
    for (int to_block = 0; to_block < imp_blocks(way->to_channels); to_block++)
        for (int from = 0; from < way->from_channels; from += depth) {
            int left = way->from_channels - from, channels = left < depth && !whole_groups ? left : depth;
            size_t next_tap = block_size(channels, 1, 2);
            for (int c = 0; c < channels; c += 2)
                pack_taps(way, to_block, from + c, next_tap, at + (size_t)c * IMP_BLOCK);
            at += next_tap * way->taps;
        }
}

void imp_pack_weights_bf16(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                           int transpose, void *packed) {
    direction way =
        find_direction(weights, out_channels, in_channels, (size_t)(kernel_height * kernel_width), transpose);
    pack_pairs(&way, IMP_BLOCK, 0, packed);
}

size_t imp_packed_bytes_tiles(int out_channels, int in_channels, int kernel_height, int kernel_width) {
    return packed_size(out_channels, in_channels, kernel_height * kernel_width, IMP_TILE_DEPTH) * sizeof(uint16_t);
}

void imp_pack_weights_tiles(const float *weights, int out_channels, int in_channels, int kernel_height,
                            int kernel_width, int transpose, void *packed) {
    direction way =
        find_direction(weights, out_channels, in_channels, (size_t)(kernel_height * kernel_width), transpose);
    pack_pairs(&way, IMP_TILE_DEPTH, 1, packed);
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
