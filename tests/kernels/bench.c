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
#include "graph/backend_cpu.h"

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

#define PEAK(NAME, TARGET, VECTOR, PREFIX, ADD, PAIRS)                                                                 \
    __attribute__((target(TARGET))) static double NAME(void) {                                                         \
        VECTOR sum[PEAK_CHAINS], factor = PREFIX##_set1_ps(0.999f), term = PREFIX##_set1_ps(0.001f);                   \
        for (int i = 0; i < PEAK_CHAINS; i++) sum[i] = PREFIX##_set1_ps((float)i);                                     \
        double begin = now();                                                                                          \
        for (int step = 0; step < PEAK_STEPS; step++)                                                                  \
            _Pragma("GCC unroll 12") for (int i = 0; i < PEAK_CHAINS; i++) sum[i] = ADD(sum[i], factor, term);         \
        double seconds = now() - begin;                                                                                \
        for (int i = 0; i < PEAK_CHAINS; i++) sink += ((float *)&sum[i])[0];                                           \
        return 2.0 * PAIRS * PEAK_STEPS * PEAK_CHAINS * (double)(sizeof(VECTOR) / sizeof(float)) / seconds;            \
    }
/* AMX's tiles: shapes in the order of the processor, all of the largest. */
#define TILE_MULTIPLICATIONS (16 * 16 * 32)
__attribute__((target("amx-tile,amx-bf16"))) static double peak_amx(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) shapes.row_bytes[tile] = 64, shapes.rows[tile] = 16;
    _tile_loadconfig(&shapes);
    double begin = now();
    for (int step = 0; step < PEAK_STEPS / 4; step++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    double seconds = now() - begin;
    _tile_release();
    return 2.0 * TILE_MULTIPLICATIONS * PEAK_STEPS / seconds;
}

#define ADD_PRODUCT_512(sum, factor, term) _mm512_fmadd_ps(sum, factor, term)
#define ADD_PRODUCT_256(sum, factor, term) _mm256_fmadd_ps(sum, factor, term)
#define ADD_PAIRS(sum, factor, term) _mm512_dpbf16_ps(sum, (__m512bh)(factor), (__m512bh)(term))
PEAK(peak_avx512, "avx512f", __m512, _mm512, ADD_PRODUCT_512, 1)
PEAK(peak_avx2, "avx2,fma", __m256, _mm256, ADD_PRODUCT_256, 1)
PEAK(peak_bf16, "avx512f,avx512bf16", __m512, _mm512, ADD_PAIRS, 2)
#endif

/* What is multiplied: f32, bf16 in pairs, or bf16 in tiles. */
enum { SINGLE, PAIRS, TILES, PEAKS };

/* Fused multiply-adds that one core can do, in operations a second; 0 where this cannot be measured. */
static double measure_peak(int kind) {
#ifdef __x86_64__
    if (kind == TILES) return imp_cpu_features(IMP_CPU_AMX) & IMP_CPU_AMX ? peak_amx() : 0;
    if (kind == PAIRS) return __builtin_cpu_supports("avx512bf16") ? peak_bf16() : 0;
    if (__builtin_cpu_supports("avx512f")) return peak_avx512();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return peak_avx2();
#endif
    (void)kind;
    return 0;
}

typedef struct bench_work {
    imp_convolution job;
    test_map in, out, mask;
    const float *weights;
    void *packed;
    float *second, *partial;
    imp_view given_in, given_out, given_mask; /* of the table's type */
    float *scratch;                           /* of Winograd */
    size_t scratch_floats;
    double aside; /* seconds of the run that do not count */
} bench_work;

typedef void work_function(const imp_kernels *kernels, bench_work *work);

static void run_convolution(const imp_kernels *kernels, bench_work *work) {
    kernels->convolve(&work->job, 0, imp_blocks(work->job.out.channels), 0, work->job.out.height);
}

static imp_context *one_thread; /* in which Winograd runs */

/* The steps that are timed by themselves, and the seconds of the others: what a step is given says nothing of who
   times it. */
static const imp_winograd *timed_steps;
static double timed_aside;

static void time_weights(const imp_convolution *job, int block_begin, int block_end, void *weights) {
    double begin = now();
    timed_steps->transform_weights(job, block_begin, block_end, weights);
    timed_aside += now() - begin;
}

static void time_input(const imp_convolution *job, int block_begin, int block_end, int tile_begin, int tile_end,
                       void *input) {
    double begin = now();
    timed_steps->transform_input(job, block_begin, block_end, tile_begin, tile_end, input);
    timed_aside += now() - begin;
}

static void leave_output(const imp_convolution *job, int block_begin, int block_end, int tile_begin, int tile_end,
                         const float *products) {
    (void)job, (void)block_begin, (void)block_end, (void)tile_begin, (void)tile_end, (void)products;
}

static imp_map map_of(const imp_view *view, imp_element element, int halo) {
    size_t picture = view->plane * (size_t)imp_blocks(view->channels);
    return (imp_map){.view = *view, .picture = picture, .batch = 1, .halo = halo, .element = element};
}

static imp_map_convolution whole_job(const imp_kernels *kernels, const bench_work *work) {
    return (imp_map_convolution){
        .in = map_of(&work->given_in, kernels->element, work->in.halo),
        .out = map_of(&work->given_out, kernels->element, work->out.halo),
        .weights = {.plain = work->weights, .plain_channels = work->in.view.channels},
        .kernel = 3,
        .stride = 1,
        .pad = 1,
        .relu = 1,
        .scratch = work->scratch,
    };
}

/* The engine's own way through the layer. With products_only there is no transform of outputs, and what the other
   transforms take does not count. */
static void run_winograd(const imp_kernels *kernels, bench_work *work, int index, int products_only) {
    imp_map_convolution job = whole_job(kernels, work);
    imp_winograd steps = *kernels->winograd[index];
    timed_steps = kernels->winograd[index];
    timed_aside = 0;
    if (products_only) {
        steps.transform_weights = time_weights;
        steps.transform_input = time_input;
        steps.transform_output = leave_output;
    }
    imp_cpu_winograd(one_thread, &job, &steps);
    work->aside = timed_aside;
}

/* work->out serves as the gradient by the output. */
static void run_weight_gradient(const imp_kernels *kernels, bench_work *work) {
    const imp_convolution *job = &work->job;
    kernels->weight_gradient(job, 0, imp_blocks(job->out.channels), 0, imp_blocks(job->in.channels), 0, job->out.height,
                             work->partial);
}

static void run_depthwise(const imp_kernels *kernels, bench_work *work) {
    kernels->convolve_depthwise(&work->job, 0, imp_blocks(work->job.out.channels), 0, work->job.out.height);
}

static void run_winograd_4(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, 0, 0);
}

static void run_winograd_6(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, 1, 0);
}

static void run_products_4(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, 0, 1);
}

static void run_products_6(const imp_kernels *kernels, bench_work *work) {
    run_winograd(kernels, work, 1, 1);
}

/* All of the direct convolution, where that is the fast way. */
static void run_direct(const imp_kernels *kernels, bench_work *work) {
    run_convolution(kernels, work);
}

/* Plain C and AMX have no Winograd, and bf16 factors have none of the larger tiles. */
static int can_run(const imp_kernels *kernels, work_function *run) {
    if (run == run_direct) return kernels->convolve_scratch != NULL;
    if (run == run_winograd_4 || run == run_products_4) return kernels->winograd[0] != NULL;
    if (run == run_winograd_6 || run == run_products_6) return kernels->winograd[0] && kernels->winograd[1];
    return 1;
}

static void run_moments(const imp_kernels *kernels, bench_work *work) {
    const imp_view *in = &work->given_in;
    kernels->second_moments(in, 0, imp_blocks(in->channels), 0, in->height, work->second,
                            (size_t)imp_blocks(in->channels) * IMP_BLOCK);
}

/* The first windows of a map's memory; seen as bytes, they are any choices. */
static imp_view halved(const imp_view *map) {
    imp_view half = *map;
    half.height /= 2, half.width /= 2;
    return half;
}

static void run_pool(const imp_kernels *kernels, bench_work *work) {
    imp_pooling job = {.kind = IMP_POOL_MAX, .windows = halved(&work->given_out), .choices = halved(&work->given_mask)};
    kernels->pool(&job, &work->given_in, 0, imp_blocks(job.windows.channels), 0, job.windows.height);
}

static void run_pool_backward(const imp_kernels *kernels, bench_work *work) {
    imp_pooling job = {.kind = IMP_POOL_MAX, .windows = halved(&work->given_in), .choices = halved(&work->given_mask)};
    kernels->pool_backward(&job, &work->given_out, 0, NULL, 0, imp_blocks(job.windows.channels), 0,
                           work->given_out.height);
}

static void run_sums(const imp_kernels *kernels, bench_work *work) {
    const imp_view *in = &work->given_in;
    kernels->channel_products(in, NULL, NULL, NULL, 0, imp_blocks(in->channels), 0, in->height, work->second, NULL);
}

/* Of a norm: its backward's sums, and its forward. */
static void run_channel_products(const imp_kernels *kernels, bench_work *work) {
    const imp_view *in = &work->given_in;
    kernels->channel_products(in, &work->given_mask, NULL, work->second, 0, imp_blocks(in->channels), 0, in->height,
                              work->partial, work->partial + imp_blocks(in->channels) * IMP_BLOCK);
}

static void run_blend(const imp_kernels *kernels, bench_work *work) {
    imp_blend job = {
        .x = &work->given_in, .out = &work->given_out, .x_factor = work->second, .addend = work->second, .relu = 1};
    kernels->blend(&job, 0, imp_blocks(job.out->channels), 0, job.out->height);
}

static void run_sigmoid(const imp_kernels *kernels, bench_work *work) {
    const imp_view *out = &work->given_out;
    kernels->activate(IMP_ACTIVATION_SIGMOID, 0, &work->given_in, out, 0, imp_blocks(out->channels), 0, out->height);
}

static void run_resize_backward(const imp_kernels *kernels, bench_work *work) {
    imp_view in = work->given_out;
    in.height /= 2, in.width /= 2;
    kernels->resize_backward(&work->given_mask, &in, 0, NULL, 0, imp_blocks(in.channels), 0, in.height);
}

/* ResNet's. */
static const imp_windows stem_windows = {3, 3, 2, 1, 1};
static void run_windows_backward(const imp_kernels *kernels, bench_work *work) {
    imp_view gradient = work->given_mask;
    gradient.height /= 2, gradient.width /= 2;
    kernels->max_pool_backward(&stem_windows, &work->given_in, &gradient, &work->given_out, 0, NULL, 0,
                               imp_blocks(gradient.channels), 0, work->given_out.height);
}

static void run_product(const imp_kernels *kernels, bench_work *work) {
    int n = work->in.view.channels;
    float *a = work->second;
    kernels->gemm(n, n, 1, a, (size_t)n, a, (size_t)n, 0, work->out.memory, (size_t)n, 0, n, work->packed);
}

/* As much as the hungriest way of the table takes. */
static void take_scratch(const imp_kernels *kernels, bench_work *work) {
    imp_map_convolution job = whole_job(kernels, work);
    for (const imp_winograd *const *steps = kernels->winograd; *steps; steps++) {
        size_t floats = imp_cpu_winograd_scratch(&job, *steps, 1);
        if (floats <= work->scratch_floats) continue;
        free(work->scratch);
        work->scratch = take(floats * sizeof(float));
        work->scratch_floats = floats;
    }
}

/* Gives the work to a table: maps and packed weights of its types. */
static void work_give(bench_work *work, const imp_kernels *kernels) {
    int in = work->job.in.channels, out = work->job.out.channels, kernel = work->job.kernel_height;
    work->given_in = *map_give(&work->in, kernels);
    work->given_out = *map_give(&work->out, kernels);
    work->given_mask = *map_give(&work->mask, kernels);
    work->job.in = work->given_in;
    work->job.out = work->given_out;
    if (kernel == 3) take_scratch(kernels, work);
    free(work->job.scratch);
    work->job.scratch = NULL;
    if (kernels->convolve_scratch)
        work->job.scratch = take(kernels->convolve_scratch(&work->job, work->job.out.height));
    free(work->packed);
    work->packed = take(kernels->packed_bytes(out, in, kernel, kernel));
    work->job.weights = work->packed;
    kernels->pack_weights(work->weights, out, in, kernel, kernel, 0, work->packed);
}

static int kind_of(const imp_kernels *kernels, work_function *run) {
    if (run == run_product || run == run_depthwise || kernels->factor == IMP_ELEMENT_F32) return SINGLE;
    return kernels->convolve_scratch ? TILES : PAIRS;
}

/* The best of a few rounds for every table, interleaved with the peaks. bytes: read and written at least, 0
   when beside the point. */
static void measure(const imp_kernels *const *tables, int count, const char *name, work_function *run, bench_work *work,
                    double operations, double bytes) {
    double peaks[PEAKS] = {0}, best[MOST_TABLES];
    int able = 0;
    for (int i = 0; i < count; i++) able += can_run(tables[i], run);
    if (!able) return;
    for (int round = 0; round < ROUNDS; round++) {
        for (int kind = 0; kind < PEAKS; kind++) {
            double now_peak = measure_peak(kind);
            if (now_peak > peaks[kind]) peaks[kind] = now_peak;
        }
        for (int i = 0; i < count; i++) {
            if (!can_run(tables[i], run)) continue;
            work_give(work, tables[i]);
            work->aside = 0;
            double begin = now();
            run(tables[i], work);
            double seconds = now() - begin - work->aside;
            if (round == 0 || seconds < best[i]) best[i] = seconds;
        }
    }
    printf("%-26s peak %.0f GF/s, bf16 %.0f, tiles %.0f", name, peaks[SINGLE] * 1e-9, peaks[PAIRS] * 1e-9,
           peaks[TILES] * 1e-9);
    for (int i = 0; i < count; i++) {
        if (!can_run(tables[i], run)) continue;
        double peak = peaks[kind_of(tables[i], run)];
        printf("  %s %.2f ms", tables[i]->name, best[i] * 1e3);
        if (bytes > 0) printf(" %.1f GB/s", bytes / best[i] * 1e-9);
        if (operations > 0) printf(" %.0f GF/s", operations / best[i] * 1e-9);
        if (operations > 0 && peak > 0) printf(" %.0f %%", 100 * operations / best[i] / peak);
    }
    printf("\n");
    fflush(stdout);
}

static bench_work work_make(int in_channels, int out_channels, int size, int kernel) {
    bench_work work = {.in = map_make(in_channels, size, size, kernel / 2)};
    work.out = map_make(out_channels, size, size, kernel / 2);
    work.mask = map_make(out_channels, size, size, kernel / 2);
    map_random(&work.in);
    map_random(&work.out);
    map_random(&work.mask);
    work.weights = random_floats((size_t)in_channels * (size_t)out_channels * (size_t)(kernel * kernel));
    size_t channels = (size_t)imp_blocks(in_channels) * IMP_BLOCK;
    work.second = take(channels * channels * sizeof(float));
    memset(work.second, 0, channels * channels * sizeof(float));
    work.partial =
        take(channels * (size_t)imp_blocks(out_channels) * IMP_BLOCK * (size_t)(kernel * kernel) * sizeof(float));
    work.job = (imp_convolution){.in = work.in.view, /* for the shapes; work_give says whose */
                                 .out = work.out.view,
                                 .stride = 1,
                                 .kernel_height = kernel,
                                 .kernel_width = kernel,
                                 .pad_y = kernel / 2,
                                 .pad_x = kernel / 2,
                                 .relu = 1};
    return work;
}

static void work_free(bench_work *work) {
    map_free(&work->in);
    map_free(&work->out);
    map_free(&work->mask);
    free((void *)work->weights);
    free(work->packed);
    free(work->job.scratch);
    free(work->second);
    free(work->partial);
    free(work->scratch);
}

static void bench_convolution(const imp_kernels *const *tables, int count, int in, int out, int size, int kernel) {
    double operations = 2.0 * in * out * kernel * kernel * size * size;
    char name[64];
    bench_work work = work_make(in, out, size, kernel);
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

/* As in training: crops of 256 x 256, layers of feed-forward networks. */
static void bench_weight_gradient(const imp_kernels *const *tables, int count, int in, int out, int size, int kernel) {
    char name[64];
    bench_work work = work_make(in, out, size, kernel);
    snprintf(name, sizeof name, "by weights %dx%d %d->%d at %d", kernel, kernel, in, out, size);
    measure(tables, count, name, run_weight_gradient, &work, 2.0 * in * out * kernel * kernel * size * size, 0);
    work_free(&work);
}

static void bench_depthwise(const imp_kernels *const *tables, int count, int channels, int size, int kernel) {
    double values = (double)channels * size * size;
    char name[64];
    bench_work work = work_make(channels, channels, size, kernel);
    snprintf(name, sizeof name, "depthwise %dx%d %d at %d", kernel, kernel, channels, size);
    /* Its weights are few of those of the whole convolution, and lie anywhere among them. */
    measure(tables, count, name, run_depthwise, &work, 2 * kernel * kernel * values, 0);
    work_free(&work);
}

/* The products of matrices inside Winograd alone, or the direct way where a table has no other. */
static void bench_products(const imp_kernels *const *tables, int count, int in, int out, int size) {
    bench_work work = work_make(in, out, size, 3);
    char direct[64];
    snprintf(direct, sizeof direct, "products direct %d->%d at %d", in, out, size);
    measure(tables, count, direct, run_direct, &work, 2.0 * 9 * in * out * size * size, 0);
    for (int outputs = 4; outputs <= 6; outputs += 2) {
        double tiles = (double)imp_winograd_tiles(size, outputs) * imp_winograd_tiles(size, outputs);
        double points = (outputs + 2) * (outputs + 2);
        char name[64];
        snprintf(name, sizeof name, "products %dx%d %d->%d at %d", outputs, outputs, in, out, size);
        measure(tables, count, name, outputs == 4 ? run_products_4 : run_products_6, &work,
                2 * points * tiles * in * out, 0);
    }
    work_free(&work);
}

/* What goes with a tapped and pooled map of this shape. */
static void bench_map(const imp_kernels *const *tables, int count, int channels, int size) {
    char name[64];
    bench_work work = work_make(channels, channels, size, 3);
    double values = (double)channels * size * size, blocks = imp_blocks(channels);
    snprintf(name, sizeof name, "second moments %d at %d", channels, size);
    measure(tables, count, name, run_moments, &work, 256 * blocks * (blocks + 1) * size * size, 0);
    snprintf(name, sizeof name, "sums %d at %d", channels, size);
    measure(tables, count, name, run_sums, &work, 0, 4 * values);
    snprintf(name, sizeof name, "max pool %d at %d", channels, size);
    measure(tables, count, name, run_pool, &work, 0, 4 * values * 1.3125);
    snprintf(name, sizeof name, "its gradient %d at %d", channels, size);
    measure(tables, count, name, run_pool_backward, &work, 0, 4 * values * 1.3125);
    measure(tables, count, "  channel products", run_channel_products, &work, 0, 4 * values * 2);
    measure(tables, count, "  blend", run_blend, &work, 0, 4 * values * 2);
    measure(tables, count, "  sigmoid", run_sigmoid, &work, 0, 4 * values * 2);
    measure(tables, count, "  2x bilinear's gradient", run_resize_backward, &work, 0, 4 * values * 1.25);
    measure(tables, count, "  max 3x3/2's gradient", run_windows_backward, &work, 0, 4 * values * 2.25);
    work_free(&work);
}

static void bench_product(const imp_kernels *const *tables, int count, int n) {
    char name[64];
    bench_work work = work_make(n, n, 64, 3);
    snprintf(name, sizeof name, "gemm %d", n);
    measure(tables, count, name, run_product, &work, 2.0 * n * n * n, 0);
    work_free(&work);
}

static void bench_all(const imp_kernels *const *tables, int count, int products_only) {
    static const int layers[][3] = {{3, 64, 512},    {64, 64, 512},  {64, 128, 256}, {128, 128, 256}, {128, 256, 128},
                                    {256, 256, 128}, {256, 512, 64}, {512, 512, 64}, {512, 512, 32},  {64, 3, 512}};
    const size_t layer_count = sizeof layers / sizeof layers[0];
    for (size_t i = 1; i < layer_count; i++) /* 3 channels are too few for products to matter */
        if (layers[i][1] >= 64) bench_products(tables, count, layers[i][0], layers[i][1], layers[i][2]);
    if (products_only) return;
    for (size_t i = 0; i < layer_count; i++)
        bench_convolution(tables, count, layers[i][0], layers[i][1], layers[i][2], 3);
    for (size_t i = 1; i < layer_count; i++)
        if (layers[i][0] == layers[i][1]) bench_convolution(tables, count, layers[i][0], layers[i][1], layers[i][2], 1);
    bench_weight_gradient(tables, count, 48, 48, 128, 3);
    bench_weight_gradient(tables, count, 96, 96, 64, 3);
    bench_weight_gradient(tables, count, 96, 96, 128, 3);
    bench_weight_gradient(tables, count, 64, 64, 64, 1);
    bench_weight_gradient(tables, count, 3, 32, 256, 9);
    bench_weight_gradient(tables, count, 32, 3, 256, 9);
    bench_depthwise(tables, count, 64, 256, 3);
    bench_depthwise(tables, count, 128, 64, 5);
    for (int level = 0; level < 4; level++) bench_map(tables, count, 64 << level, 512 >> level);
    for (int n = 64; n <= 512; n *= 2) bench_product(tables, count, n);
}

void bench(const imp_kernels *const *tables, int count, int products_only) {
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = 1;
    if (imp_context_create(&options, &one_thread))
        fprintf(stderr, "%s\n", imp_error(one_thread));
    else
        bench_all(tables, count, products_only);
    imp_context_free(one_thread);
}
