/* Statistics of maps and their gradients on the CPU. Sums are cut into chunks of rows by the map's shape alone and
 * added in a fixed order, so that they are the same bits for any number of threads. */
#include <string.h>

#include "base/memory.h"
#include "graph/backend_cpu.h"

/* Pixels of a chunk: kernels sum so many in float with an error near one rounding; chunks are then added in double. */
#define CHUNK_PIXELS 4096
/* Pieces to cut at least where chunks are few: a fixed number, so that the cut does not depend on the threads. */
#define PIECES 16
/* Chunks of a squared difference, whose parts are on the stack. */
#define PARTS 64

typedef struct statistics_job {
    const imp_kernels *kernels;
    const imp_map *map;
    float *scratch; /* [batch, chunks]: second moments [padded, padded], sums [padded] */
    float *sum, *second;
    int chunks;
    size_t padded; /* channels in whole blocks */
} statistics_job;

static int rows_of_chunk(const imp_map *map) {
    return map->view.width < CHUNK_PIXELS ? CHUNK_PIXELS / map->view.width : 1;
}

static int count_chunks(const imp_map *map) {
    int rows = rows_of_chunk(map);

    return (map->view.height + rows - 1) / rows;
}

static size_t padded_channels(int channels) {
    return (size_t)imp_blocks(channels) * IMP_BLOCK;
}

size_t imp_cpu_statistics_scratch(const imp_map *map) {
    size_t padded = padded_channels(map->view.channels), floats;

    if (!imp_multiply(padded, padded + 1, &floats) || !imp_multiply(floats, (size_t)count_chunks(map), &floats) ||
        !imp_multiply(floats, (size_t)map->batch, &floats))
        return 0;
    return floats;
}

static float *partial(const statistics_job *job, int picture, int chunk) {
    size_t index = (size_t)picture * (size_t)job->chunks + (size_t)chunk;

    return job->scratch + index * job->padded * (job->padded + 1);
}

static void sum_piece(void *user, const imp_piece *piece) {
    const statistics_job *job = user;
    imp_view view = imp_map_view(job->map, piece->picture);
    float *second = partial(job, piece->picture, piece->row_group);

    job->kernels->second_moments(&view, piece->block_begin, piece->block_end, piece->row_begin, piece->row_end, second,
                                 job->padded);
    job->kernels->channel_products(&view, NULL, NULL, NULL, piece->block_begin, piece->block_end, piece->row_begin,
                                   piece->row_end, second + job->padded * job->padded, NULL);
}

/* Adds the chunks of the tile of 16 x 16 second moments at (row, column), and writes it and its mirror image. */
static void add_tile(const statistics_job *job, int picture, size_t row, size_t column) {
    size_t channels = (size_t)job->map->view.channels;
    float *second = job->second + (size_t)picture * channels * channels;
    double tile[IMP_BLOCK][IMP_BLOCK] = {{0}};

    for (int chunk = 0; chunk < job->chunks; chunk++) {
        const float *from = partial(job, picture, chunk) + row * job->padded + column;

        for (size_t i = 0; i < IMP_BLOCK; i++)
            for (size_t j = 0; j < IMP_BLOCK; j++) tile[i][j] += (double)from[i * job->padded + j];
    }
    for (size_t i = row; i < row + IMP_BLOCK && i < channels; i++)
        for (size_t j = column; j < column + IMP_BLOCK && j <= i; j++) {
            float value = (float)tile[i - row][j - column];

            second[i * channels + j] = value;
            second[j * channels + i] = value;
        }
}

static void add_piece(void *user, const imp_piece *piece) {
    const statistics_job *job = user;
    size_t channels = (size_t)job->map->view.channels, row = (size_t)piece->block_begin * IMP_BLOCK;
    float *sum = job->sum + (size_t)piece->picture * channels;

    for (size_t column = 0; column <= row; column += IMP_BLOCK) add_tile(job, piece->picture, row, column);
    for (size_t i = row; i < row + IMP_BLOCK && i < channels; i++) {
        double total = 0;

        for (int chunk = 0; chunk < job->chunks; chunk++)
            total += (double)partial(job, piece->picture, chunk)[job->padded * job->padded + i];
        sum[i] = (float)total;
    }
}

void imp_cpu_statistics(imp_context *context, const imp_map *map, float *scratch, float *sum, float *second) {
    statistics_job job = {
        .kernels = imp_cpu_kernels(context, map->element),
        .map = map,
        .scratch = scratch,
        .sum = sum,
        .second = second,
        .chunks = count_chunks(map),
        .padded = padded_channels(map->view.channels),
    };
    int blocks = imp_blocks(map->view.channels);
    int64_t each = (int64_t)map->batch * job.chunks * blocks / PIECES;
    imp_cut cut = {
        .work = sum_piece,
        .job = &job,
        .pictures = map->batch,
        .blocks = blocks,
        .blocks_each = each < 1        ? 1
                       : each < blocks ? (int)each
                                       : blocks,
        .rows = map->view.height,
        .rows_each = rows_of_chunk(map),
    };

    imp_cut_run(context, &cut);
    cut.work = add_piece;
    cut.blocks_each = 1;
    cut.rows = cut.rows_each = 1;
    imp_cut_run(context, &cut);
}

/* ---- The gradient by statistics, as a convolution with a 1x1 kernel ---------------------------------------------- */

static size_t packed_floats(const imp_kernels *kernels, int channels) {
    return imp_round_up(kernels->packed_bytes(channels, channels, 1, 1), IMP_ALIGNMENT) / sizeof(float);
}

/* Of the weights, and the bias behind them. */
static size_t weight_floats(const imp_kernels *kernels, int channels) {
    return packed_floats(kernels, channels) + padded_channels(channels);
}

/* The convolution, which has the scratch behind its weights. */
static imp_map_convolution gradient_job(const imp_kernels *kernels, const imp_map *map, float *scratch) {
    return (imp_map_convolution){
        .in = *map,
        .out = *map,
        .weights.packed = scratch,
        .kernel = 1,
        .stride = 1,
        .scratch = scratch ? scratch + weight_floats(kernels, map->view.channels) : NULL,
    };
}

size_t imp_cpu_statistics_gradient_scratch(const imp_context *context, const imp_map *map, int any_threads) {
    const imp_kernels *kernels = imp_cpu_kernels(context, map->element);
    imp_map_convolution job = gradient_job(kernels, map, NULL);

    return weight_floats(kernels, map->view.channels) + imp_cpu_convolution_scratch(context, &job, any_threads);
}

void imp_cpu_statistics_gradient(imp_context *context, const imp_map *map, const float *by_second, const float *by_sum,
                                 float *scratch, const imp_map *gradient, int accumulate, const imp_map *mask) {
    const imp_kernels *kernels = imp_cpu_kernels(context, map->element);
    int channels = map->view.channels;
    size_t weights = packed_floats(kernels, channels);
    imp_map_convolution job = gradient_job(kernels, map, scratch);

    job.out = *gradient;
    job.accumulate = accumulate;
    job.mask = mask;
    /* by_second is symmetric: packed as its own transpose it is read along its rows. */
    if (by_second)
        kernels->pack_weights(by_second, channels, channels, 1, 1, 1, scratch);
    else
        memset(scratch, 0, weights * sizeof(float));
    if (by_sum) {
        memset(scratch + weights, 0, padded_channels(channels) * sizeof(float));
        memcpy(scratch + weights, by_sum, (size_t)channels * sizeof(float));
        job.weights.bias = scratch + weights;
    }
    imp_cpu_convolve(context, &job);
}

/* ---- Map losses -------------------------------------------------------------------------------------------------- */

typedef struct difference_job {
    const imp_kernels *kernels;
    const imp_map *a, *b;
    double parts[PARTS];
} difference_job;

static void difference_piece(void *user, const imp_piece *piece) {
    difference_job *job = user;
    imp_view a = imp_map_view(job->a, 0), b = imp_map_view(job->b, 0);

    job->parts[piece->row_group] = job->kernels->squared_difference(&a, &b, piece->block_begin, piece->block_end,
                                                                    piece->row_begin, piece->row_end);
}

double imp_cpu_squared_difference(imp_context *context, const imp_map *a, const imp_map *b) {
    difference_job job = {.kernels = imp_cpu_kernels(context, a->element), .a = a, .b = b};
    imp_cut cut = {
        .work = difference_piece,
        .job = &job,
        .pictures = 1,
        .blocks = imp_blocks(a->view.channels),
        .blocks_each = imp_blocks(a->view.channels),
        .rows = a->view.height,
        .rows_each = (a->view.height + PARTS - 1) / PARTS,
    };
    double total = 0;

    imp_cut_run(context, &cut);
    for (int i = 0; i < PARTS; i++) total += job.parts[i];
    return total;
}
