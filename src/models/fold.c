/* Folding batch norm into convolutions. */
#include "models/fold.h"

#include <math.h>
#include <string.h>

enum { SCALE, SHIFT, MEAN, VARIANCE };

const char *const imp_norm_suffixes[IMP_NORM_TENSORS] = {
    [SCALE] = ".weight", [SHIFT] = ".bias", [MEAN] = ".running_mean", [VARIANCE] = ".running_var"};

/* A norm's tensor into values [channels]. */
static int read_tensor(imp_context *context, imp_tensors *tensors, const char *key, int channels, float *values) {
    const imp_named_tensor *tensor = imp_tensors_find(tensors, key);

    if (tensor->dimensions != 1 || tensor->shape[0] != channels)
        return imp_fail(context, IMP_ERR_FORMAT, "%s has not one value for each of %d channels", key, channels);
    return imp_tensors_to_f32(context, tensors, tensor, values);
}

/* scale (w F + bias - mean) / sqrt(variance + epsilon) + shift, in double: w is multiplied, and the rest is the bias. */
static void fold(imp_parameter *weight, float *bias, const float *const *values, size_t channels) {
    size_t row = imp_parameter_count(weight) / channels;

    for (size_t c = 0; c < channels; c++) {
        double factor = values[SCALE][c] / sqrt((double)values[VARIANCE][c] + IMP_NORM_EPSILON);

        for (size_t i = 0; i < row; i++) weight->data[c * row + i] = (float)(factor * weight->data[c * row + i]);
        bias[c] = (float)(values[SHIFT][c] + factor * ((double)bias[c] - values[MEAN][c]));
    }
}

int imp_fold_norm(imp_context *context, imp_model *model, int layer, imp_tensors *tensors, const char *const *keys) {
    const imp_layer *one = &model->network.layers[layer];
    imp_parameter *weight = &model->network.parameters[one->weight], *bias = &model->network.parameters[one->bias];
    size_t channels = (size_t)one->channels;
    float *values = imp_allocate_zero(context, channels, IMP_NORM_TENSORS * sizeof *values);
    const float *rows[IMP_NORM_TENSORS];
    int status = values ? imp_model_make_data(context, model, one->bias) : IMP_ERR_MEMORY;

    for (int i = 0; i < IMP_NORM_TENSORS && status == IMP_OK; i++)
        status = read_tensor(context, tensors, keys[i], one->channels, values + (size_t)i * channels);
    for (size_t i = 0; i < IMP_NORM_TENSORS && status == IMP_OK; i++) rows[i] = values + i * channels;
    for (size_t c = 0; c < channels && status == IMP_OK; c++)
        if (!(rows[VARIANCE][c] >= 0) || isinf(rows[VARIANCE][c]))
            status = imp_fail(context, IMP_ERR_FORMAT, "%s has a variance that is none: %g", keys[VARIANCE],
                              (double)rows[VARIANCE][c]);
    if (status == IMP_OK) {
        memset(bias->data, 0, channels * sizeof *values);
        fold(weight, bias->data, rows, channels);
        status = imp_model_check_finite(context, weight, keys[SCALE]);
    }
    if (status == IMP_OK) status = imp_model_check_finite(context, bias, keys[SHIFT]);
    imp_release(context, values);
    return status;
}

/* ---- A model of our own ------------------------------------------------------------------------------------------ */

static const imp_parameter *find_parameter(const imp_network *network, const char *name) {
    for (int i = 0; i < network->parameter_count; i++)
        if (strcmp(network->parameters[i].name, name) == 0) return &network->parameters[i];
    return NULL;
}

/* A convolution's own bias, which one before a norm has not, is 0 where it lacks. */
static int copy_parameters(imp_context *context, const imp_network *from, imp_model *to) {
    int status = IMP_OK;

    for (int i = 0; i < to->network.parameter_count && status == IMP_OK; i++) {
        imp_parameter *one = &to->network.parameters[i];
        const imp_parameter *found = find_parameter(from, one->name);
        size_t bytes = imp_parameter_count(one) * sizeof(float);

        status = imp_model_make_data(context, to, i);
        if (status != IMP_OK) break;
        if (found)
            memcpy(one->data, found->data, bytes);
        else
            memset(one->data, 0, bytes);
    }
    return status;
}

/* The norm into the convolution of that name. */
static void fold_layer(const imp_network *from, const imp_layer *norm, imp_network *to) {
    const imp_parameter *all = from->parameters;
    const float *const values[] = {[SCALE] = all[norm->weight].data,
                                   [SHIFT] = all[norm->bias].data,
                                   [MEAN] = all[norm->mean].data,
                                   [VARIANCE] = all[norm->variance].data};

    for (int i = 0; i < to->layer_count; i++) {
        const imp_layer *layer = &to->layers[i];

        if (layer->kind == IMP_OPERATION_CONVOLUTION && strcmp(layer->name, from->layers[norm->input].name) == 0)
            fold(&to->parameters[layer->weight], to->parameters[layer->bias].data, values, (size_t)layer->channels);
    }
}

int imp_model_fold_norms(imp_context *context, const imp_model *model, imp_model **folded) {
    int norms = imp_architecture_find_option(model->architecture, IMP_OPTION_NORMS), options[IMP_MAX_OPTIONS], status;

    *folded = NULL;
    if (norms < 0 || !model->options[norms]) return IMP_OK;
    memcpy(options, model->options, sizeof options);
    options[norms] = 0;
    status = imp_model_make(context, model->architecture, options, folded);
    if (status != IMP_OK) return status;
    (*folded)->preprocessing = model->preprocessing;
    (*folded)->network.preprocessing = &(*folded)->preprocessing;
    status = imp_model_set_words(context, *folded, model->origin, model->licence);
    if (status == IMP_OK && model->styles) status = imp_model_set_styles(context, *folded, model->styles);
    if (status == IMP_OK) status = copy_parameters(context, &model->network, *folded);
    for (int i = 0; i < model->network.layer_count && status == IMP_OK; i++)
        if (model->network.layers[i].kind == IMP_OPERATION_BATCH_NORM)
            fold_layer(&model->network, &model->network.layers[i], &(*folded)->network);
    if (status == IMP_OK) return IMP_OK;
    imp_model_free(*folded);
    *folded = NULL;
    return status;
}
