/* How alike the textures of two pictures are: the Pearson correlation of their Gram matrices, layer by layer
 * and in the mean.
 *
 * usage: similarity MODEL.safetensors PAINTED STYLE SIDE
 * Both pictures are read at a longer side of SIDE pixels. Prints one JSON line: {"conv1_1": 0.98, ..., "mean": 0.9}. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "impasto_picture.h"

#include "base/memory.h"
#include "graph/plan.h"
#include "models/model.h"
#include "style/image.h"

static const char *const layers[] = {"conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"};
enum { LAYERS = sizeof layers / sizeof layers[0] };

static imp_context *context;

static void require(int status) {
    if (!status) return;
    fprintf(stderr, "similarity: %s\n", context ? imp_error(context) : imp_status_string(status));
    exit(1);
}

/* A plan over the picture in path after its forward pass. */
static imp_plan *plan_of(const imp_model *model, const char *path, int side) {
    imp_image image = {.size = sizeof image};
    imp_tap taps[LAYERS];
    imp_plan *plan;
    float *planes;
    require(imp_picture_read(context, path, &image));
    double factor = (double)side / (image.width > image.height ? image.width : image.height);
    int width = (int)fmax(16, round(image.width * factor)), height = (int)fmax(16, round(image.height * factor));
    require(imp_image_to_planes(context, &image, width, height, &planes));
    imp_image_release(context, &image);
    for (int i = 0; i < LAYERS; i++)
        taps[i] = (imp_tap){imp_network_find_tap(&model->network, layers[i]), IMP_TAP_STATISTICS};
    imp_plan_options options = {.batch = 1,
                                .height = height,
                                .width = width,
                                .taps = taps,
                                .tap_count = LAYERS,
                                .pooling = IMP_POOL_MAX,
                                .average_scale = 1,
                                .first_padding = IMP_PADDING_REPLICATE};
    require(imp_plan_create(context, &model->network, &options, &plan));
    imp_plan_forward(plan, planes);
    imp_release(context, planes);
    return plan;
}

static double correlation(imp_statistics a, imp_statistics b) {
    double n = (double)a.channels * a.channels, sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (int i = 0; i < a.channels * a.channels; i++) {
        double x = a.second[i] / a.count, y = b.second[i] / b.count;
        sa += x, sb += y, saa += x * x, sbb += y * y, sab += x * y;
    }
    return (sab - sa * sb / n) / sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
}

int main(int count, char **arguments) {
    imp_model *model;
    double sum = 0;
    if (count != 5) {
        fprintf(stderr, "usage: similarity MODEL.safetensors PAINTED STYLE SIDE\n");
        return 2;
    }
    require(imp_context_create(NULL, &context));
    require(imp_model_open(context, arguments[1], &model));
    int side = atoi(arguments[4]);
    imp_plan *painted = plan_of(model, arguments[2], side), *style = plan_of(model, arguments[3], side);
    printf("{");
    for (int i = 0; i < LAYERS; i++) {
        double value = correlation(imp_plan_statistics(painted, i, 0), imp_plan_statistics(style, i, 0));
        printf("\"%s\": %.4f, ", layers[i], value);
        sum += value / LAYERS;
    }
    printf("\"mean\": %.4f}\n", sum);
    imp_plan_free(painted);
    imp_plan_free(style);
    imp_model_free(model);
    imp_context_free(context);
    return 0;
}
