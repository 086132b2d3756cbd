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

/* Bytes of the weights, rounded up so that the bias behind them is aligned. */
static size_t weight_bytes(const imp_network *network, const imp_kernels *kernels, const imp_layer *layer) {
    size_t square = (size_t)layer->kernel * (size_t)layer->kernel, bytes = 0;

    if (kernels && is_depthwise(network, layer))
        bytes = (size_t)imp_blocks(layer->channels) * square * IMP_BLOCK * sizeof(float);
    else if (kernels)
        bytes = kernels->packed_bytes(layer->channels, in_channels(network, layer), layer->kernel, layer->kernel);
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

/* 0 when there is no memory for what is packed on the way. */
static int pack(const imp_network *network, const imp_kernels *kernels, const imp_layer *layer, int transpose,
                void *packed) {
    const float *weights = network->parameters[layer->weight].data;
    int in = in_channels(network, layer), kernel = layer->kernel;
    float *all = NULL;

    if (is_depthwise(network, layer)) {
        imp_pack_depthwise(weights, layer->channels, kernel, kernel, transpose, packed);
        return 1;
    }
    if (layer->groups > 1) {
        size_t count = (size_t)layer->channels * (size_t)in * (size_t)kernel * (size_t)kernel;

        all = imp_allocator_take(&network->allocator, count * sizeof *all);
        if (!all) return 0;
        spread_groups(network, layer, all);
        weights = all;
    }
    kernels->pack_weights(weights, layer->channels, in, kernel, kernel, transpose, packed);
    imp_allocator_give(&network->allocator, all);
    return 1;
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
