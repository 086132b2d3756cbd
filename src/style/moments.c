/* Second moments of a network's maps. */
#include "style/moments.h"

#include "style/trainee.h"

/* A ReLU, or a pool that some layer reads: VGG's last one asks for more pixels than all that are read. */
static int is_seen(const imp_network *network, int index) {
    if (network->layers[index].kind != IMP_OPERATION_POOL) return network->layers[index].kind == IMP_OPERATION_RELU;
    for (int i = index + 1; i < network->layer_count; i++)
        if (network->layers[i].input == index) return 1;
    return 0;
}

/* Taps on all that is seen, and zeros to add to. */
static int allocate(imp_context *context, const imp_network *network, imp_moments *moments, imp_tap *taps, int *count) {
    moments->layers = network->layer_count;
    moments->of = imp_allocate_zero(context, (size_t)network->layer_count, sizeof *moments->of);
    if (!moments->of) return IMP_ERR_MEMORY;
    for (int i = 0; i < network->layer_count; i++) {
        size_t channels = (size_t)network->layers[i].channels;
        if (!is_seen(network, i)) continue;
        taps[(*count)++] = (imp_tap){i, IMP_TAP_STATISTICS};
        moments->of[i] = imp_allocate_zero(context, channels * channels, sizeof(double));
        if (!moments->of[i]) return IMP_ERR_MEMORY;
    }
    return IMP_OK;
}

/* What a forward pass showed. */
static void add(const imp_plan *plan, const imp_plan_options *options, imp_moments *moments) {
    for (int i = 0; i < options->tap_count * options->batch; i++) {
        imp_statistics statistics = imp_plan_statistics(plan, i / options->batch, i % options->batch);
        double *sum = moments->of[options->taps[i / options->batch].layer];
        size_t values = (size_t)statistics.channels * (size_t)statistics.channels;
        for (size_t k = 0; k < values; k++) sum[k] += (double)statistics.second[k] / statistics.count;
    }
}

int imp_moments_measure(imp_context *context, const imp_network *network, const imp_recipe *recipe, imp_element element,
                        const imp_training_source *source, int count, imp_moments *moments) {
    size_t side = (size_t)recipe->data.crop;
    imp_tap *taps = imp_allocate_zero(context, (size_t)network->layer_count, sizeof *taps);
    float *crops = taps ? imp_allocate_zero(context, (size_t)recipe->batch, 3 * side * side * sizeof *crops) : NULL;
    imp_plan_options options = imp_recipe_plan_options(recipe, element, taps, 0);
    imp_plan *plan = NULL;
    *moments = (imp_moments){0};
    int status = crops ? allocate(context, network, moments, taps, &options.tap_count) : IMP_ERR_MEMORY;
    if (!status) status = imp_plan_create(context, network, &options, &plan);
    for (int first = 0; first < count && !status; first += recipe->batch) {
        status = imp_recipe_take_crops(context, recipe, source, "sample", (uint64_t)first, crops);
        if (status) break;
        imp_plan_forward(plan, crops);
        add(plan, &options, moments);
    }
    imp_plan_free(plan);
    imp_release(context, taps);
    imp_release(context, crops);
    return status;
}

void imp_moments_release(imp_context *context, imp_moments *moments) {
    for (int i = 0; i < moments->layers && moments->of; i++) imp_release(context, moments->of[i]);
    imp_release(context, moments->of);
}
