/* Times the kernels on VGG19's shapes at 512x512, one thread, beside the processor's own peak measured in between. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __x86_64__
#include <immintrin.h>

#include "base/cpu.h"
#endif

#define ROUNDS 5           /* of which the best counts: others use the machine too */
#define PEAK_STEPS 1000000 /* about 10 ms */
#define PEAK_CHAINS 12     /* independent sums: more than latency x units */

/* The thread's own processor time: what others run meanwhile counts as little as can be. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#ifdef __x86_64__
static volatile float sink; /* keeps the loops below alive */

#define PEAK(NAME, TARGET, VECTOR, PREFIX)                                                                             \
    __attribute__((target(TARGET))) static double NAME(void) {                                                         \
        VECTOR sum[PEAK_CHAINS], factor = PREFIX##_set1_ps(0.999f), term = PREFIX##_set1_ps(0.001f);                   \
        for (int i = 0; i < PEAK_CHAINS; i++) sum[i] = PREFIX##_set1_ps((float)i);                                     \
        double begin = now();                                                                                          \
        for (int step = 0; step < PEAK_STEPS; step++)                                                                  \
            _Pragma("GCC unroll 12") for (int i = 0; i < PEAK_CHAINS; i++) sum[i] =                                    \
                PREFIX##_fmadd_ps(sum[i], factor, term);                                                               \
        double seconds = now() - begin;                                                                                \
        for (int i = 0; i < PEAK_CHAINS; i++) sink += ((float *)&sum[i])[0];                                           \
        return 2.0 * PEAK_STEPS * PEAK_CHAINS * (double)(sizeof(VECTOR) / sizeof(float)) / seconds;                    \
    }
PEAK(peak_avx512, "avx512f", __m512, _mm512)
PEAK(peak_avx2, "avx2,fma", __m256, _mm256)
#endif

/* Fused multiply-adds that one core can do, in operations a second; 0 where this cannot be measured. */
static double measure_peak(void) {
#ifdef __x86_64__
    if (imp_cpu_features() & IMP_CPU_AVX512) return peak_avx512();
    if (imp_cpu_features() & IMP_CPU_AVX2) return peak_avx2();
#endif
    return 0;
}

typedef struct bench_work {
    imp_convolution job;
    test_map in, out, mask;
    const float *weights;
    void *packed;
    float *second;
    imp_view given_in, given_out, given_mask; /* of the table's type */
    char *transformed, *panel;                /* of Winograd */
    float *products;
} bench_work;

typedef void work_function(const imp_kernels *kernels, bench_work *work);

static void run_convolution(const imp_kernels *kernels, bench_work *work) {
    kernels->convolve(&work->job, 0, imp_blocks(work->job.out.channels), 0, work->job.out.height);
}

/* The tiles of a pass, and two output blocks at a time, as the engine's deep layers go. */
static void run_winograd(const imp_kernels *kernels, bench_work *work, const imp_winograd *steps) {
    int in_blocks = imp_blocks(work->job.in.channels), out_blocks = imp_blocks(work->job.out.channels);
    int count = imp_winograd_tiles(work->job.out.width, steps->outputs) *
                imp_winograd_tiles(work->job.out.height, steps->outputs);
    int each = (12 + steps->tiles - 1) / steps->tiles * steps->tiles;
    size_t unit = imp_winograd_size(steps, in_blocks, each) * steps->factor_bytes;
    (void)kernels;
    for (int tile = 0; tile < count; tile += each)
        steps->transform_input(&work->job, 0, in_blocks, tile, tile + each < count ? tile + each : count,
                               work->transformed + (size_t)(tile / each) * unit);
    for (int block = 0; block < out_blocks; block += 2) {
        int end = block + 2 < out_blocks ? block + 2 : out_blocks;
        steps->transform_weights(&work->job, block, end, work->panel);
        for (int tile = 0; tile < count; tile += each)
            steps->multiply(&work->job, block, end, tile, tile + each < count ? tile + each : count, work->panel,
                            work->transformed + (size_t)(tile / each) * unit, work->products);
    }
}

static void run_depthwise(const imp_kernels *kernels, bench_work *work) {
    kernels->convolve_depthwise(&work->job, 0, imp_blocks(work->job.out.channels), 0, work->job.out.height);
}

static void run_winograd_4(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, kernels->winograd[0]);
}

static void run_winograd_6(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, kernels->winograd[1]);
}

/* Plain C has no Winograd, and bf16 factors have none of the larger tiles. */
static int can_run(const imp_kernels *kernels, work_function *run) {
    if (run == run_winograd_4) return kernels->winograd[0] != NULL;
    return run != run_winograd_6 || (kernels->winograd[0] && kernels->winograd[1]);
}

static void run_moments(const imp_kernels *kernels, bench_work *work) {
    const imp_view *in = &work->given_in;
    kernels->second_moments(in, 0, imp_blocks(in->channels), 0, in->height, work->second,
                            (size_t)imp_blocks(in->channels) * IMP_BLOCK);
}

static void run_pool(const imp_kernels *kernels, bench_work *work) {
    imp_view out = work->given_out;
    out.height /= 2, out.width /= 2;
    kernels->pool(IMP_POOL_MAX, 1, &work->given_in, &out, 0, imp_blocks(out.channels), 0, out.height);
}

static void run_pool_backward(const imp_kernels *kernels, bench_work *work) {
    imp_view gradient = work->given_mask;
    gradient.height /= 2, gradient.width /= 2;
    kernels->pool_backward(IMP_POOL_MAX, 1, &work->given_in, &gradient, &work->given_out, 0, &work->given_in, 0,
                           imp_blocks(gradient.channels), 0, work->given_out.height);
}

static void run_sums(const imp_kernels *kernels, bench_work *work) {
    const imp_view *in = &work->given_in;
    kernels->sums(in, 0, imp_blocks(in->channels), 0, in->height, work->second);
}

static void run_product(const imp_kernels *kernels, bench_work *work) {
    int n = work->in.view.channels;
    float *a = work->second;
    kernels->gemm(n, n, 1, a, (size_t)n, a, (size_t)n, 0, work->out.memory, (size_t)n, 0, n, work->packed);
}

/* Gives the work to a table: maps and packed weights of its types. */
static void work_give(bench_work *work, const imp_kernels *kernels) {
    int in = work->job.in.channels, out = work->job.out.channels, kernel = work->job.kernel_height;
    work->given_in = *map_give(&work->in, kernels);
    work->given_out = *map_give(&work->out, kernels);
    work->given_mask = *map_give(&work->mask, kernels);
    work->job.in = work->given_in;
    work->job.out = work->given_out;
    kernels->pack_weights(work->weights, out, in, kernel, kernel, 0, work->packed);
}

/* The best of a few rounds for every table, interleaved with the peak. bytes: read and written at least, 0
   when beside the point. */
static void measure(const imp_kernels *const *tables, int count, const char *name, work_function *run, bench_work *work,
                    double operations, double bytes) {
    double peak = 0, best[MOST_TABLES];
    for (int round = 0; round < ROUNDS; round++) {
        double now_peak = measure_peak();
        if (now_peak > peak) peak = now_peak;
        for (int i = 0; i < count; i++) {
            if (!can_run(tables[i], run)) continue;
            work_give(work, tables[i]);
            double begin = now();
            run(tables[i], work);
            double seconds = now() - begin;
            if (round == 0 || seconds < best[i]) best[i] = seconds;
        }
    }
    printf("%-26s peak %4.0f GF/s", name, peak * 1e-9);
    for (int i = 0; i < count; i++) {
        if (!can_run(tables[i], run)) continue;
        printf("  %s %.2f ms", tables[i]->name, best[i] * 1e3);
        if (bytes > 0) printf(" %.1f GB/s", bytes / best[i] * 1e-9);
        if (operations > 0) printf(" %.0f GF/s", operations / best[i] * 1e-9);
        if (operations > 0 && peak > 0) printf(" %.0f %%", 100 * operations / best[i] / peak);
    }
    printf("\n");
    fflush(stdout);
}

/* Room for the larger of the ways, f32 and 6x6, in whole passes. */
static void take_winograd(bench_work *work) {
    const imp_winograd largest = {.outputs = 6};
    const imp_view *in = &work->job.in, *out = &work->job.out;
    int tiles = imp_winograd_tiles(out->height, 4) * imp_winograd_tiles(out->width, 4) + 64;
    size_t input = imp_winograd_size(&largest, imp_blocks(in->channels), tiles) + (size_t)tiles * 64 * 2 * IMP_BLOCK;
    imp_plain_weights(&work->job, work->weights, in->channels, 0);
    work->transformed = take(input * sizeof(float));
    work->panel = take(imp_winograd_size(&largest, 2, imp_winograd_rows(in->channels)) * sizeof(float));
    work->products = take(imp_winograd_size(&largest, 2, 64) * sizeof(float));
}

static bench_work work_make(const imp_kernels *kernels, int in_channels, int out_channels, int size, int kernel) {
    bench_work work = {.in = map_make(in_channels, size, size, kernel / 2)};
    work.out = map_make(out_channels, size, size, kernel / 2);
    work.mask = map_make(out_channels, size, size, kernel / 2);
    map_random(&work.in);
    map_random(&work.mask);
    work.weights = random_floats((size_t)in_channels * (size_t)out_channels * (size_t)(kernel * kernel));
    work.packed = take(kernels->packed_bytes(out_channels, in_channels, kernel, kernel));
    size_t channels = (size_t)imp_blocks(in_channels) * IMP_BLOCK;
    work.second = take(channels * channels * sizeof(float));
    memset(work.second, 0, channels * channels * sizeof(float));
    work.job = (imp_convolution){.in = work.in.view, /* for the shapes; work_give says whose */
                                 .out = work.out.view,
                                 .weights = work.packed,
                                 .stride = 1,
                                 .kernel_height = kernel,
                                 .kernel_width = kernel,
                                 .pad_y = kernel / 2,
                                 .pad_x = kernel / 2,
                                 .relu = 1};
    if (kernel == 3) take_winograd(&work);
    return work;
}

static void work_free(bench_work *work) {
    map_free(&work->in);
    map_free(&work->out);
    map_free(&work->mask);
    free((void *)work->weights);
    free(work->packed);
    free(work->second);
    free(work->transformed);
    free(work->panel);
    free(work->products);
}

static void bench_convolution(const imp_kernels *const *tables, int count, int in, int out, int size, int kernel) {
    double operations = 2.0 * in * out * kernel * kernel * size * size;
    char name[64];
    bench_work work = work_make(tables[0], in, out, size, kernel);
    snprintf(name, sizeof name, "%dx%d %d->%d at %d", kernel, kernel, in, out, size);
    measure(tables, count, name, run_convolution, &work, operations, 0);
    if (kernel == 3) {
        snprintf(name, sizeof name, "  winograd 4x4");
        measure(tables, count, name, run_winograd_4, &work, operations, 0);
        snprintf(name, sizeof name, "  winograd 6x6");
        measure(tables, count, name, run_winograd_6, &work, operations, 0);
    }
    work_free(&work);
}

static void bench_depthwise(const imp_kernels *const *tables, int count, int channels, int size, int kernel) {
    double values = (double)channels * size * size;
    char name[64];
    bench_work work = work_make(tables[0], channels, channels, size, kernel);
    snprintf(name, sizeof name, "depthwise %dx%d %d at %d", kernel, kernel, channels, size);
    /* Its weights are few of those of the whole convolution, and lie anywhere among them. */
    measure(tables, count, name, run_depthwise, &work, 2 * kernel * kernel * values, 0);
    work_free(&work);
}

/* What goes with a tapped and pooled map of this shape. */
static void bench_map(const imp_kernels *const *tables, int count, int channels, int size) {
    char name[64];
    bench_work work = work_make(tables[0], channels, channels, size, 3);
    double values = (double)channels * size * size, blocks = imp_blocks(channels);
    snprintf(name, sizeof name, "second moments %d at %d", channels, size);
    measure(tables, count, name, run_moments, &work, 256 * blocks * (blocks + 1) * size * size, 0);
    snprintf(name, sizeof name, "sums %d at %d", channels, size);
    measure(tables, count, name, run_sums, &work, 0, 4 * values);
    snprintf(name, sizeof name, "max pool %d at %d", channels, size);
    measure(tables, count, name, run_pool, &work, 0, 4 * values * 1.25);
    snprintf(name, sizeof name, "its gradient %d at %d", channels, size);
    measure(tables, count, name, run_pool_backward, &work, 0, 4 * values * 2.25);
    work_free(&work);
}

static void bench_product(const imp_kernels *const *tables, int count, int n) {
    char name[64];
    bench_work work = work_make(tables[0], n, n, 64, 3);
    snprintf(name, sizeof name, "gemm %d", n);
    measure(tables, count, name, run_product, &work, 2.0 * n * n * n, 0);
    work_free(&work);
}

void bench(const imp_kernels *const *tables, int count) {
    static const int layers[][3] = {{3, 64, 512},    {64, 64, 512},  {64, 128, 256}, {128, 128, 256}, {128, 256, 128},
                                    {256, 256, 128}, {256, 512, 64}, {512, 512, 64}, {512, 512, 32},  {64, 3, 512}};
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++)
        bench_convolution(tables, count, layers[i][0], layers[i][1], layers[i][2], 3);
    for (size_t i = 1; i < sizeof layers / sizeof layers[0]; i++)
        if (layers[i][0] == layers[i][1]) bench_convolution(tables, count, layers[i][0], layers[i][1], layers[i][2], 1);
    bench_depthwise(tables, count, 64, 256, 3);
    bench_depthwise(tables, count, 128, 64, 5);
    for (int level = 0; level < 4; level++) bench_map(tables, count, 64 << level, 512 >> level);
    for (int n = 64; n <= 512; n *= 2) bench_product(tables, count, n);
}
