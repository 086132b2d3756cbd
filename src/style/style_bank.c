/* The styles that a network is taught. */
#include "style/style_bank.h"

#include "style/canvas.h"
#include "style/networks.h"
#include "style/trainee.h"

/* The smallest size, as a share of the middle one of all styles at a layer. A style like the photos themselves, as a photo
   is, has a loss near 0, and must not weigh without bound. */
#define LEAST_SIZE 1e-3

static imp_style_target **target_at(const imp_style_bank *bank, int style, int layer) {
    return &bank->targets[style * bank->layer_count + layer];
}

static int add_planes(imp_style_bank *bank, int style, const float *planes, const imp_canvas *canvas) {
    const imp_style_loss *loss = imp_style_loss_at(bank->recipe->losses.style_loss);
    imp_tap taps[IMP_BANK_LAYERS];
    imp_plan *plan;
    for (int i = 0; i < bank->layer_count; i++) taps[i] = (imp_tap){bank->layers[i], IMP_TAP_STATISTICS};
    imp_plan_options options = imp_recipe_plan_options(bank->recipe, bank->element, taps, bank->layer_count);
    options.batch = 1;
    options.width = canvas->width;
    options.height = canvas->height;
    int status = imp_plan_create(bank->context, bank->network, &options, &plan);
    if (!status) imp_plan_forward(plan, planes);
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

/* The painting, with the recipe's longer side, as an evaluation sees it. */
static int add_style(imp_style_bank *bank, const imp_training_source *source, int style) {
    const imp_recipe_style *wanted = &bank->recipe->styles[style];
    imp_image image = {.size = sizeof image};
    float *planes = NULL;
    int least = 1, status = source->picture(source->user, bank->context, wanted->picture, &image);
    if (status < 0) return imp_fail(bank->context, status, "the painting \"%.200s\" cannot be had", wanted->picture);
    for (int i = 0; i < bank->layer_count; i++) {
        int side = imp_layer_least_side(bank->network, bank->layers[i]);
        if (side > least) least = side;
    }
    imp_canvas canvas = imp_canvas_fit(&(imp_canvas){image.width, image.height, 0}, wanted->side, least);
    status = imp_image_to_planes(bank->context, &image, canvas.width, canvas.height, &planes);
    if (!status) status = add_planes(bank, style, planes, &canvas);
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
