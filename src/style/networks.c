/* Layers of networks by their names. */
#include "style/networks.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* A list of layers while it is read. */
typedef struct layer_list {
    imp_context *context;
    const imp_weighted_model *models;
    int model_count;
    int index; /* whose layers are wanted */
    const char *what;
    imp_loss_layer *layers;
    int count;
} layer_list;

/* Its layers would help nobody who takes a network that paints for one that sees. */
static int fail_painter(imp_context *context, const imp_model *model) {
    return imp_fail(context, IMP_ERR_ARGUMENT,
                    "%s is a network that paints at once, and losses look at one that sees pictures: paint with "
                    "\"impasto stylize\" (imp_styler), or give another model",
                    model->network.architecture);
}

static int fail_unknown_layer(const layer_list *list, const char *name) {
    const imp_model *model = list->models[list->index].model;
    if (imp_model_style_count(model) > 0) return fail_painter(list->context, model);
    char names[IMP_ERROR_LENGTH] = "";
    size_t used = 0;
    for (int i = 0; imp_model_layer_name(model, i) && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                 imp_model_layer_name(model, i));
    return imp_fail(list->context, IMP_ERR_ARGUMENT, "unknown layer \"%s\" in the %s layers; the network has %s", name,
                    list->what, names);
}

/* A decimal number with a point, whatever the program's locale; 0 when text is none. */
static int read_number(const char *text, double *number) {
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *end;
    if (!c_locale) return 0;
    *number = strtod_l(text, &end, c_locale);
    freelocale(c_locale);
    return end != text && *end == 0;
}

/* Whether any of the models has that layer. */
static int is_known(const layer_list *list, const char *name) {
    for (int i = 0; i < list->model_count; i++)
        if (imp_network_find_tap(&list->models[i].model->network, name) >= 0) return 1;
    return 0;
}

/* One "name" or "name:weight". */
static int add_layer(layer_list *list, char *item) {
    imp_loss_layer layer = {.weight = 1};
    char *colon = strchr(item, ':');
    if (colon) {
        *colon = 0;
        if (!read_number(colon + 1, &layer.weight) || !(layer.weight >= 0 && layer.weight <= IMP_MAX_WEIGHT))
            return imp_fail(list->context, IMP_ERR_ARGUMENT,
                            "the weight \"%s\" of layer %s in the %s layers is not a number from 0 to %g", colon + 1,
                            item, list->what, IMP_MAX_WEIGHT);
    }
    layer.layer = imp_network_find_tap(&list->models[list->index].model->network, item);
    if (layer.layer < 0) return is_known(list, item) ? IMP_OK : fail_unknown_layer(list, item);
    for (int i = 0; i < list->count; i++)
        if (list->layers[i].layer == layer.layer)
            return imp_fail(list->context, IMP_ERR_ARGUMENT, "layer %s stands twice in the %s layers", item,
                            list->what);
    if (list->count == IMP_MAX_LOSS_LAYERS)
        return imp_fail(list->context, IMP_ERR_ARGUMENT, "more than %d %s layers", IMP_MAX_LOSS_LAYERS, list->what);
    list->layers[list->count++] = layer;
    return IMP_OK;
}

static int read_list(layer_list *list, const char *text) {
    char *copy = imp_duplicate(list->context, text);
    if (!copy) return IMP_ERR_MEMORY;
    int status = IMP_OK;
    for (char *item = copy, *next; item && !status; item = next) {
        next = strchr(item, ',');
        if (next) *next++ = 0;
        status = add_layer(list, item);
    }
    imp_release(list->context, copy);
    return status;
}

/* What stands in the options, else what the network wants by itself, else what the preset says. */
static const char *choose(const char *given, const char *own, const char *from_preset) {
    return given ? given : own ? own : from_preset;
}

static void multiply(imp_loss_layer *layers, int count, double factor) {
    for (int i = 0; i < count; i++) layers[i].weight *= factor;
}

static void normalize(imp_loss_layer *layers, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += layers[i].weight;
    for (int i = 0; i < count && sum > 0; i++) layers[i].weight /= sum;
}

int imp_loss_network_resolve(imp_context *context, const imp_weighted_model *models, int count, int index,
                             const imp_painting_options *options, const imp_preset *preset, imp_loss_network *out) {
    const imp_model *model = models[index].model;
    const imp_architecture *own = model->architecture;
    layer_list content = {context, models, count, index, "content", out->content, 0};
    layer_list style = {context, models, count, index, "style", out->style, 0};
    int status = read_list(&content, choose(options->content_layers, own->content_layers, preset->content_layers));
    if (!status) status = read_list(&style, choose(options->style_layers, own->style_layers, preset->style_layers));
    if (status) return status;
    if (content.count + style.count == 0 && imp_model_style_count(model) > 0) return fail_painter(context, model);
    if (content.count + style.count == 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s has none of the content and style layers",
                        model->network.architecture);
    if (preset->normalize_layers) normalize(out->style, style.count);
    multiply(out->content, content.count, models[index].weight);
    multiply(out->style, style.count, models[index].weight);
    out->network = &model->network;
    out->content_count = content.count;
    out->style_count = style.count;
    return IMP_OK;
}

int imp_taps_add(imp_tap *taps, int *count, int layer, unsigned use) {
    int i = 0;
    while (i < *count && taps[i].layer != layer) i++;
    if (i == *count) taps[(*count)++] = (imp_tap){.layer = layer};
    taps[i].use |= use;
    return i;
}

/* What a layer's side is divided by. */
static int divisor_of(const imp_layer *layer) {
    if (layer->kind == IMP_OPERATION_POOL) return 2;
    return layer->kind == IMP_OPERATION_CONVOLUTION || layer->kind == IMP_OPERATION_MAX_POOL ? layer->stride : 1;
}

int imp_layer_least_side(const imp_network *network, int layer) {
    int side = 1;
    for (; layer >= 0; layer = network->layers[layer].input) side *= divisor_of(&network->layers[layer]);
    return side;
}

int imp_loss_network_least_side(const imp_loss_network *network) {
    int least = 1;
    for (int i = 0; i < network->content_count + network->style_count; i++) {
        int is_content = i < network->content_count;
        int side =
            imp_layer_least_side(network->network, is_content ? network->content[i].layer
                                                              : network->style[i - network->content_count].layer);
        if (side > least) least = side;
    }
    return least;
}
