/* Gradients by the weights and biases of convolutions: each picture's is made by itself, and they are added in the pictures'
 * order, so that the sum is the same for any number of threads. */
#include <string.h>

#include "base/memory.h"
#include "base/thread.h"
#include "graph/backend_cpu.h"

typedef struct gradient_job {
    const imp_kernels *kernels;
    const imp_map_weight_gradient *map;
    int out_blocks, in_blocks, depthwise;
    int blocks_each; /* output blocks of an item */
    size_t square;   /* of the kernel */
    size_t panel;    /* floats of an output block's part of a picture's gradient */
    size_t picture;  /* floats of a picture's */
    float *dense;    /* [out][in][kernel][kernel], where groups are taken out of it; else NULL */
    float *sums;     /* [batch][channels in whole blocks], for the bias */
} gradient_job;

static size_t bias_floats(const imp_map_weight_gradient *map) {
    return (size_t)map->gradient->batch * (size_t)imp_blocks(map->gradient->view.channels) * IMP_BLOCK;
}

/* Floats of the dense gradient that those of groups are taken out of; 0: there are none. */
static size_t dense_floats(const imp_map_weight_gradient *map, int depthwise) {
    size_t pairs = (size_t)map->gradient->view.channels * (size_t)map->in->view.channels;

    return map->groups > 1 && !depthwise ? pairs * (size_t)map->kernel * (size_t)map->kernel : 0;
}

/* Everything but memory. */
static gradient_job plan_job(const imp_map_weight_gradient *map) {
    gradient_job job = {.map = map,
                        .out_blocks = imp_blocks(map->gradient->view.channels),
                        .in_blocks = imp_blocks(map->in->view.channels),
                        .square = (size_t)map->kernel * (size_t)map->kernel};

    job.depthwise = imp_is_depthwise(map->groups, map->in->view.channels, map->gradient->view.channels);
    job.panel = job.square * IMP_BLOCK * (job.depthwise ? 1 : (size_t)job.in_blocks * IMP_BLOCK);
    job.picture = job.panel * (size_t)job.out_blocks;
    return job;
}

size_t imp_cpu_weight_gradient_scratch(const imp_map_weight_gradient *map) {
    gradient_job job = plan_job(map);
    size_t partials;

    if (!imp_multiply(job.picture, (size_t)map->gradient->batch, &partials) || partials > SIZE_MAX / 8) return SIZE_MAX;
    return partials + dense_floats(map, job.depthwise) + bias_floats(map);
}

static imp_convolution picture_job(const gradient_job *job, int picture) {
    const imp_map_weight_gradient *map = job->map;

    return (imp_convolution){.in = imp_map_view(map->in, picture),
                             .out = imp_map_view(map->gradient, picture),
                             .kernel_height = map->kernel,
                             .kernel_width = map->kernel,
                             .stride = map->stride,
                             .pad_y = map->pad,
                             .pad_x = map->pad,
                             .dilation = map->dilation};
}

/* Output blocks that the kernel goes over at once, since it then reads the input once for all of them; fewer where the threads
   would not all have work. The bits are the same for any number. */
#define MOST_BLOCKS 6
#define ITEMS_PER_THREAD 4

static int blocks_of_item(const imp_context *context, const gradient_job *job) {
    int each = job->map->gradient->batch * job->out_blocks / (ITEMS_PER_THREAD * imp_thread_pool_size(context->pool));

    return each < 1 ? 1 : each < MOST_BLOCKS ? each : MOST_BLOCKS;
}

static int count_items(const gradient_job *job) {
    return (job->out_blocks + job->blocks_each - 1) / job->blocks_each;
}

/* An item is some output blocks of a picture. */
static void make_partials(void *user, int64_t begin, int64_t end, int thread) {
    const gradient_job *job = user;

    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        int picture = (int)(item / count_items(job)), first = (int)(item % count_items(job)) * job->blocks_each;
        int end_block = first + job->blocks_each < job->out_blocks ? first + job->blocks_each : job->out_blocks;
        imp_convolution convolution = picture_job(job, picture);
        float *partial = job->map->scratch + (size_t)picture * job->picture;
        int rows = convolution.out.height;

        if (job->depthwise)
            job->kernels->depthwise_weight_gradient(&convolution, first, end_block, 0, rows, partial);
        else
            job->kernels->weight_gradient(&convolution, first, end_block, 0, job->in_blocks, 0, rows,
                                          partial + (size_t)first * job->panel);
    }
}

/* Adds up an output block's gradients of all pictures. */
static void add_partials(void *user, int64_t begin, int64_t end, int thread) {
    const gradient_job *job = user;
    const imp_map_weight_gradient *map = job->map;
    float *to = job->dense ? job->dense : map->weights;

    (void)thread;
    for (int picture = 0; picture < map->gradient->batch; picture++)
        for (int64_t block = begin; block < end; block++)
            imp_unpack_weight_gradient(map->scratch + (size_t)picture * job->picture + (size_t)block * job->panel,
                                       map->gradient->view.channels, map->in->view.channels, map->kernel, map->kernel,
                                       (int)block, (int)block + 1, 0, job->in_blocks, to);
}

/* Takes the pairs of channels that are in one group out of all pairs. */
static void add_groups(const gradient_job *job) {
    const imp_map_weight_gradient *map = job->map;
    int in = map->in->view.channels, out = map->gradient->view.channels;
    int group_in = in / map->groups, group_out = out / map->groups;
    size_t row = (size_t)group_in * job->square;

    for (int o = 0; o < out; o++) {
        const float *from = job->dense + ((size_t)o * (size_t)in + (size_t)(o / group_out * group_in)) * job->square;

        for (size_t i = 0; i < row; i++) map->weights[(size_t)o * row + i] += from[i];
    }
}

static void add_biases(imp_context *context, const gradient_job *job) {
    const imp_map_weight_gradient *map = job->map;
    size_t stride = (size_t)job->out_blocks * IMP_BLOCK;

    imp_cpu_channel_products(context, map->gradient, NULL, NULL, NULL, job->sums, NULL);
    for (int picture = 0; picture < map->gradient->batch; picture++)
        for (int c = 0; c < map->gradient->view.channels; c++)
            map->bias[c] += job->sums[(size_t)picture * stride + (size_t)c];
}

void imp_cpu_weight_gradient(imp_context *context, const imp_map_weight_gradient *map) {
    gradient_job job = plan_job(map);
    size_t dense = dense_floats(map, job.depthwise), partials = job.picture * (size_t)map->gradient->batch;

    job.kernels = imp_cpu_kernels(context, map->in->element);
    job.sums = map->scratch + partials + dense;
    if (dense) job.dense = map->scratch + partials;
    if (map->bias) add_biases(context, &job);
    if (!map->weights) return;
    job.blocks_each = blocks_of_item(context, &job);
    imp_parallel_dynamic(context, (int64_t)map->gradient->batch * count_items(&job), make_partials, &job);
    if (job.depthwise) {
        for (int i = 0; i < map->gradient->batch; i++)
            imp_unpack_depthwise_gradient(map->scratch + (size_t)i * job.picture, map->gradient->view.channels,
                                          map->kernel, map->kernel, map->weights);
        return;
    }
    if (dense) memset(job.dense, 0, dense * sizeof *job.dense);
    imp_parallel_dynamic(context, job.out_blocks, add_partials, &job);
    if (dense) add_groups(&job);
}
