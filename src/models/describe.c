/* What a model is, in words and numbers. */
#include <math.h>

#include "base/structs.h"
#include "models/model.h"

int imp_model_get_info(const imp_model *model, imp_model_info *info) {
    imp_model_info ours;

    if (!model || imp_struct_check(NULL, info, "model info")) return IMP_ERR_ARGUMENT;
    ours = (imp_model_info){
        .architecture = model->network.architecture,
        .preprocessing = model->preprocessing.name,
        .origin = model->origin,
        .licence = model->licence,
        .feature_scale = model->preprocessing.feature_scale,
        .tensor_count = model->network.parameter_count,
    };
    for (int i = 0; i < model->network.parameter_count; i++)
        ours.parameter_count += imp_parameter_count(&model->network.parameters[i]);
    imp_struct_write(info, &ours, sizeof ours);
    return IMP_OK;
}

int imp_model_get_tensor(const imp_model *model, int index, imp_tensor_info *info) {
    const imp_parameter *parameter;
    imp_tensor_info ours;
    size_t count;
    double sum = 0;

    if (!model || imp_struct_check(NULL, info, "tensor info")) return IMP_ERR_ARGUMENT;
    if (index < 0 || index >= model->network.parameter_count) return IMP_ERR_ARGUMENT;
    parameter = &model->network.parameters[index];
    count = imp_parameter_count(parameter);
    ours = (imp_tensor_info){
        .name = parameter->name,
        .dtype = parameter->dtype,
        .dimensions = parameter->dimensions,
        .minimum = INFINITY,
        .maximum = -INFINITY,
    };
    for (int i = 0; i < parameter->dimensions; i++) ours.shape[i] = parameter->shape[i];
    for (size_t i = 0; i < count; i++) {
        double value = parameter->data[i];
        sum += value;
        if (value < ours.minimum) ours.minimum = value;
        if (value > ours.maximum) ours.maximum = value;
    }
    ours.mean = sum / (double)count;
    imp_struct_write(info, &ours, sizeof ours);
    return IMP_OK;
}

/* Whether losses can look at a layer by its own name: not at a ReLU or sum whose map has another's. */
static int is_seen(const imp_network *network, const imp_layer *layer) {
    if (layer->kind == IMP_OPERATION_RELU) return network->layers[layer->input].kind == IMP_OPERATION_ADD;
    return layer->kind == IMP_OPERATION_CONVOLUTION || layer->kind == IMP_OPERATION_POOL ||
           layer->kind == IMP_OPERATION_MAX_POOL;
}

const char *imp_model_layer_name(const imp_model *model, int index) {
    if (!model || index < 0) return NULL;
    for (int i = 0; i < model->network.layer_count; i++) {
        const imp_layer *layer = &model->network.layers[i];
        if (is_seen(&model->network, layer) && index-- == 0) return layer->name;
    }
    return NULL;
}
