/* Differences against plain loops. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One multiplication and up to three additions, each rounded. */
#define MAP_TOLERANCE (4 * ROUNDING)

static const int shapes[][3] = {{1, 2, 2}, {16, 3, 5}, {17, 8, 9}, {40, 13, 6}, {64, 7, 37}, {3, 2, 70}};
#define SHAPES (int)(sizeof shapes / sizeof shapes[0])

static void check_difference(const imp_kernels *kernels, const int *shape, int accumulate, int masked) {
    float weight = 0.3f;
    int blocks = imp_blocks(shape[0]), height = shape[1], first = random_below(height), block = random_below(blocks);
    test_map a = map_make(shape[0], height, shape[2], 1), b = map_make(shape[0], height, shape[2], 0);
    test_map before = map_copy(&a), mask = map_copy(&b);
    map_random(&a);
    map_random(&b);
    map_levels(&mask);
    if (accumulate) map_random(&before);
    test_map out = map_copy(&before);
    kernels->scaled_difference(weight, map_give(&a, kernels), map_give(&b, kernels), map_give(&out, kernels),
                               accumulate, masked ? map_give(&mask, kernels) : NULL, block, blocks, first, height);
    map_take(&out, kernels);
    for (int c = block * IMP_BLOCK; c < blocks * IMP_BLOCK; c++)
        for (int y = first; y < height; y++)
            for (int x = 0; x < shape[2]; x++) {
                double exact = (double)weight * ((double)*map_at(&a, c, y, x) - (double)*map_at(&b, c, y, x));
                if (accumulate) exact += (double)*map_at(&before, c, y, x);
                if (masked && !(*map_at(&mask, c, y, x) > 0)) exact = 0;
                expect(near((double)*map_at(&out, c, y, x), exact, MAP_TOLERANCE * 2 + store_tolerance(kernels, exact)),
                       "%s scaled_difference, channel %d (%d, %d)", kernels->name, c, y, x);
            }
    if (!accumulate)
        expect(guarded(&out, block, blocks, first, height), "%s scaled_difference: more than its part", kernels->name);
    map_free(&a);
    map_free(&b);
    map_free(&before);
    map_free(&mask);
    map_free(&out);
}

void check_differences(const imp_kernels *kernels) {
    for (int n = 0; n < SHAPES; n++)
        for (int options = 0; options < 4; options++) check_difference(kernels, shapes[n], options & 1, options >> 1);
    printf("%s: differences\n", kernels->name);
}
