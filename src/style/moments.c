/* Second moments of a network's maps. */
#include "style/moments.h"

static int is_seen(const imp_layer *layer) {
    return layer->kind == IMP_OPERATION_RELU || layer->kind == IMP_OPERATION_POOL;
}

static int take_sample(imp_context *context, const imp_plan_options *how, const imp_training_source *source, int first,
                       float *crops) {
    size_t floats = 3 * (size_t)how->width * (size_t)how->height;
    for (int i = 0; i < how->batch; i++)
        if (source->crop(source->user, "sample", (uint64_t)(first + i), how->width, crops + (size_t)i * floats) < 0)
            return imp_fail(context, IMP_ERR_IO, "there is no crop %d to measure features with", first + i);
    return IMP_OK;
}

/* Taps on all that is seen, and zeros to add to. */
static int allocate(imp_context *context, const imp_network *network, imp_moments *moments, imp_tap *taps, int *count) {
    moments->layers = network->layer_count;
    moments->of = imp_allocate_zero(context, (size_t)network->layer_count, sizeof *moments->of);
    if (!moments->of) return IMP_ERR_MEMORY;
    for (int i = 0; i < network->layer_count; i++) {
        size_t channels = (size_t)network->layers[i].channels;
        if (!is_seen(&network->layers[i])) continue;
        taps[(*count)++] = (imp_tap){i, IMP_TAP_STATISTICS};
        moments->of[i] = imp_allocate_zero(context, channels * channels, sizeof(double));
        if (!moments->of[i]) return IMP_ERR_MEMORY;
    }
    return IMP_OK;
}

static void add(const imp_plan *plan, const imp_tap *taps, int tap, int picture, imp_moments *moments) {
    imp_statistics statistics = imp_plan_statistics(plan, tap, picture);
    double *sum = moments->of[taps[tap].layer];
    size_t values = (size_t)statistics.channels * (size_t)statistics.channels;
    for (size_t k = 0; k < values; k++) sum[k] += (double)statistics.second[k] / statistics.count;
}

static int measure(imp_context *context, const imp_network *network, const imp_plan_options *how,
                   const imp_training_source *source, int count, imp_tap *taps, float *crops, imp_moments *moments) {
    imp_plan_options options = *how;
    imp_plan *plan = NULL;
    options.taps = taps;
    options.tap_count = 0;
    int status = allocate(context, network, moments, taps, &options.tap_count);
    if (!status) status = imp_plan_create(context, network, &options, &plan);
    for (int first = 0; first < count && !status; first += how->batch) {
        status = take_sample(context, how, source, first, crops);
        if (!status) status = imp_plan_forward(plan, crops);
        for (int i = 0; i < options.tap_count * how->batch && !status; i++)
            add(plan, taps, i / how->batch, i % how->batch, moments);
    }
    imp_plan_free(plan);
    return status;
}

int imp_moments_measure(imp_context *context, const imp_network *network, const imp_plan_options *how,
                        const imp_training_source *source, int count, imp_moments *moments) {
    size_t floats = 3 * (size_t)how->width * (size_t)how->height * (size_t)how->batch;
    imp_tap *taps = imp_allocate_zero(context, (size_t)network->layer_count, sizeof *taps);
    float *crops = taps ? imp_allocate_zero(context, floats, sizeof *crops) : NULL;
    *moments = (imp_moments){0};
    int status = crops ? measure(context, network, how, source, count, taps, crops, moments) : IMP_ERR_MEMORY;
    imp_release(context, taps);
    imp_release(context, crops);
    return status;
}

void imp_moments_release(imp_context *context, imp_moments *moments) {
    for (int i = 0; i < moments->layers && moments->of; i++) imp_release(context, moments->of[i]);
    imp_release(context, moments->of);
}
