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

/* Bytes of the weights, rounded up so that the bias behind them is aligned. */
static size_t weight_bytes(const imp_network *network, const imp_kernels *kernels, const imp_layer *layer) {
    int in_channels = network->layers[layer->input].channels;
    size_t bytes = kernels ? kernels->packed_bytes(layer->channels, in_channels, layer->kernel, layer->kernel) : 0;

    return imp_round_up(bytes, IMP_ALIGNMENT);
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

static struct imp_packed_weights *make(const imp_network *network, const imp_kernels *kernels, int index,
                                       int transpose) {
    const imp_layer *layer = &network->layers[index];
    size_t bytes = entry_bytes(network, kernels, index, transpose);
    size_t biases = bias_floats(layer, transpose);
    struct imp_packed_weights *entry = imp_allocator_take(&network->allocator, bytes);
    char *weights;
    float *bias;

    if (!entry) return NULL;
    weights = (char *)entry + HEAD_BYTES;
    if (kernels)
        kernels->pack_weights(network->parameters[layer->weight].data, layer->channels,
                              network->layers[layer->input].channels, layer->kernel, layer->kernel, transpose, weights);
    *entry = (struct imp_packed_weights){.kernels = kernels, .layer = index, .transpose = transpose};
    entry->packed.weights = weights;
    if (biases) {
        bias = (float *)(weights + weight_bytes(network, kernels, layer));
        memset(bias, 0, biases * sizeof(float));
        memcpy(bias, network->parameters[layer->bias].data, (size_t)layer->channels * sizeof(float));
        entry->packed.bias = bias;
    }
    return entry;
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

void imp_packed_release(imp_network *network) {
    while (network->packed) {
        struct imp_packed_weights *entry = network->packed;

        network->packed = entry->next;
        imp_allocator_give(&network->allocator, entry);
    }
}
