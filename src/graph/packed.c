/* The cache of packed weights in a network: a list that only grows, behind a mutex. */
#include "graph/packed.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

/* One entry; weights and bias lie behind it in the same block of memory. */
struct imp_packed_weights {
    struct imp_packed_weights *next;
    const imp_kernels *kernels;
    int layer, transpose;
    imp_packed packed;
};

/* The entry's head, rounded up so that the weights behind it stay aligned. */
#define HEAD_BYTES ((sizeof(struct imp_packed_weights) + IMP_ALIGNMENT - 1) / IMP_ALIGNMENT * IMP_ALIGNMENT)

/* One lock for all networks: it is held while weights are packed, which happens once for
   each network and kernel table. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct imp_packed_weights *find(const imp_network *network, const imp_kernels *kernels, int layer,
                                       int transpose) {
    struct imp_packed_weights *entry = network->packed;

    while (entry && (entry->kernels != kernels || entry->layer != layer || entry->transpose != transpose))
        entry = entry->next;
    return entry;
}

static int in_channels(const imp_network *network, const imp_layer *layer) {
    return network->layers[layer->input].channels;
}

static int is_depthwise(const imp_network *network, const imp_layer *layer) {
    return imp_is_depthwise(layer->groups, in_channels(network, layer), layer->channels);
}

/* ---- Parts of kernels -------------------------------------------------------------------------------------------- */

int imp_tap_step(int stride, int dilation) {
    int common = dilation, rest = stride;

    while (rest) {
        int next = common % rest;

        common = rest;
        rest = next;
    }
    return stride / common;
}

imp_tap_part imp_tap_part_of(int kernel, int step, int first) {
    return (imp_tap_part){first, first < kernel ? (kernel - 1 - first) / step + 1 : 0};
}

size_t imp_taps_before(int kernel, int step, int y, int x) {
    int rows = 0, columns = 0;

    for (int first = 0; first < y; first++) rows += imp_tap_part_of(kernel, step, first).count;
    for (int first = 0; first < x; first++) columns += imp_tap_part_of(kernel, step, first).count;
    return (size_t)(rows * kernel + imp_tap_part_of(kernel, step, y).count * columns);
}

size_t imp_packed_tap_bytes(const imp_kernels *kernels, int out_channels, int in_channels, int depthwise) {
    if (depthwise) return (size_t)imp_blocks(out_channels) * IMP_BLOCK * sizeof(float);
    return kernels->packed_bytes(out_channels, in_channels, 1, 1);
}

/* ---- Packing ----------------------------------------------------------------------------------------------------- */

/* Bytes of the weights, rounded up so that the bias behind them is aligned. */
static size_t weight_bytes(const imp_network *network, const imp_kernels *kernels, const imp_layer *layer) {
    size_t square = (size_t)layer->kernel * (size_t)layer->kernel, bytes = 0;

    if (kernels)
        bytes = square * imp_packed_tap_bytes(kernels, layer->channels, in_channels(network, layer),
                                              is_depthwise(network, layer));
    return imp_round_up(bytes, IMP_ALIGNMENT);
}

/* Weights of groups among those of all pairs of channels, the others zero: [out][in][k][k]. */
static void spread_groups(const imp_network *network, const imp_layer *layer, float *all) {
    const imp_parameter *weight = &network->parameters[layer->weight];
    int in = in_channels(network, layer), group_in = in / layer->groups, group_out = layer->channels / layer->groups;
    size_t square = (size_t)layer->kernel * (size_t)layer->kernel, row = (size_t)group_in * square;

    memset(all, 0, (size_t)layer->channels * (size_t)in * square * sizeof *all);
    for (int o = 0; o < layer->channels; o++) {
        size_t first = (size_t)o * (size_t)in + (size_t)(o / group_out * group_in);

        memcpy(all + first * square, weight->data + (size_t)o * row, row * sizeof *all);
    }
}

/* What is packed: the weights [channels][in][kernel][kernel], all or of depthwise ones with an in of 1. */
typedef struct packing {
    const imp_kernels *kernels;
    const float *weights;
    int channels, in, kernel, depthwise, transpose;
} packing;

static void pack_kernels(const packing *job, int height, int width, void *packed) {
    if (job->depthwise)
        imp_pack_depthwise(job->weights, job->channels, height, width, job->transpose, packed);
    else
        job->kernels->pack_weights(job->weights, job->channels, job->in, height, width, job->transpose, packed);
}

/* One part of every kernel. */
static void take_part(const packing *job, int step, imp_tap_part rows, imp_tap_part columns, float *part) {
    for (int pair = 0; pair < job->channels * job->in; pair++) {
        const float *from = job->weights + (size_t)pair * (size_t)job->kernel * (size_t)job->kernel;

        for (int y = 0; y < rows.count; y++)
            for (int x = 0; x < columns.count; x++)
                *part++ = from[(rows.first + y * step) * job->kernel + columns.first + x * step];
    }
}

/* 0 when there is no memory for what is packed on the way; here and below. */
static int pack_parts(const packing *job, const imp_allocator *allocator, int step, char *packed) {
    imp_tap_part largest = imp_tap_part_of(job->kernel, step, 0);
    size_t taps = (size_t)largest.count * (size_t)largest.count, pairs = (size_t)job->channels * (size_t)job->in;
    size_t tap_bytes = imp_packed_tap_bytes(job->kernels, job->channels, job->in, job->depthwise);
    float *part = imp_allocator_take(allocator, pairs * taps * sizeof *part);
    packing some = *job;

    if (!part) return 0;
    some.weights = part;
    for (int y = 0; y < step; y++)
        for (int x = 0; x < step; x++) {
            imp_tap_part rows = imp_tap_part_of(job->kernel, step, y), columns = imp_tap_part_of(job->kernel, step, x);

            if (!rows.count || !columns.count) continue;
            take_part(job, step, rows, columns, part);
            pack_kernels(&some, rows.count, columns.count, packed);
            packed += (size_t)(rows.count * columns.count) * tap_bytes;
        }
    imp_allocator_give(allocator, part);
    return 1;
}

static int pack(const imp_network *network, const imp_kernels *kernels, const imp_layer *layer, int transpose,
                void *packed) {
    int step = transpose ? imp_tap_step(layer->stride, imp_layer_dilation(layer)) : 1, packs = 1;
    packing job = {.kernels = kernels,
                   .weights = network->parameters[layer->weight].data,
                   .channels = layer->channels,
                   .in = in_channels(network, layer),
                   .kernel = layer->kernel,
                   .depthwise = is_depthwise(network, layer),
                   .transpose = transpose};
    float *all = NULL;

    if (job.depthwise) {
        job.in = 1;
    } else if (layer->groups > 1) {
        size_t count = (size_t)job.channels * (size_t)job.in * (size_t)job.kernel * (size_t)job.kernel;

        all = imp_allocator_take(&network->allocator, count * sizeof *all);
        if (!all) return 0;
        spread_groups(network, layer, all);
        job.weights = all;
    }
    if (step > 1)
        packs = pack_parts(&job, &network->allocator, step, packed);
    else
        pack_kernels(&job, job.kernel, job.kernel, packed);
    imp_allocator_give(&network->allocator, all);
    return packs;
}

static size_t bias_floats(const imp_layer *layer, int transpose) {
    return transpose || layer->bias < 0 ? 0 : (size_t)imp_blocks(layer->channels) * IMP_BLOCK;
}

static size_t entry_bytes(const imp_network *network, const imp_kernels *kernels, int index, int transpose) {
    const imp_layer *layer = &network->layers[index];

    return HEAD_BYTES + weight_bytes(network, kernels, layer) + bias_floats(layer, transpose) * sizeof(float);
}

size_t imp_packed_missing(const imp_network *network, const imp_kernels *kernels, int layer, int transpose) {
    size_t bytes = 0;

    pthread_mutex_lock(&lock);
    if (!find(network, kernels, layer, transpose)) bytes = entry_bytes(network, kernels, layer, transpose);
    pthread_mutex_unlock(&lock);
    return bytes;
}

/* Fills what lies behind the head; 0 when there is no memory. */
static int fill(const imp_network *network, struct imp_packed_weights *entry) {
    const imp_layer *layer = &network->layers[entry->layer];
    size_t biases = bias_floats(layer, entry->transpose);
    char *weights = (char *)entry + HEAD_BYTES;
    float *bias = (float *)(weights + weight_bytes(network, entry->kernels, layer));

    if (entry->kernels && !pack(network, entry->kernels, layer, entry->transpose, weights)) return 0;
    entry->packed.weights = weights;
    if (!biases) return 1;
    memset(bias, 0, biases * sizeof(float));
    memcpy(bias, network->parameters[layer->bias].data, (size_t)layer->channels * sizeof(float));
    entry->packed.bias = bias;
    return 1;
}

static struct imp_packed_weights *make(const imp_network *network, const imp_kernels *kernels, int index,
                                       int transpose) {
    struct imp_packed_weights *entry =
        imp_allocator_take(&network->allocator, entry_bytes(network, kernels, index, transpose));

    if (!entry) return NULL;
    *entry = (struct imp_packed_weights){.kernels = kernels, .layer = index, .transpose = transpose};
    if (fill(network, entry)) return entry;
    imp_allocator_give(&network->allocator, entry);
    return NULL;
}

int imp_packed_get(imp_context *context, const imp_network *network, const imp_kernels *kernels, int layer,
                   int transpose, imp_packed *packed) {
    struct imp_packed_weights *entry;

    pthread_mutex_lock(&lock);
    entry = find(network, kernels, layer, transpose);
    if (!entry) {
        entry = make(network, kernels, layer, transpose);
        if (entry) {
            /* The list is a cache behind the lock; to its users the network stays constant. */
            imp_network *owner = (imp_network *)(uintptr_t)network;

            entry->next = owner->packed;
            owner->packed = entry;
        }
    }
    pthread_mutex_unlock(&lock);
    if (!entry)
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: packed weights of layer %s need %zu bytes",
                        network->layers[layer].name, entry_bytes(network, kernels, layer, transpose));
    *packed = entry->packed;
    return IMP_OK;
}

int imp_network_refresh(imp_context *context, imp_network *network) {
    for (struct imp_packed_weights *entry = network->packed; entry; entry = entry->next)
        if (!fill(network, entry))
            return imp_fail(context, IMP_ERR_MEMORY, "out of memory: packing the weights of layer %s",
                            network->layers[entry->layer].name);
    return IMP_OK;
}

imp_network imp_packed_apart(const imp_network *network) {
    imp_network copy;

    pthread_mutex_lock(&lock);
    copy = *network;
    pthread_mutex_unlock(&lock);
    copy.packed = NULL;
    return copy;
}

void imp_packed_release(imp_network *network) {
    while (network->packed) {
        struct imp_packed_weights *entry = network->packed;

        network->packed = entry->next;
        imp_allocator_give(&network->allocator, entry);
    }
}
