/* The CPU backend: cuts whole maps into pieces of blocks and rows for the threads, and gives each piece to the
   table of kernels. */
#include "graph/backend_cpu.h"

#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "graph/packed.h"

/* Floats of a map that an elementwise piece works on: a quarter of a usual second-level cache, and far more than a
   hand-out costs. */
#define PIECE_FLOATS 65536
/* Output rows of a piece of a convolution where rows are cut: the three input rows around each are shared within
   the piece. */
#define CONVOLUTION_ROWS 16
/* Where outputs are few, rows of a piece for each row that is computed beside it (imp_convolution_is_narrow). */
#define NARROW_ROWS 8
/* Pixels of a piece of a convolution that gathers its input, and rows that it has at least. */
#define GATHERING_PIXELS 512
#define FEW_ROWS 8
/* Rows for each thread from which on a convolution is cut by rows, so that a thread's input stays its own. */
#define MANY_ROWS 32

const imp_kernels *imp_cpu_kernels(const imp_context *context, imp_element element) {
    return imp_kernels_get(context->cpu_features, element);
}

/* ---- Cutting ----------------------------------------------------------------------------------------------------- */

static void run_piece(void *user, int64_t begin, int64_t end, int thread) {
    const imp_cut *cut = user;
    int block_groups = imp_divide_up(cut->blocks, cut->blocks_each),
        row_groups = imp_divide_up(cut->rows, cut->rows_each);

    for (int64_t item = begin; item < end; item++) {
        int block_group = (int)(item % block_groups);
        int row_group = (int)(item / block_groups % row_groups);
        imp_piece piece = {
            .picture = (int)(item / block_groups / row_groups),
            .block_begin = block_group * cut->blocks_each,
            .block_end = imp_smaller(cut->blocks, (block_group + 1) * cut->blocks_each),
            .row_group = row_group,
            .row_begin = row_group * cut->rows_each,
            .row_end = imp_smaller(cut->rows, (row_group + 1) * cut->rows_each),
            .thread = thread,
        };

        cut->work(cut->job, &piece);
    }
}

void imp_cut_run(imp_context *context, const imp_cut *cut) {
    int64_t items = (int64_t)cut->pictures * imp_divide_up(cut->blocks, cut->blocks_each) *
                    imp_divide_up(cut->rows, cut->rows_each);
    imp_cut copy = *cut;

    imp_parallel_dynamic(context, items, run_piece, &copy);
}

void imp_cpu_run_evenly(imp_context *context, const imp_map *map, imp_piece_work *work, void *job) {
    int rows = (int)(PIECE_FLOATS / 2 / map->view.row) * 2;
    imp_cut cut = {
        .work = work,
        .job = job,
        .pictures = map->batch,
        .blocks = imp_blocks(map->view.channels),
        .blocks_each = 1,
        .rows = map->view.height,
        .rows_each = rows < 2 ? 2 : rows,
    };

    imp_cut_run(context, &cut);
}

/* ---- Halos ------------------------------------------------------------------------------------------------------- */

void imp_cpu_zero_halo(const imp_map *map, const imp_piece *piece) {
    const imp_view *view = &map->view;
    size_t pixel = IMP_BLOCK * imp_element_bytes(map->element), side = (size_t)map->halo * pixel;
    size_t band = (size_t)map->halo * view->row * imp_element_bytes(map->element);

    if (map->halo == 0) return;
    for (int block = piece->block_begin; block < piece->block_end; block++) {
        for (int y = piece->row_begin; y < piece->row_end; y++) {
            memset(imp_map_pixel(map, piece->picture, block, y, -map->halo), 0, side);
            memset(imp_map_pixel(map, piece->picture, block, y, view->width), 0, side);
        }
        if (piece->row_begin == 0) memset(imp_map_pixel(map, piece->picture, block, -map->halo, -map->halo), 0, band);
        if (piece->row_end == view->height)
            memset(imp_map_pixel(map, piece->picture, block, view->height, -map->halo), 0, band);
    }
}

/* ---- Memory and weights ------------------------------------------------------------------------------------------ */

static float *allocate(imp_context *context, size_t bytes) {
    return imp_allocate(context, bytes);
}

static void release(imp_context *context, float *memory) {
    imp_release(context, memory);
}

static const char *name(const imp_context *context, imp_element element) {
    return imp_cpu_kernels(context, element)->name;
}

/* Whose packed weights this convolution reads: none but a bias where Winograd transforms the plain ones. */
static const imp_kernels *packing_kernels(const imp_context *context, const imp_map_convolution *job) {
    return imp_cpu_find_winograd(context, job) ? NULL : imp_cpu_kernels(context, job->in.element);
}

static int needs_packed(const imp_network *network, int layer, int transpose, const imp_kernels *kernels) {
    return kernels || (!transpose && network->layers[layer].bias >= 0);
}

static size_t missing_weights(const imp_context *context, const imp_network *network, int layer, int transpose,
                              const imp_map_convolution *job) {
    const imp_kernels *kernels = packing_kernels(context, job);

    return needs_packed(network, layer, transpose, kernels) ? imp_packed_missing(network, kernels, layer, transpose)
                                                            : 0;
}

static int get_weights(imp_context *context, const imp_network *network, int layer, int transpose,
                       const imp_map_convolution *job, imp_layer_weights *weights) {
    const imp_layer *of = &network->layers[layer];
    const imp_kernels *kernels = packing_kernels(context, job);
    imp_packed packed = {0};
    int status = IMP_OK;

    if (needs_packed(network, layer, transpose, kernels))
        status = imp_packed_get(context, network, kernels, layer, transpose, &packed);
    *weights = (imp_layer_weights){
        .packed = kernels ? packed.weights : NULL,
        .plain = kernels ? NULL : network->parameters[of->weight].data,
        .plain_channels = network->layers[of->input].channels,
        .transpose = transpose,
        .bias = packed.bias,
    };
    return status;
}

/* ---- Pooling ----------------------------------------------------------------------------------------------------- */

imp_pooling imp_cpu_view_pooling(const imp_map_pooling *map, int picture) {
    imp_pooling pooling = {
        .kind = map->kind,
        .average_scale = map->average_scale,
        .relu = map->relu,
        .windows = imp_map_view(&map->windows, picture),
    };

    if (map->choices.batch) pooling.choices = imp_map_view(&map->choices, picture);
    return pooling;
}

typedef struct pool_job {
    const imp_kernels *kernels;
    const imp_map_pooling *map;
    const imp_map *whole, *mask; /* what is pooled, or its gradient */
    int accumulate;
} pool_job;

static void pool_piece(void *user, const imp_piece *piece) {
    const pool_job *job = user;
    imp_pooling pooling = imp_cpu_view_pooling(job->map, piece->picture);
    imp_view in = imp_map_view(job->whole, piece->picture);

    job->kernels->pool(&pooling, &in, piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    imp_cpu_zero_halo(&job->map->windows, piece);
}

static void pool(imp_context *context, const imp_map_pooling *map, const imp_map *in) {
    pool_job job = {.kernels = imp_cpu_kernels(context, in->element), .map = map, .whole = in};

    imp_cpu_run_evenly(context, &map->windows, pool_piece, &job);
}

static void pool_backward_piece(void *user, const imp_piece *piece) {
    const pool_job *job = user;
    imp_pooling pooling = imp_cpu_view_pooling(job->map, piece->picture);
    imp_view gradient = imp_map_view(job->whole, piece->picture), mask = {0};

    if (job->mask) mask = imp_map_view(job->mask, piece->picture);
    job->kernels->pool_backward(&pooling, &gradient, job->accumulate, job->mask ? &mask : NULL, piece->block_begin,
                                piece->block_end, piece->row_begin, piece->row_end);
    if (!job->accumulate) imp_cpu_zero_halo(job->whole, piece);
}

static void pool_backward(imp_context *context, const imp_map_pooling *map, const imp_map *gradient, int accumulate,
                          const imp_map *mask) {
    pool_job job = {
        .kernels = imp_cpu_kernels(context, gradient->element),
        .map = map,
        .whole = gradient,
        .mask = mask,
        .accumulate = accumulate,
    };

    imp_cpu_run_evenly(context, gradient, pool_backward_piece, &job);
}

/* ---- Convolution ------------------------------------------------------------------------------------------------- */

typedef struct convolution_job {
    const imp_kernels *kernels;
    const imp_map_convolution *map;
    size_t scratch; /* bytes of each thread */
} convolution_job;

void imp_cpu_view_convolution(const imp_map_convolution *map, int picture, void *scratch, imp_convolution *convolution,
                              imp_view *mask) {
    *convolution = (imp_convolution){
        .in = imp_map_view(&map->in, picture),
        .out = imp_map_view(&map->out, picture),
        .weights = map->weights.packed,
        .bias = map->weights.bias,
        .kernel_height = map->kernel,
        .kernel_width = map->kernel,
        .stride = map->stride,
        .dilation = map->dilation,
        .pad_y = map->pad,
        .pad_x = map->pad,
        .accumulate = map->accumulate,
        .relu = map->relu,
        .scratch = scratch,
    };
    imp_plain_weights(convolution, map->weights.plain, map->weights.plain_channels, map->weights.transpose);
    if (map->mask) {
        *mask = imp_map_view(map->mask, picture);
        convolution->mask = mask;
    }
}

/* Rows of a piece where kernels gather what rows read. Enough that the weights, which each piece reads anew, do not take
   longer than the products; more threads get fewer, but not so few that weights serve less than FEW_ROWS. */
static int piece_rows(const imp_map_convolution *map, int threads) {
    int spread = imp_spread(map), rows = imp_divide_up(GATHERING_PIXELS, map->out.view.width);
    int share = imp_divide_up(map->out.view.height, imp_divide_up(threads, map->out.batch));

    if (rows < CONVOLUTION_ROWS * spread) rows = CONVOLUTION_ROWS * spread;
    rows = imp_smaller(rows, imp_divide_up(share, FEW_ROWS * spread) * FEW_ROWS * spread);
    return imp_smaller(rows, map->out.view.height);
}

/* Bytes of scratch for each thread of a direct convolution. */
static size_t thread_scratch(const imp_map_convolution *map, const imp_kernels *kernels, int threads) {
    imp_convolution convolution;
    imp_view mask;

    if (!kernels->convolve_scratch || imp_convolution_is_depthwise(map)) return 0;
    imp_cpu_view_convolution(map, 0, NULL, &convolution, &mask);
    return imp_round_up(kernels->convolve_scratch(&convolution, piece_rows(map, threads)), IMP_ALIGNMENT);
}

/* Of the map between a convolution and its pooling, which direct kernels need; in whole cache lines. */
static size_t whole_floats(const imp_map_convolution *map) {
    const imp_map *whole = map->pool == IMP_POOL_BEHIND ? &map->out : &map->in;

    return map->pool ? imp_round_up(imp_map_floats(whole), IMP_BLOCK) : 0;
}

/* Floats of scratch for so many threads. */
static size_t scratch_of(const imp_context *context, const imp_map_convolution *map, int threads) {
    const imp_winograd *steps = imp_cpu_find_winograd(context, map);

    if (steps) return imp_cpu_winograd_scratch(map, steps, threads);
    return whole_floats(map) +
           (size_t)threads * thread_scratch(map, imp_cpu_kernels(context, map->in.element), threads) / sizeof(float);
}

size_t imp_cpu_convolution_scratch(const imp_context *context, const imp_map_convolution *map, int any_threads) {
    size_t floats = scratch_of(context, map, imp_thread_pool_size(context->pool));

    for (int threads = 1; any_threads && threads <= IMP_MANY_THREADS; threads++) {
        size_t other = scratch_of(context, map, threads);

        if (other > floats) floats = other;
    }
    return floats;
}

static void convolve_piece(void *user, const imp_piece *piece) {
    const convolution_job *job = user;
    const imp_map_convolution *map = job->map;
    void *scratch = job->scratch ? (char *)map->scratch + (size_t)piece->thread * job->scratch : NULL;
    imp_convolution convolution;
    imp_view mask;

    if (map->spread > 1) {
        imp_cpu_convolve_phases(map, job->kernels, scratch, piece);
    } else {
        imp_cpu_view_convolution(map, piece->picture, scratch, &convolution, &mask);
        (imp_convolution_is_depthwise(map) ? job->kernels->convolve_depthwise : job->kernels->convolve)(
            &convolution, piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    }
    if (!map->accumulate) imp_cpu_zero_halo(&map->out, piece);
}

static void zero_halo_piece(void *map, const imp_piece *piece) {
    imp_cpu_zero_halo(map, piece);
}

static const char *convolution_name(const imp_context *context, const imp_map_convolution *map) {
    const imp_winograd *steps = imp_cpu_find_winograd(context, map);

    if (imp_convolution_is_depthwise(map)) return "depthwise";
    return !steps ? "direct" : steps->outputs == 4 ? "winograd 4x4" : "winograd 6x6";
}

/* Rows, so that what they read is gathered once, and blocks for the threads that are left. */
static void cut_gathering(imp_cut *cut, const imp_map_convolution *map, int threads) {
    int pieces;

    cut->rows_each = piece_rows(map, threads);
    pieces = cut->pictures * imp_divide_up(cut->rows, cut->rows_each);
    cut->blocks_each = imp_divide_up(cut->blocks, imp_divide_up(threads, pieces));
}

static void convolve_direct(imp_context *context, const imp_map_convolution *map) {
    convolution_job job = {.kernels = imp_cpu_kernels(context, map->in.element), .map = map};
    int threads = imp_thread_pool_size(context->pool), spread = imp_spread(map);
    imp_cut cut = {
        .work = convolve_piece,
        .job = &job,
        .pictures = map->out.batch,
        .blocks = imp_blocks(map->out.view.channels),
        .rows = map->out.view.height,
    };

    job.scratch = thread_scratch(map, job.kernels, threads);
    if (job.scratch) {
        cut_gathering(&cut, map, threads);
    } else if (cut.rows >= MANY_ROWS * spread * threads) {
        cut.blocks_each = cut.blocks;
        cut.rows_each = CONVOLUTION_ROWS * spread;
        if (map->out.view.channels <= IMP_NARROW_OUTPUTS && cut.rows_each < NARROW_ROWS * (map->kernel - 1))
            cut.rows_each = NARROW_ROWS * (map->kernel - 1);
    } else {
        cut.blocks_each = imp_smaller(job.kernels->convolve_block_step, cut.blocks);
        /* Few blocks would leave threads idle: rows are then cut as well. */
        cut.rows_each = cut.blocks / cut.blocks_each * cut.pictures >= 2 * threads
                            ? cut.rows
                            : imp_divide_up(cut.rows, 2 * threads);
    }
    imp_cut_run(context, &cut);
}

/* By way of the whole map, in scratch. */
static void convolve_beside_pool(imp_context *context, const imp_map_convolution *map) {
    imp_map_convolution direct = *map;
    imp_map *whole = map->pool == IMP_POOL_BEHIND ? &direct.out : &direct.in;

    direct.pool = IMP_POOL_NOWHERE;
    direct.scratch += whole_floats(map);
    imp_map_place(whole, map->scratch);
    if (map->pool == IMP_POOL_BEFORE) pool_backward(context, &map->pooling, whole, 0, NULL);
    convolve_direct(context, &direct);
    if (map->pool == IMP_POOL_BEHIND) pool(context, &map->pooling, whole);
}

void imp_cpu_convolve(imp_context *context, const imp_map_convolution *map) {
    const imp_winograd *steps = imp_cpu_find_winograd(context, map);
    imp_map out = map->pool == IMP_POOL_BEHIND ? map->pooling.windows : map->out;

    if (!steps) {
        (map->pool ? convolve_beside_pool : convolve_direct)(context, map);
        return;
    }
    imp_cpu_winograd(context, map, steps);
    if (!map->accumulate && out.halo > 0) imp_cpu_run_evenly(context, &out, zero_halo_piece, &out);
}

/* ---- Elementwise ------------------------------------------------------------------------------------------------- */

static void relu(imp_context *context, const imp_map *in, const imp_map *out) {
    imp_cpu_blend(context, &(imp_map_blend){.x = in, .out = out, .relu = 1});
}

static void pass(imp_context *context, const imp_map *in, const imp_map *out, int accumulate, const imp_map *mask) {
    imp_cpu_blend(context, &(imp_map_blend){.x = in, .out = out, .accumulate = accumulate, .mask = mask});
}

static void clear_piece(void *user, const imp_piece *piece) {
    const imp_map *map = user;
    size_t bytes = map->view.row * imp_element_bytes(map->element);

    for (int y = piece->row_begin; y < piece->row_end; y++)
        memset(imp_map_pixel(map, piece->picture, piece->block_begin, y, 0), 0, bytes);
}

static void clear(imp_context *context, const imp_map *map) {
    imp_map whole = imp_map_extended(map, map->halo);

    imp_cpu_run_evenly(context, &whole, clear_piece, &whole);
}

typedef struct difference_job {
    const imp_kernels *kernels;
    float weight;
    const imp_map *a, *b, *out, *mask;
    int accumulate;
} difference_job;

static void scaled_difference_piece(void *user, const imp_piece *piece) {
    const difference_job *job = user;
    imp_view a = imp_map_view(job->a, piece->picture), b = imp_map_view(job->b, piece->picture);
    imp_view out = imp_map_view(job->out, piece->picture), mask = {0};

    if (job->mask) mask = imp_map_view(job->mask, piece->picture);
    job->kernels->scaled_difference(job->weight, &a, &b, &out, job->accumulate, job->mask ? &mask : NULL,
                                    piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    if (!job->accumulate) imp_cpu_zero_halo(job->out, piece);
}

static void scaled_difference(imp_context *context, float weight, const imp_map *a, const imp_map *b,
                              const imp_map *out, int accumulate, const imp_map *mask) {
    difference_job job = {
        .kernels = imp_cpu_kernels(context, a->element),
        .weight = weight,
        .a = a,
        .b = b,
        .out = out,
        .mask = mask,
        .accumulate = accumulate,
    };

    imp_cpu_run_evenly(context, out, scaled_difference_piece, &job);
}

/* -------------------------------------------------------------------------------------------------------------- */

const imp_backend imp_backend_cpu = {
    .allocate = allocate,
    .release = release,
    .name = name,
    .missing_weights = missing_weights,
    .weights = get_weights,
    .load_pixels = imp_cpu_load_pixels,
    .store_pixel_gradient = imp_cpu_store_pixel_gradient,
    .read_planes = imp_cpu_read_planes,
    .add_planes = imp_cpu_add_planes,
    .fill_halo = imp_cpu_fill_halo,
    .fold_halo = imp_cpu_fold_halo,
    .convolution_scratch = imp_cpu_convolution_scratch,
    .convolution_name = convolution_name,
    .convolve = imp_cpu_convolve,
    .weight_gradient_scratch = imp_cpu_weight_gradient_scratch,
    .weight_gradient = imp_cpu_weight_gradient,
    .pool = pool,
    .pool_backward = pool_backward,
    .relu = relu,
    .clear = clear,
    .pass = pass,
    .blend = imp_cpu_blend,
    .channel_products = imp_cpu_channel_products,
    .fill_channels = imp_cpu_fill_channels,
    .activate = imp_cpu_activate,
    .activate_backward = imp_cpu_activate_backward,
    .enlarge = imp_cpu_enlarge,
    .enlarge_backward = imp_cpu_enlarge_backward,
    .resize = imp_cpu_resize,
    .resize_backward = imp_cpu_resize_backward,
    .max_pool = imp_cpu_max_pool,
    .max_pool_backward = imp_cpu_max_pool_backward,
    .shuffle = imp_cpu_shuffle,
    .statistics_scratch = imp_cpu_statistics_scratch,
    .statistics = imp_cpu_statistics,
    .statistics_gradient_scratch = imp_cpu_statistics_gradient_scratch,
    .statistics_gradient = imp_cpu_statistics_gradient,
    .squared_difference = imp_cpu_squared_difference,
    .scaled_difference = scaled_difference,
    .read_map = imp_cpu_read_map,
};
