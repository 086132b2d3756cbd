/* Convolutions that no VGG has, of networks in use, to be timed one by one in Impasto and in a peer. */
#ifndef IMP_BENCH_LAYERS_H
#define IMP_BENCH_LAYERS_H

typedef struct bench_layer {
    const char *name;
    int in, out, kernel, stride, groups, size; /* size: of the square that it reads */
} bench_layer;

static const bench_layer bench_layers[] = {
    {"1x1 64->64 at 512", 64, 64, 1, 1, 1, 512},
    {"1x1 256->64 at 128", 256, 64, 1, 1, 1, 128},
    {"1x1 64->256 at 128", 64, 256, 1, 1, 1, 128},
    {"1x1 512->512 at 64", 512, 512, 1, 1, 1, 64},
    {"1x1 24->88 at 64", 24, 88, 1, 1, 1, 64},
    {"7x7/2 3->64 at 512", 3, 64, 7, 2, 1, 512},
    {"9x9 3->32 at 256", 3, 32, 9, 1, 1, 256},
    {"9x9 32->3 at 256", 32, 3, 9, 1, 1, 256},
    {"5x5 32->32 at 128", 32, 32, 5, 1, 1, 128},
    {"3x3/2 32->64 at 256", 32, 64, 3, 2, 1, 256},
    {"3x3/2 48->96 at 512", 48, 96, 3, 2, 1, 512},
    {"3x3/2 128->128 at 128", 128, 128, 3, 2, 1, 128},
    {"3x3 of 4 groups 64->64 at 128", 64, 64, 3, 1, 4, 128},
    {"3x3 depthwise 64 at 256", 64, 64, 3, 1, 64, 256},
    {"3x3/2 depthwise 96 at 128", 96, 96, 3, 2, 96, 128},
    {"5x5 depthwise 240 at 32", 240, 240, 5, 1, 240, 32},
};
#define BENCH_LAYERS ((int)(sizeof bench_layers / sizeof *bench_layers))

/* The square that it writes; padding is half the kernel. */
static inline int bench_layer_out(const bench_layer *layer) {
    return (layer->size + 2 * (layer->kernel / 2) - layer->kernel) / layer->stride + 1;
}

#endif
