/* The networks that are known, and random weights to begin a training with. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "models/mobilenet.h"
#include "models/model.h"
#include "models/resnet.h"
#include "models/stylers.h"
#include "models/thin.h"
#include "models/vgg.h"

static int build_vgg16(imp_context *context, const int *options, imp_network *network) {
    (void)options;
    return imp_vgg_build(context, &imp_vgg16, network);
}

static int build_vgg19(imp_context *context, const int *options, imp_network *network) {
    (void)options;
    return imp_vgg_build(context, &imp_vgg19, network);
}

static int build_resnet18(imp_context *context, const int *options, imp_network *network) {
    (void)options;
    return imp_resnet_build(context, &imp_resnet18, network);
}

static int build_resnet50(imp_context *context, const int *options, imp_network *network) {
    (void)options;
    return imp_resnet_build(context, &imp_resnet50, network);
}

const imp_architecture imp_architectures[] = {
    {.name = "vgg16", .imported = 1, .preprocessing = "caffe", .build = build_vgg16},
    {.name = "vgg19", .imported = 1, .preprocessing = "caffe", .build = build_vgg19},
    /* Of the ResNets the layers of Wang et al., CVPR 2021 (arXiv 2103.16841), and the stem, which has the colours. */
    {.name = "resnet18",
     .imported = 1,
     .normed = 1,
     .preprocessing = "torchvision",
     .content_layers = "layer3.1",
     .style_layers = "conv1,layer1.1,layer2.1,layer3.1,layer4.1",
     .build = build_resnet18},
    {.name = "resnet50",
     .imported = 1,
     .normed = 1,
     .preprocessing = "torchvision",
     .content_layers = "layer3.5",
     .style_layers = "conv1,layer1.2,layer2.3,layer3.5,layer4.2",
     .build = build_resnet50},
    {.name = "thin", .preprocessing = "caffe", .options = imp_thin_options, .build = imp_thin_build},
    {.name = "mobilenetv3", .preprocessing = "caffe", .options = imp_mobilenet_options, .build = imp_mobilenet_build},
    {.name = "fine",
     .preprocessing = "signed",
     .options = imp_fine_options,
     .build = imp_fine_build,
     .begin = imp_fine_begin},
    {.name = NULL},
};

const imp_architecture *imp_architecture_find(const imp_architecture *known, const char *name) {
    for (; known->name; known++)
        if (strcmp(known->name, name) == 0) return known;
    return NULL;
}

int imp_architecture_option_count(const imp_architecture *architecture) {
    int count = 0;

    while (architecture->options && architecture->options[count].name) count++;
    return count;
}

int imp_architecture_find_option(const imp_architecture *architecture, const char *name) {
    for (int i = 0; i < imp_architecture_option_count(architecture); i++)
        if (strcmp(architecture->options[i].name, name) == 0) return i;
    return -1;
}

/* Normal, of a variance that keeps that of values through a ReLU (He et al., arXiv 1502.01852). */
static void fill_weights(const imp_parameter *parameter, imp_random *random) {
    size_t count = imp_parameter_count(parameter), inputs = count / (size_t)parameter->shape[0];
    double deviation = sqrt(2 / (double)inputs);

    for (size_t i = 0; i < count; i++) parameter->data[i] = (float)(deviation * imp_random_normal(random));
}

static void fill_all(const imp_parameter *parameter, float value) {
    size_t count = imp_parameter_count(parameter);

    for (size_t i = 0; i < count; i++) parameter->data[i] = value;
}

int imp_model_initialize(imp_context *context, imp_model *model, uint64_t seed) {
    imp_network *network = &model->network;
    imp_random random;
    int status = IMP_OK;

    imp_random_seed(&random, seed);
    for (int i = 0; i < network->parameter_count && status == IMP_OK; i++) {
        status = imp_model_make_data(context, model, i);
        if (status == IMP_OK) fill_all(&network->parameters[i], 0); /* biases and shifts */
    }
    for (int i = 0; i < network->layer_count && status == IMP_OK; i++) {
        const imp_layer *layer = &network->layers[i];

        if (layer->kind == IMP_OPERATION_CONVOLUTION) fill_weights(&network->parameters[layer->weight], &random);
        if (layer->kind == IMP_OPERATION_INSTANCE_NORM || layer->kind == IMP_OPERATION_BATCH_NORM)
            fill_all(&network->parameters[layer->weight], 1);
        if (layer->kind == IMP_OPERATION_BATCH_NORM) fill_all(&network->parameters[layer->variance], 1);
    }
    if (status == IMP_OK && model->architecture->begin) model->architecture->begin(network);
    return status;
}
