/* Plans: compiled, measured, run forward, read out. Backward is in backward.c. */
#include "graph/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "graph/operation.h"

void *imp_plan_allocate(imp_plan *plan, size_t count, size_t bytes) {
    void *memory = imp_allocate_zero(plan->context, count, bytes);

    if (memory) plan->bytes += count * bytes;
    return memory;
}

int imp_plan_compile(imp_context *context, const imp_network *network, const imp_plan_options *options,
                     imp_plan_part part, imp_plan **plan) {
    imp_plan *made = imp_allocate_zero(context, 1, sizeof *made);
    int status;

    *plan = made;
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    made->network = network;
    made->backend = &imp_backend_cpu;
    made->options = *options;
    made->is_part = part != IMP_PLAN_WHOLE;
    made->any_threads = part == IMP_PLAN_LIMITED;
    made->bytes = sizeof *made;
    status = imp_plan_lower(made);
    if (status == IMP_OK) status = imp_plan_lay_out(made);
    if (status == IMP_OK) made->bytes += made->arena_floats * sizeof(float);
    return status;
}

static double needed_share(const imp_plan *plan, const imp_node *node) {
    int rows = imp_plan_needed_end(plan, node) - imp_plan_needed_begin(plan, node);

    return (double)rows / node->value.view.height;
}

void imp_plan_set_window(imp_plan *plan, int begin, int rows) {
    plan->has_windows = 1;
    plan->own_begin = begin;
    plan->own_end = begin + rows;
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];
        const imp_node *input = node->input < 0 ? node : &plan->nodes[node->input];
        double own = (double)rows / plan->options.height;

        node->work[IMP_WORK_FORWARD].operations *= needed_share(plan, node);
        node->work[IMP_WORK_BACKWARD].operations *= needed_share(plan, input);
        node->work[IMP_WORK_STATISTICS].operations *= own;
        node->work[IMP_WORK_TAP_GRADIENT].operations *= own;
    }
}

double imp_plan_operations(const imp_plan *plan, int backward) {
    double operations = 0;

    for (int i = 0; i < plan->node_count; i++) {
        const imp_work_record *work = plan->nodes[i].work;

        operations += work[IMP_WORK_FORWARD].operations + work[IMP_WORK_STATISTICS].operations;
        if (backward) operations += work[IMP_WORK_BACKWARD].operations + work[IMP_WORK_TAP_GRADIENT].operations;
    }
    return operations;
}

uint64_t imp_plan_missing_weights(const imp_plan *plan) {
    uint64_t bytes = 0;

    for (int i = 0; i < plan->node_count; i++) {
        const imp_node *node = &plan->nodes[i];

        if (!node->operation->prepare) continue;
        for (int backward = 0; backward <= (plan->options.backward != 0); backward++) {
            imp_map_convolution job = imp_convolution_job(plan, node, backward);

            bytes += plan->backend->missing_weights(plan->context, plan->network, node->layer, backward, &job);
        }
    }
    return bytes;
}

int imp_plan_measure(imp_context *context, const imp_network *network, const imp_plan_options *options, uint64_t *bytes,
                     double *operations) {
    imp_plan *plan;
    int status = imp_plan_compile(context, network, options, IMP_PLAN_WHOLE, &plan);

    if (status == IMP_OK) {
        *bytes = plan->bytes + imp_plan_missing_weights(plan);
        *operations = imp_plan_operations(plan, plan->options.backward);
    }
    imp_plan_free(plan);
    return status;
}

static void name_convolution(imp_plan *plan, imp_node *node, const char *table) {
    int kernel = plan->network->layers[node->layer].kernel;

    for (int backward = 0; backward <= (plan->options.backward != 0); backward++) {
        imp_map_convolution job = imp_convolution_job(plan, node, backward);
        char *name = node->work[backward ? IMP_WORK_BACKWARD : IMP_WORK_FORWARD].kernel;

        snprintf(name, IMP_KERNEL_NAME_LENGTH, "convolution %dx%d %s%s %s", kernel, kernel,
                 plan->backend->convolution_name(plan->context, &job), node->pool >= 0 ? " pool" : "", table);
    }
}

/* How --verbose names what runs for a node. */
static void name_kernels(imp_plan *plan, imp_node *node) {
    const imp_layer *layer = &plan->network->layers[node->layer];
    const char *table = plan->backend->name(plan->context, plan->options.element);
    char *forward = node->work[IMP_WORK_FORWARD].kernel, *backward = node->work[IMP_WORK_BACKWARD].kernel;

    if (layer->kind == IMP_OPERATION_CONVOLUTION) {
        name_convolution(plan, node, table);
    } else if (layer->kind == IMP_OPERATION_POOL)
        snprintf(forward, IMP_KERNEL_NAME_LENGTH, "%s pool %s",
                 plan->options.pooling == IMP_POOL_MAX ? "max" : "average", table);
    else
        snprintf(forward, IMP_KERNEL_NAME_LENGTH, "%s", node->operation->name);
    if (!backward[0]) memcpy(backward, forward, IMP_KERNEL_NAME_LENGTH);
    snprintf(node->work[IMP_WORK_STATISTICS].kernel, IMP_KERNEL_NAME_LENGTH, "statistics %s", table);
    snprintf(node->work[IMP_WORK_TAP_GRADIENT].kernel, IMP_KERNEL_NAME_LENGTH, "gradient of losses %s", table);
}

void imp_plan_place(imp_plan *plan, float *arena) {
    plan->arena = arena;
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];

        if (node->operation == &imp_operation_kept) continue;
        imp_map_place(&node->value, imp_node_region(plan, node, IMP_REGION_VALUE));
        if (plan->options.backward) imp_map_place(&node->gradient, imp_node_region(plan, node, IMP_REGION_GRADIENT));
        if (node->choices.batch) imp_map_place(&node->choices, imp_node_region(plan, node, IMP_REGION_STATE));
    }
}

int imp_plan_prepare(imp_plan *plan) {
    int status = IMP_OK;

    for (int i = 0; i < plan->node_count && status == IMP_OK; i++) {
        imp_node *node = &plan->nodes[i];

        name_kernels(plan, node);
        if (node->operation->prepare) status = node->operation->prepare(plan, node);
    }
    return status;
}

int imp_plan_create(imp_context *context, const imp_network *network, const imp_plan_options *options,
                    imp_plan **plan) {
    int status = imp_plan_compile(context, network, options, IMP_PLAN_WHOLE, plan);

    if (status == IMP_OK) {
        float *arena = (*plan)->backend->allocate(context, (*plan)->arena_floats * sizeof(float));

        if (arena) imp_plan_place(*plan, arena);
        status = arena ? imp_plan_prepare(*plan) : IMP_ERR_MEMORY;
    }
    if (status != IMP_OK) {
        imp_plan_free(*plan);
        *plan = NULL;
    }
    return status;
}

void imp_plan_free(imp_plan *plan) {
    if (!plan) return;
    if (!plan->is_part) plan->backend->release(plan->context, plan->arena);
    imp_release(plan->context, plan->nodes);
    imp_release(plan->context, plan->tap_nodes);
    imp_release(plan->context, plan->taps);
    imp_release(plan->context, plan->parameter_gradients);
    imp_release(plan->context, plan);
}

void imp_work_record_add(imp_work_record *record, double since) {
    record->calls++;
    record->seconds += imp_seconds() - since;
}

static void take_statistics(imp_plan *plan, imp_node *node) {
    float *sum = imp_node_region(plan, node, IMP_REGION_STATISTICS);
    size_t sums = (size_t)plan->options.batch * (size_t)node->value.view.channels;
    imp_map own = imp_plan_own(plan, node, &node->value, 0);
    double start = imp_seconds();

    plan->backend->statistics(plan->context, &own, imp_node_region(plan, node, IMP_REGION_PARTIALS), sum, sum + sums);
    imp_work_record_add(&node->work[IMP_WORK_STATISTICS], start);
}

void imp_plan_run(imp_plan *plan, int again) {
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];
        double start = imp_seconds();

        if (!node->operation->forward) continue;
        if (again && node->tap >= 0 && plan->taps[node->tap].use == IMP_TAP_OUTPUT &&
            !node->regions[IMP_REGION_STATE].floats)
            break;
        node->operation->forward(plan, node);
        if (node->padding != IMP_PADDING_ZERO) plan->backend->fill_halo(plan->context, &node->value, node->padding);
        imp_work_record_add(&node->work[IMP_WORK_FORWARD], start);
        if (!again && node->regions[IMP_REGION_STATISTICS].floats) take_statistics(plan, node);
    }
}

void imp_plan_forward(imp_plan *plan, const float *pixels) {
    plan->pixels = pixels;
    plan->plane = (size_t)plan->options.height * (size_t)plan->options.width;
    imp_plan_run(plan, 0);
    plan->pixels = NULL;
    plan->ran = 1;
    plan->can_go_back = plan->options.backward;
}

void imp_plan_set_styles(imp_plan *plan, const float *styles) {
    plan->styles = styles;
}

void imp_plan_set_parameter_gradient(imp_plan *plan, int parameter, float *gradient) {
    plan->parameter_gradients[parameter] = gradient;
}

static const imp_node *tapped(const imp_plan *plan, int tap) {
    return &plan->nodes[plan->tap_nodes[tap]];
}

imp_statistics imp_statistics_at(const imp_view *shape, int batch, const float *memory, int picture) {
    size_t channels = (size_t)shape->channels, index = (size_t)picture;

    if (!memory) return (imp_statistics){0};
    return (imp_statistics){
        .channels = shape->channels,
        .count = (double)shape->height * shape->width,
        .sum = memory + index * channels,
        .second = memory + (size_t)batch * channels + index * channels * channels,
    };
}

imp_statistics imp_plan_statistics(const imp_plan *plan, int tap, int picture) {
    const imp_node *node = tapped(plan, tap);

    return imp_statistics_at(&node->value.view, plan->options.batch, imp_node_region(plan, node, IMP_REGION_STATISTICS),
                             picture);
}

/* ---- Maps kept as targets ---------------------------------------------------------------------------------------- */

static int check_kept(const imp_plan *plan, int tap) {
    if (!(plan->taps[tap].use & IMP_TAP_MAP))
        return imp_fail(plan->context, IMP_ERR_STATE, "layer %s: its map was not asked for",
                        plan->network->layers[plan->taps[tap].layer].name);
    if (!plan->ran)
        return imp_fail(plan->context, IMP_ERR_STATE, "layer %s: its map is there only after a forward pass",
                        plan->network->layers[plan->taps[tap].layer].name);
    return IMP_OK;
}

int imp_plan_copy_map(imp_plan *plan, int tap, imp_map_target **target) {
    const imp_map *map = &tapped(plan, tap)->value;
    imp_map_target *made;
    int status = check_kept(plan, tap);

    *target = NULL;
    if (status != IMP_OK) return status;
    made = imp_allocate_zero(plan->context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->backend = plan->backend;
    /* Cannot overflow: the same map with its halo did not. */
    imp_map_layout(&made->map, map->element, map->batch, map->view.channels, map->view.height, map->view.width, 0);
    made->memory = plan->backend->allocate(plan->context, imp_map_floats(&made->map) * sizeof(float));
    if (!made->memory) {
        imp_release(plan->context, made);
        return IMP_ERR_MEMORY;
    }
    imp_map_place(&made->map, made->memory);
    plan->backend->pass(plan->context, map, &made->map, 0, NULL);
    *target = made;
    return IMP_OK;
}

void imp_map_target_free(imp_context *context, imp_map_target *target) {
    if (!target) return;
    target->backend->release(context, target->memory);
    imp_release(context, target);
}

int imp_plan_check_target(const imp_plan *plan, int tap, const imp_map_target *target) {
    const imp_map *map = &tapped(plan, tap)->value;

    if (imp_map_same_shape(map, &target->map) && target->backend == plan->backend) return IMP_OK;
    return imp_fail(plan->context, IMP_ERR_ARGUMENT, "layer %s: a target of %dx%dx%d for a map of %dx%dx%d",
                    plan->network->layers[plan->taps[tap].layer].name, target->map.view.channels,
                    target->map.view.height, target->map.view.width, map->view.channels, map->view.height,
                    map->view.width);
}

double imp_plan_map_loss(imp_plan *plan, int tap, int picture, const imp_map_target *target, double *values) {
    const imp_map *map = &tapped(plan, tap)->value;
    imp_map value, wanted;

    *values = (double)map->view.channels * map->view.height * map->view.width;
    if (check_kept(plan, tap) != IMP_OK || imp_plan_check_target(plan, tap, target) != IMP_OK) return NAN;
    value = imp_map_picture(map, picture);
    wanted = imp_map_picture(&target->map, picture);
    return plan->backend->squared_difference(plan->context, &value, &wanted);
}

void imp_plan_tap_shape(const imp_plan *plan, int tap, int *channels, int *height, int *width) {
    const imp_view *shape = &tapped(plan, tap)->value.view;

    *channels = shape->channels;
    *height = shape->height;
    *width = shape->width;
}

void imp_plan_read_map(const imp_plan *plan, int tap, int picture, float *out) {
    imp_map map = imp_map_picture(&tapped(plan, tap)->value, picture);

    plan->backend->read_map(plan->context, &map, out);
}

void imp_plan_read_planes(const imp_plan *plan, int tap, float *planes) {
    plan->backend->read_planes(plan->context, &tapped(plan, tap)->value, planes);
}

/* ---- Profile ----------------------------------------------------------------------------------------------------- */

static void fill_profile(const imp_plan *plan, int node, int kind, imp_node_profile *profile) {
    const imp_work_record *record = &plan->nodes[node].work[kind];

    *profile = (imp_node_profile){
        .size = sizeof *profile,
        .name = plan->network->layers[plan->nodes[node].layer].name,
        .kernel = record->kernel,
        .backward = kind == IMP_WORK_BACKWARD || kind == IMP_WORK_TAP_GRADIENT,
        .calls = record->calls,
        .seconds = record->seconds,
        .operations = record->operations * record->calls,
    };
}

int imp_plan_profile(const imp_plan *plan, int index, imp_node_profile *profile) {
    int seen = 0;

    for (int i = 0; i < 2 * plan->node_count; i++) {
        int backward = i >= plan->node_count;
        int node = backward ? 2 * plan->node_count - 1 - i : i;
        int first = backward ? IMP_WORK_TAP_GRADIENT : IMP_WORK_FORWARD;

        for (int kind = first; kind < first + 2; kind++) {
            if (plan->nodes[node].work[kind].calls == 0 || seen++ < index) continue;
            fill_profile(plan, node, kind, profile);
            return 1;
        }
    }
    return 0;
}
