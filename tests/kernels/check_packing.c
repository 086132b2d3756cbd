/* The packing of weights as bf16: where each lies, that the sum of a kernel's taps stays, and that what is not finite does
   not spread. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/half.h"
#include "kernels/tables.h"

typedef void pack_function(const float *weights, int out_channels, int in_channels, int kernel_height, int kernel_width,
                           int transpose, void *packed);

typedef struct packing_case {
    const char *name;
    pack_function *pack;
    size_t (*bytes)(int out_channels, int in_channels, int kernel_height, int kernel_width);
    int depth, whole; /* input channels of a group; whether the last one is filled up */
} packing_case;

static const packing_case cases[] = {
    {"pairs", imp_pack_weights_bf16, imp_packed_bytes_bf16, IMP_BLOCK, 0},
    {"tiles", imp_pack_weights_tiles, imp_packed_bytes_tiles, IMP_TILE_DEPTH, 1},
};

static int round_up(int value, int step) {
    return (value + step - 1) / step * step;
}

/* Of a weight as it is packed, from channel i of in to o: [o block][group of i][tap][pair][16][2]. */
static size_t place(const packing_case *at, int in, int taps, int o, int i, int tap) {
    int rows = round_up(in, at->whole ? at->depth : 2), first = i / at->depth * at->depth;
    int group = rows - first < at->depth ? rows - first : at->depth;
    size_t before = (size_t)(o / IMP_BLOCK * rows + first) * (size_t)taps + (size_t)(tap * group);
    return (before + (size_t)((i - first) / 2 * 2)) * IMP_BLOCK + (size_t)(o % IMP_BLOCK * 2 + i % 2);
}

static void check_case(const packing_case *at, int out, int in, int height, int width) {
    int taps = height * width;
    float *weights = random_floats((size_t)(out * in * taps));
    for (int i = 0; i < out * in * taps; i++) weights[i] *= 1.001f; /* more bits than bf16 has */
    uint16_t *forward = take(at->bytes(out, in, height, width)), *backward = take(at->bytes(out, in, height, width));
    at->pack(weights, out, in, height, width, 0, forward);
    at->pack(weights, out, in, height, width, 1, backward);
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) {
            const float *kernel = weights + (o * in + i) * taps;
            double off = 0;
            for (int tap = 0; tap < taps; tap++) {
                uint16_t packed = forward[place(at, in, taps, o, i, tap)];
                off += (double)imp_bf16_to_f32(packed) - (double)kernel[tap];
                /* No tap is over 1.001, and with what is carried none over 1.01: half a unit of that. */
                expect(fabs(off) <= 1.01 * HALF_ROUNDING, "%s %d->%d: taps to %d are off by %g", at->name, in, out, tap,
                       off);
                expect(backward[place(at, out, taps, i, o, taps - 1 - tap)] == packed,
                       "%s %d->%d: other weights backward", at->name, in, out);
            }
        }
    for (int o = 0; o < round_up(out, IMP_BLOCK); o++)
        for (int i = 0; i < round_up(in, at->whole ? at->depth : 2); i++)
            for (int tap = 0; tap < taps && (o >= out || i >= in); tap++)
                expect(forward[place(at, in, taps, o, i, tap)] == 0, "%s %d->%d: a weight of no channel", at->name, in,
                       out);
    free(weights);
    free(forward);
    free(backward);
}

/* Too large for bf16, and not a number: the other taps are what they were. */
static void check_not_finite(const packing_case *at) {
    static const float kernel[4] = {3.4e38f, 1, NAN, 2};
    uint16_t *packed = take(at->bytes(1, 1, 2, 2));
    at->pack(kernel, 1, 1, 2, 2, 0, packed);
    float values[4];
    for (int tap = 0; tap < 4; tap++) values[tap] = imp_bf16_to_f32(packed[place(at, 1, 4, 0, 0, tap)]);
    expect(isinf(values[0]) && values[1] == 1 && isnan(values[2]) && values[3] == 2,
           "%s: %g %g %g %g in place of inf 1 nan 2", at->name, (double)values[0], (double)values[1], (double)values[2],
           (double)values[3]);
    free(packed);
}

void check_packing(void) {
    static const int shapes[][4] = {{1, 1, 1, 1},   {16, 3, 3, 3},  {17, 33, 3, 3},
                                    {40, 20, 1, 3}, {3, 100, 5, 4}, {64, 64, 1, 1}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_case(&cases[n], shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]);
        check_not_finite(&cases[n]);
    }
    printf("packing of weights\n");
}
