/* What a model is, in words and numbers. */
#include <math.h>

#include "models/model.h"

int imp_model_get_info(const imp_model *model, imp_model_info *info) {
    uint64_t count = 0;

    if (!model || !info || info->size < sizeof *info) return IMP_ERR_ARGUMENT;
    for (int i = 0; i < model->network.parameter_count; i++) {
        const imp_parameter *parameter = &model->network.parameters[i];
        uint64_t elements = 1;
        for (int k = 0; k < parameter->dimensions; k++) elements *= (uint64_t)parameter->shape[k];
        count += elements;
    }
    *info = (imp_model_info){
        .size = info->size,
        .architecture = model->network.architecture,
        .preprocessing = model->preprocessing.name,
        .origin = model->origin,
        .licence = model->licence,
        .feature_scale = model->preprocessing.feature_scale,
        .tensor_count = model->network.parameter_count,
        .parameter_count = count,
    };
    return IMP_OK;
}

int imp_model_get_tensor(const imp_model *model, int index, imp_tensor_info *info) {
    const imp_parameter *parameter;
    size_t count = 1;
    double sum = 0;

    if (!model || !info || info->size < sizeof *info) return IMP_ERR_ARGUMENT;
    if (index < 0 || index >= model->network.parameter_count) return IMP_ERR_ARGUMENT;
    parameter = &model->network.parameters[index];
    *info = (imp_tensor_info){
        .size = info->size,
        .name = parameter->name,
        .dtype = parameter->dtype,
        .dimensions = parameter->dimensions,
        .minimum = INFINITY,
        .maximum = -INFINITY,
    };
    for (int i = 0; i < parameter->dimensions; i++) {
        info->shape[i] = parameter->shape[i];
        count *= (size_t)parameter->shape[i];
    }
    for (size_t i = 0; i < count; i++) {
        double value = parameter->data[i];
        sum += value;
        if (value < info->minimum) info->minimum = value;
        if (value > info->maximum) info->maximum = value;
    }
    info->mean = sum / (double)count;
    return IMP_OK;
}

const char *imp_model_layer_name(const imp_model *model, int index) {
    if (!model || index < 0) return NULL;
    for (int i = 0; i < model->network.layer_count; i++) {
        const imp_layer *layer = &model->network.layers[i];
        int seen = layer->kind == IMP_OPERATION_CONVOLUTION || layer->kind == IMP_OPERATION_POOL;
        if (seen && index-- == 0) return layer->name;
    }
    return NULL;
}
