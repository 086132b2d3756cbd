/* The plain double-precision engine and the random networks of the tests. */
#include "gradients/naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *naive_allocate(size_t count, size_t bytes) {
    void *memory = calloc(count ? count : 1, bytes);

    if (memory) return memory;
    fprintf(stderr, "no memory for the test's own data\n");
    abort();
}

/* ---- Networks ---------------------------------------------------------------------------------------------------- */

static void *take(const imp_network *network, size_t bytes) {
    void *memory = imp_allocator_take(&network->allocator, bytes);

    if (!memory) abort();
    return memory;
}

static int add_parameter(imp_network *network, int dimensions, const int64_t *shape, double deviation,
                         imp_random *random) {
    imp_parameter *parameter = &network->parameters[network->parameter_count];
    size_t count = 1;

    *parameter = (imp_parameter){.dtype = "F32", .dimensions = dimensions};
    for (int i = 0; i < dimensions; i++) count *= (size_t)(parameter->shape[i] = shape[i]);
    parameter->name = take(network, IMP_NAME_LENGTH);
    snprintf(parameter->name, IMP_NAME_LENGTH, "parameter%d", network->parameter_count);
    parameter->data = take(network, count * sizeof(float));
    for (size_t i = 0; i < count; i++) parameter->data[i] = (float)(deviation * imp_random_normal(random));
    return network->parameter_count++;
}

void naive_network_make(imp_context *context, imp_network *network, const naive_layer *layers, int count,
                        uint64_t seed) {
    imp_random random;

    imp_random_seed(&random, seed);
    *network = (imp_network){.allocator = imp_context_allocator(context), .architecture = "test"};
    network->preprocessing = imp_preprocessing_find("torchvision");
    network->layers = take(network, (size_t)(count + 1) * sizeof *network->layers);
    network->parameters = take(network, 2 * (size_t)(count + 1) * sizeof *network->parameters);
    network->layers[0] =
        (imp_layer){.kind = IMP_OPERATION_INPUT, .name = "input", .input = -1, .channels = 3, .weight = -1, .bias = -1};
    for (int i = 1; i <= count; i++) {
        const naive_layer *from = &layers[i - 1];
        imp_layer *to = &network->layers[i];
        int in_channels = network->layers[from->input].channels;

        *to = (imp_layer){.kind = from->kind, .input = from->input, .channels = in_channels, .weight = -1, .bias = -1};
        if (from->name)
            snprintf(to->name, sizeof to->name, "%s", from->name);
        else
            snprintf(to->name, sizeof to->name, "layer%d", i);
        if (from->kind == IMP_OPERATION_CONVOLUTION) {
            const int64_t shape[] = {from->channels, in_channels, from->kernel, from->kernel};
            double inputs = (double)in_channels * from->kernel * from->kernel;

            to->channels = from->channels;
            to->kernel = from->kernel;
            to->stride = 1;
            to->padding = from->padding;
            to->weight = add_parameter(network, 4, shape, sqrt(2.0 / inputs), &random);
            to->bias = add_parameter(network, 1, shape, 0.1, &random);
        }
    }
    network->layer_count = count + 1;
}

int naive_vgg19(naive_layer layers[64], int divisor) {
    static const int convolutions[] = {2, 2, 4, 4, 1}, channels[] = {64, 128, 256, 512, 512};
    static char names[64][IMP_NAME_LENGTH];
    int count = 0;

    for (int block = 0; block < 5; block++) {
        for (int i = 0; i < convolutions[block]; i++) {
            snprintf(names[count], sizeof names[count], "conv%d_%d", block + 1, i + 1);
            layers[count] =
                (naive_layer){IMP_OPERATION_CONVOLUTION, count, channels[block] / divisor, 3, 1, names[count]};
            count++;
            snprintf(names[count], sizeof names[count], "relu%d_%d", block + 1, i + 1);
            layers[count] = (naive_layer){.kind = IMP_OPERATION_RELU, .input = count, .name = names[count]};
            count++;
        }
        if (block == 4) break;
        snprintf(names[count], sizeof names[count], "pool%d", block + 1);
        layers[count] = (naive_layer){.kind = IMP_OPERATION_POOL, .input = count, .name = names[count]};
        count++;
    }
    return count;
}

/* ---- Shapes ------------------------------------------------------------------------------------------------------ */

void naive_start(naive_run *run, const imp_network *network, const imp_plan_options *options) {
    *run = (naive_run){.network = network, .options = options};
    run->maps = naive_allocate((size_t)network->layer_count, sizeof *run->maps);
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];
        naive_map *map = &run->maps[i];

        *map = i ? run->maps[layer->input] : (naive_map){3, options->height, options->width, 0, NULL, NULL};
        map->channels = layer->channels;
        if (layer->kind == IMP_OPERATION_CONVOLUTION) {
            map->height += 2 * layer->padding - layer->kernel + 1;
            map->width += 2 * layer->padding - layer->kernel + 1;
        } else if (layer->kind == IMP_OPERATION_POOL) {
            map->height /= 2;
            map->width /= 2;
        }
        map->floats = (size_t)map->channels * (size_t)map->height * (size_t)map->width;
        map->value = naive_allocate((size_t)options->batch * map->floats, sizeof(double));
        map->gradient = naive_allocate((size_t)options->batch * map->floats, sizeof(double));
    }
}

void naive_end(naive_run *run) {
    for (int i = 0; i < run->network->layer_count; i++) {
        free(run->maps[i].value);
        free(run->maps[i].gradient);
    }
    free(run->maps);
}

/* ---- Operations -------------------------------------------------------------------------------------------------- */

/* Where a pixel outside of the map is read: -1 nowhere, or the nearest edge. */
static long place(const naive_map *map, int y, int x, int replicate) {
    if (replicate) {
        y = y < 0 ? 0 : y >= map->height ? map->height - 1 : y;
        x = x < 0 ? 0 : x >= map->width ? map->width - 1 : x;
    }
    return y < 0 || x < 0 || y >= map->height || x >= map->width ? -1 : (long)y * map->width + x;
}

/* One output pixel's channel o: its value, or with gradient given the spread of it to the inputs. */
static double convolve_at(const naive_run *run, int index, int o, int y, int x, const double *in, double *in_gradient,
                          double gradient) {
    const imp_layer *layer = &run->network->layers[index];
    const naive_map *map = &run->maps[layer->input];
    int replicate = layer->input == 0 && run->options->first_padding == IMP_PADDING_REPLICATE;
    const float *weights = run->network->parameters[layer->weight].data;
    double sum = (double)run->network->parameters[layer->bias].data[o];
    size_t kernel = (size_t)layer->kernel, plane = (size_t)map->height * (size_t)map->width;

    weights += (size_t)o * (size_t)map->channels * kernel * kernel;
    for (size_t ky = 0; ky < kernel; ky++)
        for (size_t kx = 0; kx < kernel; kx++) {
            long at = place(map, y + (int)ky - layer->padding, x + (int)kx - layer->padding, replicate);

            for (size_t i = 0; at >= 0 && i < (size_t)map->channels; i++) {
                double weight = (double)weights[(i * kernel + ky) * kernel + kx];

                if (in_gradient)
                    in_gradient[i * plane + (size_t)at] += weight * gradient;
                else
                    sum += weight * in[i * plane + (size_t)at];
            }
        }
    return sum;
}

/* The same for pooling. */
static double pool_at(const naive_run *run, int index, int c, int y, int x, const double *in, double *in_gradient,
                      double gradient) {
    const naive_map *map = &run->maps[run->network->layers[index].input];
    size_t first = ((size_t)c * (size_t)map->height + 2 * (size_t)y) * (size_t)map->width + 2 * (size_t)x;
    size_t window[] = {first, first + 1, first + (size_t)map->width, first + (size_t)map->width + 1};
    double scale = (double)run->options->average_scale / 4, sum = 0;
    size_t greatest = first;

    for (int i = 0; i < 4; i++) {
        if (in[window[i]] > in[greatest]) greatest = window[i];
        sum += in[window[i]] * scale;
        if (in_gradient && run->options->pooling == IMP_POOL_AVERAGE) in_gradient[window[i]] += gradient * scale;
    }
    if (in_gradient && run->options->pooling == IMP_POOL_MAX) in_gradient[greatest] += gradient;
    return run->options->pooling == IMP_POOL_MAX ? in[greatest] : sum;
}

static double relu_at(const naive_run *run, int index, int c, int y, int x, const double *in, double *in_gradient,
                      double gradient) {
    const naive_map *map = &run->maps[index];
    size_t at = ((size_t)c * (size_t)map->height + (size_t)y) * (size_t)map->width + (size_t)x;

    if (in_gradient && in[at] > 0) in_gradient[at] += gradient;
    return in[at] > 0 ? in[at] : 0;
}

/* Runs a layer over all its output values, one picture: forward, or backward into the input's gradient. */
static void run_layer(naive_run *run, int index, int picture, int backward) {
    static double (*const at[])(const naive_run *, int, int, int, int, const double *, double *, double) = {
        [IMP_OPERATION_CONVOLUTION] = convolve_at,
        [IMP_OPERATION_RELU] = relu_at,
        [IMP_OPERATION_POOL] = pool_at,
    };
    const imp_layer *layer = &run->network->layers[index];
    naive_map *out = &run->maps[index], *from = &run->maps[layer->input];
    const double *in = from->value + (size_t)picture * from->floats;
    double *in_gradient = backward ? from->gradient + (size_t)picture * from->floats : NULL;
    size_t i = (size_t)picture * out->floats;

    for (int c = 0; c < out->channels; c++)
        for (int y = 0; y < out->height; y++)
            for (int x = 0; x < out->width; x++, i++) {
                double value = at[layer->kind](run, index, c, y, x, in, in_gradient, out->gradient[i]);

                if (!backward) out->value[i] = value;
            }
}

void naive_forward(naive_run *run, const double *pixels) {
    const imp_preprocessing *how = run->network->preprocessing;
    size_t plane = (size_t)run->options->height * (size_t)run->options->width;

    for (size_t i = 0; i < (size_t)run->options->batch * 3; i++) {
        const double *from = pixels + (i - i % 3 + (size_t)how->order[i % 3]) * plane;

        for (size_t j = 0; j < plane; j++)
            run->maps[0].value[i * plane + j] = (from[j] - (double)how->mean[i % 3]) * (double)how->scale[i % 3];
    }
    for (int i = 1; i < run->network->layer_count; i++)
        for (int picture = 0; picture < run->options->batch; picture++) run_layer(run, i, picture, 0);
}

void naive_backward(naive_run *run, double *pixel_gradient) {
    const imp_preprocessing *how = run->network->preprocessing;
    size_t plane = (size_t)run->options->height * (size_t)run->options->width;

    for (int i = run->network->layer_count - 1; i > 0; i--)
        for (int picture = 0; picture < run->options->batch; picture++) run_layer(run, i, picture, 1);
    for (size_t i = 0; i < (size_t)run->options->batch * 3; i++)
        for (size_t j = 0; j < plane; j++)
            pixel_gradient[(i - i % 3 + (size_t)how->order[i % 3]) * plane + j] =
                run->maps[0].gradient[i * plane + j] * (double)how->scale[i % 3];
}

/* ---- The loss ---------------------------------------------------------------------------------------------------- */

/* The loss of one tap's map of one picture; with gradient given, that too. */
static double term_loss(const naive_map *map, const double *value, const naive_term *term, double *gradient) {
    size_t plane = (size_t)map->height * (size_t)map->width, channels = (size_t)map->channels;
    double loss = 0;

    for (size_t i = 0; i < channels; i++)
        for (size_t p = 0; p < plane; p++) {
            double own = value[i * plane + p], by_own = 0, linear = 0, quadratic = 0, difference = 0;

            for (size_t j = 0; term->by_second && j < channels; j++)
                quadratic += (double)term->by_second[i * channels + j] * value[j * plane + p];
            if (term->by_sum) linear = (double)term->by_sum[i];
            if (term->map_weight != 0) difference = own - term->target[i * plane + p];
            by_own = quadratic + linear + (double)term->map_weight * difference;
            loss += own * (0.5 * quadratic + linear) + 0.5 * (double)term->map_weight * difference * difference;
            if (gradient) gradient[i * plane + p] += by_own;
        }
    return loss;
}

static double all_terms(const naive_run *run, const naive_term *terms, int with_gradient) {
    int batch = run->options->batch;
    double loss = 0;

    for (int i = 0; i < run->options->tap_count * batch; i++) {
        const naive_map *map = &run->maps[run->options->taps[i / batch].layer];
        size_t at = (size_t)(i % batch) * map->floats;

        loss += term_loss(map, map->value + at, &terms[i], with_gradient ? map->gradient + at : NULL);
    }
    return loss;
}

double naive_loss(const naive_run *run, const naive_term *terms) {
    return all_terms(run, terms, 0);
}

void naive_loss_gradient(naive_run *run, const naive_term *terms) {
    for (int i = 0; i < run->network->layer_count; i++)
        memset(run->maps[i].gradient, 0, (size_t)run->options->batch * run->maps[i].floats * sizeof(double));
    all_terms(run, terms, 1);
}
