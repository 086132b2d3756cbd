/* Maps with guards, random numbers and comparison for the kernel test. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

#define FAILURES_SHOWN 20

static int failures;
static uint64_t random_state = 88172645463325252u;

/* xorshift64 (Marsaglia 2003). */
static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

float random_value(void) {
    return imp_bf16_to_f32(imp_f32_to_bf16((float)(int32_t)(random_bits() >> 32) * 0x1p-31f));
}

int random_below(int bound) {
    return (int)((random_bits() >> 33) % (uint64_t)bound);
}

void *take(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

float *random_floats(size_t count) {
    float *values = take(count * sizeof *values);
    for (size_t i = 0; i < count; i++) values[i] = random_value();
    return values;
}

test_map map_make(int channels, int height, int width, int halo) {
    test_map map = {.halo = halo};
    size_t row = (size_t)(width + 2 * halo) * IMP_BLOCK, plane = row * (size_t)(height + 2 * halo);
    map.count = plane * (size_t)imp_blocks(channels);
    map.memory = take(map.count * sizeof(float));
    for (size_t i = 0; i < map.count; i++) map.memory[i] = GUARD;
    map.view = (imp_view){.at = map.memory + (size_t)halo * row + (size_t)halo * IMP_BLOCK,
                          .plane = plane,
                          .row = row,
                          .channels = channels,
                          .height = height,
                          .width = width};
    map.half = take(map.count * sizeof *map.half);
    map.half_view = map.view;
    map.half_view.at = map.half + ((float *)map.view.at - map.memory);
    return map;
}

void map_random(test_map *map) {
    for (size_t i = 0; i < map->count; i++) {
        size_t channel = i / map->view.plane * IMP_BLOCK + i % IMP_BLOCK;
        map->memory[i] = channel < (size_t)map->view.channels ? random_value() : 0;
    }
}

void map_levels(test_map *map) {
    map_random(map);
    for (size_t i = 0; i < map->count; i++) map->memory[i] = roundf(map->memory[i] * 2) / 2;
}

void map_fill(test_map *map) {
    const imp_view *view = &map->view;
    for (int c = 0; c < imp_blocks(view->channels) * IMP_BLOCK; c++)
        for (int y = 0; y < view->height; y++)
            for (int x = 0; x < view->width; x++) *map_at(map, c, y, x) = c < view->channels ? random_value() : 0;
}

void map_free(test_map *map) {
    free(map->memory);
    free(map->half);
    map->memory = NULL;
    map->half = NULL;
}

test_map map_copy(const test_map *from) {
    test_map map = *from;
    map.memory = take(map.count * sizeof(float));
    memcpy(map.memory, from->memory, map.count * sizeof(float));
    map.view.at = map.memory + ((float *)from->view.at - from->memory);
    map.half = take(map.count * sizeof *map.half);
    map.half_view.at = map.half + ((float *)map.view.at - map.memory);
    return map;
}

const imp_view *map_give(test_map *map, const imp_kernels *kernels) {
    if (kernels->element == IMP_ELEMENT_F32) return &map->view;
    for (size_t i = 0; i < map->count; i++) map->half[i] = imp_f32_to_bf16(map->memory[i]);
    return &map->half_view;
}

void map_take(test_map *map, const imp_kernels *kernels) {
    if (kernels->element == IMP_ELEMENT_F32) return;
    for (size_t i = 0; i < map->count; i++) map->memory[i] = imp_bf16_to_f32(map->half[i]);
}

float *map_at(const test_map *map, int channel, int y, int x) {
    const imp_view *view = &map->view;
    return (float *)view->at + (ptrdiff_t)(channel / IMP_BLOCK) * (ptrdiff_t)view->plane +
           (ptrdiff_t)y * (ptrdiff_t)view->row + (ptrdiff_t)x * IMP_BLOCK + channel % IMP_BLOCK;
}

void expect(int ok, const char *format, ...) {
    if (ok) return;
    if (failures++ < FAILURES_SHOWN) {
        va_list arguments;
        va_start(arguments, format);
        printf("FAIL ");
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
}

int failure_count(void) {
    return failures;
}

int near(double value, double exact, double tolerance) {
    if (isnan(value) || isnan(exact)) return isnan(value) && isnan(exact);
    return value == exact || fabs(value - exact) <= tolerance; /* infinities */
}

double sum_tolerance(double terms, double magnitude) {
    return 4 * sqrt(terms) * ROUNDING * magnitude;
}

double store_tolerance(const imp_kernels *kernels, double value) {
    return kernels->element == IMP_ELEMENT_F32 ? 0 : HALF_ROUNDING * fabs(value);
}

int guarded(const test_map *map, int block_begin, int block_end, int row_begin, int row_end) {
    const imp_view *view = &map->view;
    for (int c = 0; c < imp_blocks(view->channels) * IMP_BLOCK; c++)
        for (int y = -map->halo; y < view->height + map->halo; y++)
            for (int x = -map->halo; x < view->width + map->halo; x++) {
                int block = c / IMP_BLOCK;
                int written = block >= block_begin && block < block_end && y >= row_begin && y < row_end && x >= 0 &&
                              x < view->width;
                if (!written && *map_at(map, c, y, x) != GUARD) return 0;
            }
    return 1;
}
