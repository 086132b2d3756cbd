/* Folding batch norm into convolutions. */
#include "models/fold.h"

#include <math.h>

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

/* w (F - mean) / sqrt(variance + epsilon) + shift, in double: w is multiplied, and the rest is the bias. */
static void fold(imp_parameter *weight, float *bias, const float *values, size_t channels) {
    size_t row = imp_parameter_count(weight) / channels;

    for (size_t c = 0; c < channels; c++) {
        double deviation = sqrt((double)values[VARIANCE * channels + c] + IMP_NORM_EPSILON);
        double factor = values[SCALE * channels + c] / deviation;

        for (size_t i = 0; i < row; i++) weight->data[c * row + i] = (float)(factor * weight->data[c * row + i]);
        bias[c] = (float)(values[SHIFT * channels + c] - factor * values[MEAN * channels + c]);
    }
}

int imp_fold_norm(imp_context *context, imp_model *model, int layer, imp_tensors *tensors, const char *const *keys) {
    const imp_layer *one = &model->network.layers[layer];
    imp_parameter *weight = &model->network.parameters[one->weight], *bias = &model->network.parameters[one->bias];
    size_t channels = (size_t)one->channels;
    float *values = imp_allocate_zero(context, channels, IMP_NORM_TENSORS * sizeof *values);
    int status = values ? imp_model_make_data(context, model, one->bias) : IMP_ERR_MEMORY;

    for (int i = 0; i < IMP_NORM_TENSORS && status == IMP_OK; i++)
        status = read_tensor(context, tensors, keys[i], one->channels, values + (size_t)i * channels);
    for (size_t c = 0; c < channels && status == IMP_OK; c++)
        if (!(values[VARIANCE * channels + c] >= 0))
            status = imp_fail(context, IMP_ERR_FORMAT, "%s has a variance below 0", keys[VARIANCE]);
    if (status == IMP_OK) {
        fold(weight, bias->data, values, channels);
        status = imp_model_check_finite(context, weight, keys[SCALE]);
    }
    if (status == IMP_OK) status = imp_model_check_finite(context, bias, keys[SHIFT]);
    imp_release(context, values);
    return status;
}
