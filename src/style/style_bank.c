/* The styles that a network is taught. */
#include "style/style_bank.h"

#include "style/image.h"

/* The smallest size, as a share of the middle one of all styles at a layer. A style like the photos themselves, as a photo
   is, has a loss near 0, and must not weigh without bound. */
#define LEAST_SIZE 1e-3

static const char *layer_name_at(const void *user, int index) {
    const imp_network *network = user;
    return index < network->layer_count ? network->layers[index].name : NULL;
}

int imp_recipe_find_layers(imp_context *context, const imp_network *network, const imp_recipe_numbers *names,
                           const char *what, int *layers, double *weights, int most) {
    if (names->count < 1 || names->count > most)
        return imp_fail(context, IMP_ERR_ARGUMENT, "losses: \"%s\" has %d layers; it must have 1 to %d", what,
                        names->count, most);
    for (int i = 0; i < names->count; i++) {
        const char *name = names->items[i].name;
        layers[i] = imp_network_find_tap(network, name);
        weights[i] = names->items[i].value;
        if (layers[i] < 0) {
            const char *nearest = imp_nearest_name(name, layer_name_at, network);
            return imp_fail(context, IMP_ERR_ARGUMENT, "losses: %s has no layer \"%.60s\"%s%s%s", network->architecture,
                            name, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
        }
        for (int k = 0; k < i; k++)
            if (layers[k] == layers[i])
                return imp_fail(context, IMP_ERR_ARGUMENT, "losses: the layer \"%.60s\" is there twice in \"%s\"", name,
                                what);
    }
    return IMP_OK;
}

static imp_style_target **target_at(const imp_style_bank *bank, int style, int layer) {
    return &bank->targets[style * bank->layer_count + layer];
}

/* A plan that takes the statistics of one picture of this size. */
static int make_plan(const imp_style_bank *bank, int width, int height, imp_plan **plan) {
    imp_tap taps[IMP_BANK_LAYERS];
    for (int i = 0; i < bank->layer_count; i++) taps[i] = (imp_tap){bank->layers[i], IMP_TAP_STATISTICS};
    const imp_plan_options options = {.batch = 1,
                                      .height = height,
                                      .width = width,
                                      .taps = taps,
                                      .tap_count = bank->layer_count,
                                      .average_scale = 1,
                                      .first_padding = IMP_PADDING_REPLICATE,
                                      .element = bank->element};
    return imp_plan_create(bank->context, bank->network, &options, plan);
}

static int add_planes(imp_style_bank *bank, int style, const float *planes, int width, int height) {
    const imp_style_loss *loss = imp_style_loss_at(bank->recipe->losses.style_loss);
    imp_plan *plan;
    int status = make_plan(bank, width, height, &plan);
    if (!status) status = imp_plan_forward(plan, planes);
    for (int i = 0; i < bank->layer_count && !status; i++) {
        imp_style_target **target = target_at(bank, style, i);
        imp_statistics statistics = imp_plan_statistics(plan, i, 0);
        status = imp_style_target_create(bank->context, loss, statistics.channels,
                                         bank->network->preprocessing->feature_scale, target);
        if (!status) status = imp_style_target_add(*target, &statistics, 1);
        if (!status) status = imp_style_target_finish(*target);
    }
    imp_plan_free(plan);
    return status;
}

/* The painting, with the recipe's longer side. */
static int add_style(imp_style_bank *bank, const imp_training_source *source, int style) {
    const imp_recipe_style *wanted = &bank->recipe->styles[style];
    imp_image image = {.size = sizeof image};
    int status = source->picture(source->user, bank->context, wanted->picture, &image);
    if (status < 0) return imp_fail(bank->context, status, "the painting \"%.200s\" cannot be had", wanted->picture);
    int longer = image.width > image.height ? image.width : image.height;
    int width = (int)((int64_t)image.width * wanted->side / longer);
    int height = (int)((int64_t)image.height * wanted->side / longer);
    float *planes = NULL;
    status = imp_image_to_planes(bank->context, &image, width < 1 ? 1 : width, height < 1 ? 1 : height, &planes);
    if (!status) status = add_planes(bank, style, planes, width < 1 ? 1 : width, height < 1 ? 1 : height);
    imp_release(bank->context, planes);
    imp_image_release(bank->context, &image);
    return status ? imp_fail_prefix(bank->context, status, "%.200s: ", wanted->picture) : IMP_OK;
}

int imp_style_bank_create(imp_context *context, const imp_network *network, const imp_recipe *recipe,
                          const imp_training_source *source, imp_element element, imp_style_bank *bank) {
    *bank = (imp_style_bank){.context = context, .recipe = recipe, .network = network, .element = element};
    int status = imp_recipe_find_layers(context, network, &recipe->losses.style, "style", bank->layers, bank->weights,
                                        IMP_BANK_LAYERS);
    if (status) return status;
    bank->layer_count = recipe->losses.style.count;
    size_t count = (size_t)recipe->style_count * (size_t)bank->layer_count;
    bank->targets = imp_allocate_zero(context, count, sizeof *bank->targets);
    bank->sizes = bank->targets ? imp_allocate_zero(context, count, sizeof *bank->sizes) : NULL;
    if (!bank->sizes) return IMP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) bank->sizes[i] = 1;
    for (int i = 0; i < recipe->style_count && !status; i++) status = add_style(bank, source, i);
    return status;
}

void imp_style_bank_release(imp_style_bank *bank) {
    if (!bank->context) return;
    for (int i = 0; bank->targets && i < bank->recipe->style_count * bank->layer_count; i++)
        imp_style_target_free(bank->targets[i]);
    imp_release(bank->context, bank->targets);
    imp_release(bank->context, bank->sizes);
    *bank = (imp_style_bank){0};
}

int imp_style_bank_evaluate(imp_style_bank *bank, int style, int layer, const imp_statistics *statistics, double weight,
                            double *value, float *by_second, float *by_sum) {
    double size = (double)bank->sizes[style * bank->layer_count + layer];
    int status =
        imp_style_evaluate(*target_at(bank, style, layer), statistics, weight / size, value, by_second, by_sum);
    *value /= size;
    return status;
}

/* The middle one of a layer's sums over the styles; 0 where they are not finite. */
static double middle_of(const imp_style_bank *bank, const double *sums, int layer) {
    int styles = bank->recipe->style_count, layers = bank->layer_count;
    for (int i = 0; i < styles; i++) {
        double sum = sums[i * layers + layer];
        int before = 0;
        for (int k = 0; k < styles; k++) {
            double other = sums[k * layers + layer];
            before += other < sum || (other == sum && k < i);
        }
        if (before == styles / 2) return sum;
    }
    return 0;
}

void imp_style_bank_set_sizes(imp_style_bank *bank, const double *sums, int count) {
    for (int layer = 0; layer < bank->layer_count; layer++) {
        double least = LEAST_SIZE * middle_of(bank, sums, layer);
        for (int style = 0; style < bank->recipe->style_count; style++) {
            int at = style * bank->layer_count + layer;
            double sum = sums[at] > least ? sums[at] : least;
            bank->sizes[at] = sum > 0 ? (float)(sum / count) : 1; /* of nothing, as of black pictures: as it is */
        }
    }
}
