/* Moments, sums, squared differences and matrix products against double precision. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int shapes[][3] = {{1, 1, 1},    {3, 4, 5},    {17, 9, 30}, {40, 3, 300},
                                {64, 13, 33}, {100, 5, 17}, {16, 1, 700}};
#define SHAPES (int)(sizeof shapes / sizeof shapes[0])

/* As the pictures' features are: after a ReLU, all of one sign, where a long sum loses the most. */
static void make_positive(test_map *map) {
    for (size_t i = 0; i < map->count; i++) map->memory[i] = fabsf(map->memory[i]);
}

static double moment(const test_map *map, int i, int j, int first, int last) {
    double sum = 0;
    for (int y = first; y < last; y++)
        for (int x = 0; x < map->view.width; x++) sum += (double)*map_at(map, i, y, x) * (double)*map_at(map, j, y, x);
    return sum;
}

static void check_moments(const imp_kernels *kernels, test_map *map, int first, int last) {
    int blocks = imp_blocks(map->view.channels), channels = blocks * IMP_BLOCK;
    size_t stride = (size_t)channels, bytes = stride * stride * sizeof(float);
    float *whole = take(bytes), *cut = take(bytes);
    double terms = (double)(last - first) * map->view.width;
    for (size_t i = 0; i < stride * stride; i++) whole[i] = cut[i] = GUARD;
    const imp_view *given = map_give(map, kernels);
    kernels->second_moments(given, 0, blocks, first, last, whole, stride);
    for (int i = 0; i < channels; i++)
        for (int j = 0; j < channels; j++) {
            double got = (double)whole[(size_t)i * stride + (size_t)j];
            if (j / IMP_BLOCK > i / IMP_BLOCK) {
                expect(whole[(size_t)i * stride + (size_t)j] == GUARD, "%s second_moments: wrote above", kernels->name);
                continue;
            }
            double exact = moment(map, i, j, first, last);
            expect(near(got, exact, sum_tolerance(terms, exact)), "%s second_moments %d, %d: %g not %g", kernels->name,
                   i, j, got, exact);
        }
    for (int block = 0; block < blocks; block++)
        kernels->second_moments(given, block, block + 1, first, last, cut, stride);
    expect(!memcmp(whole, cut, bytes), "%s second_moments: depends on the cut", kernels->name);
    free(whole);
    free(cut);
}

static void check_sums(const imp_kernels *kernels, test_map *a, test_map *b, int first, int last) {
    int blocks = imp_blocks(a->view.channels), channels = blocks * IMP_BLOCK;
    float *whole = take((size_t)channels * sizeof(float)), *cut = take((size_t)channels * sizeof(float));
    double squares = 0, terms = (double)(last - first) * a->view.width;
    const imp_view *given = map_give(a, kernels);
    kernels->channel_products(given, NULL, NULL, NULL, 0, blocks, first, last, whole, NULL);
    for (int c = 0; c < channels; c++) {
        double exact = 0;
        for (int y = first; y < last; y++)
            for (int x = 0; x < a->view.width; x++) {
                double difference = (double)*map_at(a, c, y, x) - (double)*map_at(b, c, y, x);
                exact += (double)*map_at(a, c, y, x);
                squares += difference * difference;
            }
        expect(near((double)whole[c], exact, sum_tolerance(terms, exact)), "%s sums %d", kernels->name, c);
    }
    for (int block = 0; block < blocks; block++)
        kernels->channel_products(given, NULL, NULL, NULL, block, block + 1, first, last, cut, NULL);
    expect(!memcmp(whole, cut, (size_t)channels * sizeof(float)), "%s sums: depends on the cut", kernels->name);
    double got = kernels->squared_difference(given, map_give(b, kernels), 0, blocks, first, last);
    expect(near(got, squares, sum_tolerance(terms, squares)), "%s squared_difference: %g not %g", kernels->name, got,
           squares);
    free(whole);
    free(cut);
}

/* A map as large as a picture's: sums of a quarter of a million positive terms must keep 2e-6, what a loss
   can bear. */
static void check_large_sums(const imp_kernels *kernels) {
    test_map map = map_make(16, 512, 512, 1);
    float second[IMP_BLOCK * IMP_BLOCK], sum[IMP_BLOCK];
    map_random(&map);
    make_positive(&map);
    kernels->second_moments(map_give(&map, kernels), 0, 1, 0, 512, second, IMP_BLOCK);
    kernels->channel_products(map_give(&map, kernels), NULL, NULL, NULL, 0, 1, 0, 512, sum, NULL);
    for (int i = 0; i < IMP_BLOCK; i++) {
        double exact = moment(&map, i, 3, 0, 512), total = 0;
        for (int y = 0; y < 512; y++)
            for (int x = 0; x < 512; x++) total += (double)*map_at(&map, i, y, x);
        expect(near((double)second[i * IMP_BLOCK + 3], exact, 2e-6 * exact), "%s second_moments: inexact",
               kernels->name);
        expect(near((double)sum[i], total, 2e-6 * total), "%s sums: inexact", kernels->name);
    }
    map_free(&map);
}

static void check_nan(const imp_kernels *kernels) {
    float sum[IMP_BLOCK], second[IMP_BLOCK * IMP_BLOCK];
    test_map a = map_make(16, 4, 20, 0), b = map_make(16, 4, 20, 0);
    map_random(&a);
    map_random(&b);
    *map_at(&a, 5, 2, 11) = NAN;
    kernels->channel_products(map_give(&a, kernels), NULL, NULL, NULL, 0, 1, 0, 4, sum, NULL);
    kernels->second_moments(map_give(&a, kernels), 0, 1, 0, 4, second, IMP_BLOCK);
    for (int i = 0; i < IMP_BLOCK; i++) {
        expect((isnan(sum[i]) != 0) == (i == 5), "%s sums: NaN lost or spread", kernels->name);
        expect(isnan(second[i * IMP_BLOCK + 5]) && isnan(second[5 * IMP_BLOCK + i]), "%s second_moments: NaN lost",
               kernels->name);
    }
    expect(isnan(kernels->squared_difference(map_give(&a, kernels), map_give(&b, kernels), 0, 1, 0, 4)),
           "%s squared_difference: NaN lost", kernels->name);
    map_free(&a);
    map_free(&b);
}

void check_statistics(const imp_kernels *kernels) {
    for (int n = 0; n < SHAPES; n++) {
        test_map a = map_make(shapes[n][0], shapes[n][1], shapes[n][2], 1), b = map_copy(&a);
        map_random(&a);
        map_random(&b);
        make_positive(&a);
        int height = shapes[n][1], first = random_below(height), last = first + 1 + random_below(height - first);
        check_moments(kernels, &a, 0, height);
        check_moments(kernels, &a, first, last);
        check_sums(kernels, &a, &b, 0, height);
        check_sums(kernels, &a, &b, first, last);
        map_free(&a);
        map_free(&b);
    }
    check_large_sums(kernels);
    check_nan(kernels);
    printf("%s: statistics\n", kernels->name);
}

typedef struct test_product {
    int m, n, k;
    float alpha, beta;
    size_t lda, ldb, ldc;
    float *a, *b, *before;
} test_product;

static void compare_product(const imp_kernels *kernels, const test_product *p, const float *c) {
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < (int)p->ldc; j++) {
            double got = (double)c[(size_t)i * p->ldc + (size_t)j], sum = 0, magnitude = 0;
            double before = p->beta != 0 ? (double)(p->beta * p->before[(size_t)i * p->ldc + (size_t)j]) : 0;
            if (j >= p->n) {
                expect(c[(size_t)i * p->ldc + (size_t)j] == GUARD, "%s gemm: wrote past a row", kernels->name);
                continue;
            }
            for (int q = 0; q < p->k; q++) {
                double term =
                    (double)p->a[(size_t)i * p->lda + (size_t)q] * (double)p->b[(size_t)q * p->ldb + (size_t)j];
                sum += term;
                magnitude += fabs(term);
            }
            sum = (double)p->alpha * sum + before;
            magnitude = fabs((double)p->alpha) * magnitude + fabs(before);
            expect(near(got, sum, sum_tolerance(p->k + 4, magnitude)), "%s gemm %dx%dx%d (%d, %d): %g not %g",
                   kernels->name, p->m, p->n, p->k, i, j, got, sum);
        }
}

static void check_product(const imp_kernels *kernels, int m, int n, int k, float alpha, float beta) {
    test_product p = {m, n, k, alpha, beta, (size_t)k + 3, (size_t)n + 5, (size_t)n + 2, NULL, NULL, NULL};
    size_t count = (size_t)m * p.ldc, scratch_count = kernels->gemm_scratch(n, k);
    p.a = random_floats((size_t)m * p.lda);
    p.b = random_floats((size_t)k * p.ldb);
    p.before = random_floats(count);
    float *whole = take(count * sizeof(float)), *cut = take(count * sizeof(float));
    float *scratch = take((scratch_count + 1) * sizeof(float));
    scratch[scratch_count] = GUARD;
    for (size_t i = 0; i < count; i++) {
        if (i % p.ldc >= (size_t)n) p.before[i] = GUARD;
        whole[i] = cut[i] = beta != 0 || i % p.ldc >= (size_t)n ? p.before[i] : NAN; /* beta 0 never reads */
    }
    kernels->gemm(n, k, alpha, p.a, p.lda, p.b, p.ldb, beta, whole, p.ldc, 0, m, scratch);
    compare_product(kernels, &p, whole);
    for (int row = 0, next; row < m; row = next) {
        next = row + 1 + random_below(m - row);
        kernels->gemm(n, k, alpha, p.a, p.lda, p.b, p.ldb, beta, cut, p.ldc, row, next, scratch);
    }
    expect(!memcmp(whole, cut, count * sizeof(float)), "%s gemm %dx%dx%d: depends on the cut", kernels->name, m, n, k);
    expect(scratch[scratch_count] == GUARD, "%s gemm: wrote past the scratch", kernels->name);
    free(p.a);
    free(p.b);
    free(p.before);
    free(whole);
    free(cut);
    free(scratch);
}

void check_products(const imp_kernels *kernels) {
    static const int sizes[] = {1, 2, 3, 7, 15, 16, 17, 32, 33, 64, 100, 257, 300};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    for (int n = 0; n < SIZES * SIZES; n++)
        check_product(kernels, sizes[random_below(SIZES)], sizes[n % SIZES], sizes[n / SIZES], n % 3 ? 0.7f : 1.0f,
                      n % 2 ? 0 : 0.5f);
    check_product(kernels, 5, 3, 1024, -1, 1);
    printf("%s: products\n", kernels->name);
}
