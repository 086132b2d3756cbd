/* Activations and their derivatives against libm in double precision. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOPE 0.2f

/* The vectors' exp is within 1e-7 of itself, and the few operations after it round once each: measured 3e-7 at most over
   all of what floats hold. The others are at most three operations. */
#define ACTIVATION_TOLERANCE 3e-7

/* What is less may be anything of its size: floats end there. */
#define SMALLEST 1e-37

static const char *const names[] = {"leaky relu", "relu6", "hard sigmoid", "hard swish", "sigmoid", "tanh"};
#define KINDS (int)(sizeof names / sizeof names[0])

static double clamp(double value, double most) {
    return value < 0 ? 0 : value > most ? most : value;
}

static double exact_value(int kind, double x) {
    switch (kind) {
    case IMP_ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : (double)SLOPE * x;
    case IMP_ACTIVATION_RELU6:
        return clamp(x, 6);
    case IMP_ACTIVATION_HARD_SIGMOID:
        return clamp(x + 3, 6) / 6;
    case IMP_ACTIVATION_HARD_SWISH:
        return x * clamp(x + 3, 6) / 6;
    case IMP_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return tanh(x);
    }
}

static double exact_derivative(int kind, double x) {
    switch (kind) {
    case IMP_ACTIVATION_LEAKY_RELU:
        return x > 0 ? 1 : (double)SLOPE;
    case IMP_ACTIVATION_RELU6:
        return x > 0 && x < 6;
    case IMP_ACTIVATION_HARD_SIGMOID:
        return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case IMP_ACTIVATION_HARD_SWISH:
        return x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1;
    case IMP_ACTIVATION_SIGMOID:
        return 1 / (2 + exp(x) + exp(-x));
    default:
        return 1 / (cosh(x) * cosh(x));
    }
}

/* Many sizes from 1e-4 to 100, both signs, and the corners; zeros stay past the last channel. */
static void fill(test_map *map) {
    static const float corners[] = {0, 3, -3, 6, 2.984375f, -2.984375f, 5.96875f, 100, -100};
    enum { CORNERS = sizeof corners / sizeof corners[0] };
    for (int c = 0; c < map->view.channels; c++)
        for (int y = 0; y < map->view.height; y++)
            for (int x = 0; x < map->view.width; x++)
                *map_at(map, c, y, x) = random_below(4)   ? random_value() * 16
                                        : random_below(2) ? corners[random_below(CORNERS)]
                                                          : random_value() * powf(2, (float)(random_below(20) - 13));
}

static double tolerance_of(const imp_kernels *kernels, int kind, double x, double exact) {
    /* Hard functions near their corner at -3 are what is left of x + 3. */
    double magnitude = kind == IMP_ACTIVATION_HARD_SIGMOID ? 1 : kind == IMP_ACTIVATION_HARD_SWISH ? fabs(x) + 1 : 0;
    return ACTIVATION_TOLERANCE * (fabs(exact) + magnitude) + SMALLEST + store_tolerance(kernels, exact);
}

static void check_forward(const imp_kernels *kernels, int kind, test_map *in) {
    test_map whole = map_make(in->view.channels, in->view.height, in->view.width, 1), cut = map_copy(&whole);
    int blocks = imp_blocks(in->view.channels), height = in->view.height, next;
    const imp_view *from = map_give(in, kernels), *to = map_give(&cut, kernels);
    kernels->activate((imp_activation)kind, SLOPE, from, map_give(&whole, kernels), 0, blocks, 0, height);
    map_take(&whole, kernels);
    for (int c = 0; c < blocks * IMP_BLOCK; c++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < in->view.width; x++) {
                double value = (double)*map_at(in, c, y, x);
                double exact = c < in->view.channels ? exact_value(kind, value) : 0;
                double tolerance = c < in->view.channels ? tolerance_of(kernels, kind, value, exact) : 0;
                double got = (double)*map_at(&whole, c, y, x);
                expect(near(got, exact, tolerance), "%s %s of %g in channel %d: %.9g, not %.9g", kernels->name,
                       names[kind], value, c, got, exact);
            }
    expect(guarded(&whole, 0, blocks, 0, height), "%s %s: halo touched", kernels->name, names[kind]);
    for (int row = 0; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        for (int block = 0; block < blocks; block++)
            kernels->activate((imp_activation)kind, SLOPE, from, to, block, block + 1, row, next);
    }
    map_take(&cut, kernels);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s %s: depends on the cut", kernels->name,
           names[kind]);
    map_free(&whole);
    map_free(&cut);
}

static void compare_backward(const imp_kernels *kernels, int kind, const test_map *in, const test_map *gradient,
                             const test_map *before, const test_map *mask, const test_map *got) {
    for (int c = 0; c < imp_blocks(in->view.channels) * IMP_BLOCK; c++)
        for (int y = 0; y < in->view.height; y++)
            for (int x = 0; x < in->view.width; x++) {
                double value = (double)*map_at(in, c, y, x), rest = before ? (double)*map_at(before, c, y, x) : 0;
                double exact = (double)*map_at(gradient, c, y, x) * exact_derivative(kind, value);
                /* hard swish has a derivative that is the sum of two terms of this size */
                double magnitude = kind == IMP_ACTIVATION_HARD_SWISH ? 1.5 : 0;
                double tolerance = (ACTIVATION_TOLERANCE + ROUNDING) * (fabs(exact) + magnitude) +
                                   2 * ROUNDING * fabs(rest) + SMALLEST;
                exact = mask && !(*map_at(mask, c, y, x) > 0) ? 0 : exact + rest;
                tolerance += store_tolerance(kernels, exact);
                double result = (double)*map_at(got, c, y, x);
                if (near(result, exact, tolerance)) continue;
                expect(0, "%s derivative of %s at %g in channel %d: %.9g, not %.9g", kernels->name, names[kind], value,
                       c, result, exact);
                return;
            }
}

static void check_backward(const imp_kernels *kernels, int kind, test_map *in, int accumulate, int masked) {
    test_map gradient = map_make(in->view.channels, in->view.height, in->view.width, 0);
    test_map before = map_make(in->view.channels, in->view.height, in->view.width, 1), mask = map_copy(&before);
    int blocks = imp_blocks(in->view.channels), height = in->view.height, next;
    map_random(&gradient);
    map_levels(&mask);
    if (accumulate) map_fill(&before);
    test_map whole = map_copy(&before), cut = map_copy(&before);
    const imp_view *from = map_give(in, kernels), *by = map_give(&gradient, kernels), *to = map_give(&cut, kernels);
    const imp_view *kept = masked ? map_give(&mask, kernels) : NULL;
    kernels->activate_backward((imp_activation)kind, SLOPE, from, by, map_give(&whole, kernels), accumulate, kept, 0,
                               blocks, 0, height);
    map_take(&whole, kernels);
    compare_backward(kernels, kind, in, &gradient, accumulate ? &before : NULL, masked ? &mask : NULL, &whole);
    expect(guarded(&whole, 0, blocks, 0, height), "%s derivative of %s: halo touched", kernels->name, names[kind]);
    for (int row = 0; row < height; row = next) {
        next = row + 1 + random_below(height - row);
        for (int block = 0; block < blocks; block++)
            kernels->activate_backward((imp_activation)kind, SLOPE, from, by, to, accumulate, kept, block, block + 1,
                                       row, next);
    }
    map_take(&cut, kernels);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s derivative of %s: depends on the cut",
           kernels->name, names[kind]);
    map_free(&gradient);
    map_free(&before);
    map_free(&mask);
    map_free(&whole);
    map_free(&cut);
}

void check_activations(const imp_kernels *kernels) {
    static const int shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {12, 2, 40}, {17, 9, 6}, {48, 12, 33}};
    for (int n = 0; n < (int)(sizeof shapes / sizeof shapes[0]); n++)
        for (int kind = 0; kind < KINDS; kind++) {
            test_map in = map_make(shapes[n][0], shapes[n][1], shapes[n][2], 2);
            map_random(&in);
            fill(&in);
            for (int options = 0; options < 4; options++) check_backward(kernels, kind, &in, options & 1, options >> 1);
            *map_at(&in, shapes[n][0] - 1, 0, 0) = NAN;
            check_forward(kernels, kind, &in);
            map_free(&in);
        }
    printf("%s: activations\n", kernels->name);
}
