/* Winograd convolution of whole maps on the CPU: which tiles, how much is worked on at a time, and by whom.
 *
 * Work is counted in units: some tiles of one picture, few enough that what a thread makes of them stays in its
 * second-level cache. There are two ways through a layer:
 *
 *  - few weights, many tiles (the large maps): the weights of all outputs are transformed once, then each unit goes
 *    to one thread, which transforms its input and multiplies it with all weights;
 *  - many weights, few tiles (the deep layers): the input of many units is transformed by all threads together, then
 *    each panel of outputs goes to one thread, which transforms the panel's weights and multiplies all units with them.
 *
 * Transformed weights are 4 to 7 times as large as the weights. They are made on the way, for 2 to 5 % of the time,
 * and never stored: a VGG19 would need 400 to 700 MB more. */
#include "base/memory.h"
#include "base/thread.h"
#include "graph/backend_cpu.h"

/* Output blocks of a panel: two share a pass of the fastest kernels, four read the input half as often. */
#define PANEL_BLOCKS 2
/* Least tiles of a unit, as many passes of the kernel as that takes. More would use the weights of a point, once they
   are in the second-level cache, more often; but then the products no longer stay there until they are transformed. */
#define UNIT_TILES 12
/* Bytes of transformed weights up to which all outputs' are kept: a share of the third-level cache. */
#define WEIGHTS_BYTES ((size_t)10 << 20)
/* Bytes of transformed input that the second way makes at a time. */
#define INPUT_BYTES ((size_t)16 << 20)

/* What transforms cost, in multiplications of the products of matrices; measured on AVX-512 and AVX2. Weights: as much
   as this many tiles more. Input and output: as much as this many more channels on the other side. */
#define WEIGHTS_COST 20.0
#define INPUT_COST 16.0
#define OUTPUT_COST 14.0

/* A narrow convolution: 32 lanes, and the sums of nine places. */
#define NARROW_COST 40.0

/* Pixels of all pictures up to which an int counts tiles and units; what is larger goes the direct way. */
#define MANY_PIXELS (1 << 30)

typedef struct winograd_job {
    const imp_map_convolution *map;
    const imp_winograd *steps;
    int in_blocks, out_blocks, panels;
    int tiles, unit_tiles;    /* of a picture, of a unit */
    int picture_units, units; /* of a picture, of all */
    int units_at_once;        /* whose input is made at a time, [first_unit, last_unit); 0: the first way */
    int first_unit, last_unit;
    size_t panel, input, products; /* bytes of a panel's weights, of a unit's input and products */
    char *weights_at, *input_at, *products_at;
} winograd_job;

/* Multiplications for one picture, the transforms' time included. */
static double winograd_cost(const imp_winograd *steps, const imp_map_convolution *map) {
    double points = (steps->outputs + 2) * (steps->outputs + 2);
    double tiles = (double)imp_winograd_tiles(map->out.view.height, steps->outputs) *
                   imp_winograd_tiles(map->out.view.width, steps->outputs);
    double in = map->in.view.channels, out = imp_blocks(map->out.view.channels) * IMP_BLOCK;

    return points * in * out * (tiles * (1 + INPUT_COST / out + OUTPUT_COST / in) + WEIGHTS_COST);
}

static double direct_cost(const imp_map_convolution *map) {
    double pixels = (double)map->out.view.height * map->out.view.width;

    if (imp_convolution_is_narrow(map->in.view.channels, map->out.view.channels, map->kernel, map->kernel))
        return NARROW_COST * pixels * map->in.view.channels;
    return 9 * pixels * map->in.view.channels * imp_blocks(map->out.view.channels) * IMP_BLOCK;
}

/* Depends on the shape alone, so that the pixels are the same for any number of threads. */
const imp_winograd *imp_cpu_find_winograd(const imp_context *context, const imp_map_convolution *map) {
    const imp_winograd *const *steps = imp_cpu_kernels(context, map->in.element)->winograd, *best = NULL;
    imp_map_convolution whole = *map;
    double lowest, pixels;

    if (map->rows) whole.out.view.height = map->rows;
    lowest = direct_cost(&whole);
    pixels = (double)map->out.batch * whole.out.view.height * map->out.view.width;
    if (map->kernel != 3 || map->stride != 1 || map->spread > 1 || map->dilation > 1 || map->groups > 1 ||
        pixels > MANY_PIXELS)
        return NULL;
    for (; *steps; steps++) {
        double cost = winograd_cost(*steps, &whole);

        if (cost < lowest) lowest = cost, best = *steps;
    }
    return best;
}

/* Of a buffer of factors, in whole cache lines. */
static size_t factor_bytes(const imp_winograd *steps, int blocks, int rows) {
    return imp_round_up(imp_winograd_size(steps, blocks, rows) * steps->factor_bytes, IMP_ALIGNMENT);
}

/* Of what the second way makes at a time, or more: no less for fewer tiles. */
static size_t input_bytes(const winograd_job *job) {
    size_t all = (size_t)job->units * job->input, most = job->input > INPUT_BYTES ? job->input : INPUT_BYTES;

    return all < most ? all : most;
}

/* Everything but the memory; returns the bytes of scratch that it takes, which are no more for fewer rows. */
static size_t lay_out(int threads, const imp_map_convolution *map, const imp_winograd *steps, winograd_job *job) {
    const imp_view *in = &map->in.view, *out = &map->out.view;
    int whole;
    size_t all_weights;

    *job = (winograd_job){
        .map = map,
        .steps = steps,
        .in_blocks = imp_blocks(in->channels),
        .out_blocks = imp_blocks(out->channels),
        .tiles = imp_winograd_tiles(out->height, steps->outputs) * imp_winograd_tiles(out->width, steps->outputs),
    };
    job->panels = imp_divide_up(job->out_blocks, PANEL_BLOCKS);
    job->panel = factor_bytes(steps, imp_smaller(PANEL_BLOCKS, job->out_blocks), imp_winograd_rows(in->channels));
    all_weights = job->panel * (size_t)job->panels;
    job->units_at_once = all_weights > WEIGHTS_BYTES && job->panels >= 2 * threads;
    job->unit_tiles = imp_smaller(imp_divide_up(UNIT_TILES, steps->tiles) * steps->tiles, job->tiles);
    job->picture_units = imp_divide_up(job->tiles, job->unit_tiles);
    job->units = job->picture_units * map->out.batch;
    /* Room for the largest unit: in fewer rows, as in a window, even ones may have more tiles. */
    job->input = factor_bytes(steps, job->in_blocks, job->unit_tiles);
    job->products = imp_winograd_size(steps, PANEL_BLOCKS, job->unit_tiles) * sizeof(float);
    job->unit_tiles = imp_divide_up(job->tiles, job->picture_units); /* as even as can be */
    if (!job->units_at_once) return all_weights + (size_t)threads * (job->input + job->products);
    whole = (int)(INPUT_BYTES / job->input);
    job->units_at_once = imp_smaller(whole < 1 ? 1 : whole, job->units);
    return input_bytes(job) + (size_t)threads * (job->panel + job->products);
}

size_t imp_cpu_winograd_scratch(const imp_map_convolution *map, const imp_winograd *steps, int threads) {
    winograd_job job;

    return (lay_out(threads, map, steps, &job) + sizeof(float) - 1) / sizeof(float);
}

/* A unit as the kernels see it. */
typedef struct winograd_unit {
    imp_convolution convolution;
    imp_view mask;
    imp_pooling pooling;
    int tile_begin, tile_end;
} winograd_unit;

static void find_unit(const winograd_job *job, int index, winograd_unit *unit) {
    int picture = index / job->picture_units, place = index % job->picture_units;

    imp_cpu_view_convolution(job->map, picture, NULL, &unit->convolution, &unit->mask);
    if (job->map->pool) unit->pooling = imp_cpu_view_pooling(&job->map->pooling, picture);
    if (job->map->pool == IMP_POOL_BEHIND) unit->convolution.pool = &unit->pooling;
    if (job->map->pool == IMP_POOL_BEFORE) unit->convolution.unpool = &unit->pooling;
    unit->tile_begin = place * job->unit_tiles;
    unit->tile_end = imp_smaller(unit->tile_begin + job->unit_tiles, job->tiles);
}

static int panel_end(const winograd_job *job, int panel) {
    return imp_smaller((panel + 1) * PANEL_BLOCKS, job->out_blocks);
}

static void multiply_unit(const winograd_job *job, const winograd_unit *unit, int panel, const char *weights,
                          const char *input, float *products) {
    int begin = panel * PANEL_BLOCKS, end = panel_end(job, panel);

    job->steps->multiply(&unit->convolution, begin, end, unit->tile_begin, unit->tile_end, weights, input, products);
    job->steps->transform_output(&unit->convolution, begin, end, unit->tile_begin, unit->tile_end, products);
}

/* ---- Few weights, many tiles ------------------------------------------------------------------------------------- */

static void transform_panels(void *user, int64_t begin, int64_t end, int thread) {
    const winograd_job *job = user;
    winograd_unit unit;

    (void)thread;
    find_unit(job, 0, &unit);
    for (int panel = (int)begin; panel < (int)end; panel++)
        job->steps->transform_weights(&unit.convolution, panel * PANEL_BLOCKS, panel_end(job, panel),
                                      job->weights_at + (size_t)panel * job->panel);
}

static void convolve_units(void *user, int64_t begin, int64_t end, int thread) {
    const winograd_job *job = user;
    char *input = job->input_at + (size_t)thread * job->input;
    float *products = (float *)(job->products_at + (size_t)thread * job->products);

    for (int index = (int)begin; index < (int)end; index++) {
        winograd_unit unit;

        find_unit(job, index, &unit);
        job->steps->transform_input(&unit.convolution, 0, job->in_blocks, unit.tile_begin, unit.tile_end, input);
        for (int panel = 0; panel < job->panels; panel++)
            multiply_unit(job, &unit, panel, job->weights_at + (size_t)panel * job->panel, input, products);
    }
}

/* ---- Many weights, few tiles ------------------------------------------------------------------------------------- */

static void transform_block(void *user, int64_t begin, int64_t end, int thread) {
    const winograd_job *job = user;

    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        int index = job->first_unit + (int)item / job->in_blocks, block = (int)item % job->in_blocks;
        winograd_unit unit;

        find_unit(job, index, &unit);
        job->steps->transform_input(&unit.convolution, block, block + 1, unit.tile_begin, unit.tile_end,
                                    job->input_at + (size_t)(index - job->first_unit) * job->input);
    }
}

static void convolve_panels(void *user, int64_t begin, int64_t end, int thread) {
    const winograd_job *job = user;
    char *weights = job->weights_at + (size_t)thread * job->panel;
    float *products = (float *)(job->products_at + (size_t)thread * job->products);

    for (int panel = (int)begin; panel < (int)end; panel++)
        for (int index = job->first_unit; index < job->last_unit; index++) {
            winograd_unit unit;

            find_unit(job, index, &unit);
            if (index == job->first_unit)
                job->steps->transform_weights(&unit.convolution, panel * PANEL_BLOCKS, panel_end(job, panel), weights);
            multiply_unit(job, &unit, panel, weights, job->input_at + (size_t)(index - job->first_unit) * job->input,
                          products);
        }
}

/* ------------------------------------------------------------------------------------------------------------------ */

void imp_cpu_winograd(imp_context *context, const imp_map_convolution *map, const imp_winograd *steps) {
    winograd_job job;
    size_t threads = (size_t)imp_thread_pool_size(context->pool);

    lay_out((int)threads, map, steps, &job);
    job.products_at = (char *)map->scratch;
    job.weights_at = job.products_at + threads * job.products;
    if (!job.units_at_once) {
        job.input_at = job.weights_at + (size_t)job.panels * job.panel;
        imp_parallel_dynamic(context, job.panels, transform_panels, &job);
        imp_parallel_dynamic(context, job.units, convolve_units, &job);
        return;
    }
    job.input_at = job.weights_at + threads * job.panel;
    for (job.first_unit = 0; job.first_unit < job.units; job.first_unit = job.last_unit) {
        job.last_unit = imp_smaller(job.first_unit + job.units_at_once, job.units);
        imp_parallel_dynamic(context, (int64_t)(job.last_unit - job.first_unit) * job.in_blocks, transform_block, &job);
        imp_parallel_dynamic(context, job.panels, convolve_panels, &job);
    }
}
