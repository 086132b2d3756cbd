/* Running strips: part by part, window by window, and what the windows add up to. */
#include "graph/strips.h"

#include <string.h>

#include "graph/operation.h"
#include "graph/strips_layout.h"

typedef struct strip_part {
    imp_strip_part shape;
    imp_plan *plan;
    int *indices;                /* [tap_count of the plan]: which tap of the whole; -1: the part's output */
    imp_tap_gradient *gradients; /* [tap_count of the plan, batch] */
} strip_part;

/* What is known of a tap of the whole picture. */
typedef struct strip_tap {
    imp_strip_result shape;
    float *statistics; /* sums [batch, channels], second moments [batch, channels, channels]; NULL: not asked for */
    double *totals;    /* the same, while windows add up; NULL where there is one */
    imp_map_target *target; /* NULL: none yet */
    double *losses;         /* [batch] */
} strip_tap;

struct imp_strips {
    imp_context *context;
    const imp_backend *backend;
    imp_plan_options options; /* taps points to the strips' own copy */
    imp_tap *taps;
    strip_tap *results; /* [tap_count] */
    strip_part parts[IMP_MAX_PARTS];
    int part_count;
    float *arena;
};

/* ---- Making ------------------------------------------------------------------------------------------------------ */

int imp_strips_measure(imp_context *context, const imp_network *network, const imp_plan_options *options,
                       uint64_t memory, imp_strips_cost *cost) {
    imp_strips_layout layout;
    int status = imp_strips_choose(context, network, options, memory, &layout);

    if (status != IMP_OK) return status;
    *cost = (imp_strips_cost){.bytes = layout.bytes,
                              .operations = layout.operations,
                              .forward = layout.forward,
                              .parts = layout.part_count,
                              .uncut = layout.is_uncut ? network : NULL};
    for (int i = 0; i < layout.part_count; i++) cost->windows += layout.parts[i].windows;
    return IMP_OK;
}

static int allocate_target(imp_strips *strips, strip_tap *tap) {
    imp_map_target *target = imp_allocate_zero(strips->context, 1, sizeof *target);

    tap->target = target;
    if (!target) return IMP_ERR_MEMORY;
    target->backend = strips->backend;
    target->map = tap->shape.map;
    target->memory = strips->backend->allocate(strips->context, imp_map_floats(&target->map) * sizeof(float));
    if (!target->memory) return IMP_ERR_MEMORY;
    imp_map_place(&target->map, target->memory);
    return IMP_OK;
}

/* What the taps give, shaped by a plan of the whole network. windows: of all parts. */
static int make_results(imp_strips *strips, const imp_plan *whole, int windows) {
    int status = IMP_OK;

    for (int i = 0; i < strips->options.tap_count && status == IMP_OK; i++) {
        strip_tap *tap = &strips->results[i];

        tap->shape = imp_strip_result_of(whole, i);
        if (strips->taps[i].use & IMP_TAP_MAP) {
            tap->losses = imp_allocate_zero(strips->context, (size_t)strips->options.batch, sizeof *tap->losses);
            status = tap->losses ? allocate_target(strips, tap) : IMP_ERR_MEMORY;
        }
        if (tap->shape.statistics == 0 || status != IMP_OK) continue;
        tap->statistics = imp_allocate_zero(strips->context, tap->shape.statistics, sizeof *tap->statistics);
        if (windows > 1) tap->totals = imp_allocate_zero(strips->context, tap->shape.statistics, sizeof *tap->totals);
        if (!tap->statistics || (windows > 1 && !tap->totals)) status = IMP_ERR_MEMORY;
    }
    return status;
}

/* The part's plan, without its memory. */
static int make_part(imp_strips *strips, const imp_network *network, const imp_strip_part *shape, int is_last,
                     imp_plan_part kind) {
    strip_part *part = &strips->parts[strips->part_count++];
    size_t taps = (size_t)strips->options.tap_count + 1, batch = (size_t)strips->options.batch;
    imp_tap *own = imp_allocate_zero(strips->context, taps, sizeof *own);
    int status = IMP_ERR_MEMORY;

    part->shape = *shape;
    part->indices = imp_allocate_zero(strips->context, taps, sizeof *part->indices);
    part->gradients = imp_allocate_zero(strips->context, taps * batch, sizeof *part->gradients);
    if (own && part->indices && part->gradients) {
        imp_plan_options options = imp_strip_part_options(&strips->options, shape, is_last, own, part->indices);

        status = imp_plan_compile(strips->context, network, &options, kind, &part->plan);
    }
    if (part->plan && shape->windows > 1) imp_plan_set_window(part->plan, shape->halo, shape->own);
    imp_release(strips->context, own);
    return status;
}

/* Memory for the maps between parts and those of each part, and weights. */
static int prepare(imp_strips *strips, size_t arena_floats) {
    int status = IMP_OK;

    strips->arena = strips->backend->allocate(strips->context, arena_floats * sizeof(float));
    if (!strips->arena) return IMP_ERR_MEMORY;
    for (int i = 0; i < strips->part_count && status == IMP_OK; i++) {
        strip_part *part = &strips->parts[i];

        if (i > 0) imp_map_place(&part->shape.input, strips->arena + part->shape.input_at);
        if (i > 0 && strips->options.backward)
            imp_map_place(&part->shape.input_gradient, strips->arena + part->shape.input_gradient_at);
        imp_plan_place(part->plan, strips->arena + part->shape.forward);
        status = imp_plan_prepare(part->plan);
    }
    return status;
}

static int make(imp_strips *strips, const imp_network *network, const imp_strips_layout *layout) {
    size_t taps = (size_t)strips->options.tap_count;
    int windows = 0, status;
    imp_plan *whole;

    strips->taps = imp_allocate_zero(strips->context, taps, sizeof *strips->taps);
    strips->results = imp_allocate_zero(strips->context, taps, sizeof *strips->results);
    if (!strips->taps || !strips->results) return IMP_ERR_MEMORY;
    memcpy(strips->taps, strips->options.taps, taps * sizeof *strips->taps);
    strips->options.taps = strips->taps;
    for (int i = 0; i < layout->part_count; i++) windows += layout->parts[i].windows;
    status = imp_plan_compile(strips->context, network, &strips->options, IMP_PLAN_WHOLE, &whole);
    if (status == IMP_OK) strips->backend = whole->backend;
    if (status == IMP_OK) status = make_results(strips, whole, windows);
    imp_plan_free(whole);
    for (int i = 0; i < layout->part_count && status == IMP_OK; i++)
        status = make_part(strips, network, &layout->parts[i], i == layout->part_count - 1, layout->kind);
    return status == IMP_OK ? prepare(strips, layout->arena_floats) : status;
}

int imp_strips_create(imp_context *context, const imp_network *network, const imp_plan_options *options,
                      uint64_t memory, imp_strips **out) {
    imp_strips_layout layout;
    imp_strips *strips;
    int status = imp_strips_choose(context, network, options, memory, &layout);

    *out = NULL;
    if (status != IMP_OK) return status;
    strips = imp_allocate_zero(context, 1, sizeof *strips);
    if (!strips) return IMP_ERR_MEMORY;
    strips->context = context;
    strips->options = *options;
    status = make(strips, network, &layout);
    if (status != IMP_OK) {
        imp_strips_free(strips);
        return status;
    }
    *out = strips;
    return IMP_OK;
}

void imp_strips_free(imp_strips *strips) {
    if (!strips) return;
    for (int i = 0; i < strips->part_count; i++) {
        imp_plan_free(strips->parts[i].plan);
        imp_release(strips->context, strips->parts[i].indices);
        imp_release(strips->context, strips->parts[i].gradients);
    }
    for (int i = 0; strips->results && i < strips->options.tap_count; i++) {
        strip_tap *tap = &strips->results[i];

        imp_map_target_free(strips->context, tap->target);
        imp_release(strips->context, tap->statistics);
        imp_release(strips->context, tap->totals);
        imp_release(strips->context, tap->losses);
    }
    if (strips->arena) strips->backend->release(strips->context, strips->arena);
    imp_release(strips->context, strips->results);
    imp_release(strips->context, strips->taps);
    imp_release(strips->context, strips);
}

/* ---- One window -------------------------------------------------------------------------------------------------- */

/* Moves the part's plan to a window: the rows of what comes from outside, and which are its own. */
static void enter_window(const imp_strips *strips, const strip_part *part, int index, const float *pixels,
                         float *pixel_gradient) {
    const imp_strip_part *shape = &part->shape;
    imp_strip_window window = imp_strip_window_at(shape, index);
    imp_plan *plan = part->plan;
    int last = window.first + shape->window;

    plan->first_row = window.first;
    plan->own_begin = window.own_begin;
    plan->own_end = window.own_end;
    if (shape->first > 0) {
        plan->nodes[0].value = imp_map_rows(&shape->input, window.first, last);
        if (strips->options.backward)
            plan->nodes[0].gradient = imp_map_rows(&shape->input_gradient, window.first, last);
        return;
    }
    plan->plane = (size_t)shape->height * (size_t)shape->width;
    plan->pixels = pixels + (size_t)window.first * (size_t)shape->width;
    plan->pixel_gradient = pixel_gradient ? pixel_gradient + (size_t)window.first * (size_t)shape->width : NULL;
}

static void add_statistics(const strip_part *part, int index, int part_tap, strip_tap *tap) {
    const imp_plan *plan = part->plan;
    const imp_node *node = &plan->nodes[plan->tap_nodes[part_tap]];
    const float *own = imp_node_region(plan, node, IMP_REGION_STATISTICS);
    size_t count = tap->shape.statistics;

    if (part->shape.windows == 1) {
        memcpy(tap->statistics, own, count * sizeof *own);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tap->totals[i] = (index > 0 ? tap->totals[i] : 0) + (double)own[i];
        tap->statistics[i] = (float)tap->totals[i];
    }
}

/* Compares the tap's own rows with the target, or with keep makes them the target. */
static void see_map(const imp_strips *strips, const strip_part *part, int index, int part_tap, strip_tap *tap,
                    int keep) {
    const imp_plan *plan = part->plan;
    const imp_node *node = &plan->nodes[plan->tap_nodes[part_tap]];
    imp_map own = imp_plan_own(plan, node, &node->value, 0);
    imp_map target = imp_plan_own(plan, node, &tap->target->map, plan->first_row);

    if (keep) {
        strips->backend->pass(strips->context, &own, &target, 0, NULL);
        return;
    }
    for (int i = 0; i < strips->options.batch; i++) {
        imp_map value = imp_map_picture(&own, i), wanted = imp_map_picture(&target, i);
        double loss = strips->backend->squared_difference(strips->context, &value, &wanted);

        tap->losses[i] = (index > 0 ? tap->losses[i] : 0) + loss;
    }
}

/* The results of the taps, after a window's forward pass. */
static void take_results(imp_strips *strips, const strip_part *part, int index, int keep) {
    for (int i = 0; i < part->plan->options.tap_count; i++) {
        strip_tap *tap = part->indices[i] < 0 ? NULL : &strips->results[part->indices[i]];

        if (!tap) continue;
        if (tap->statistics && !keep) add_statistics(part, index, i, tap);
        if (tap->target) see_map(strips, part, index, i, tap, keep);
    }
}

/* The window's own rows of the part's output, into the input of the next one. */
static void pass_output(const imp_strips *strips, const strip_part *part, const imp_map *to) {
    const imp_plan *plan = part->plan;
    const imp_node *output = &plan->nodes[plan->node_count - 1];
    imp_map own = imp_plan_own(plan, output, &output->value, 0);
    imp_map rows = imp_map_rows(to, 0, to->view.height);

    rows = imp_plan_own(plan, output, &rows, plan->first_row);
    strips->backend->pass(strips->context, &own, &rows, 0, NULL);
}

/* ---- Whole passes ------------------------------------------------------------------------------------------------ */

static void run_forward(imp_strips *strips, const float *pixels, int keep) {
    for (int i = 0; i < strips->part_count; i++) {
        strip_part *part = &strips->parts[i];
        const imp_map *next = i + 1 < strips->part_count ? &strips->parts[i + 1].shape.input : NULL;

        imp_plan_place(part->plan, strips->arena + part->shape.forward);
        if (next) strips->backend->clear(strips->context, next); /* its halo, in the first place */
        for (int window = 0; window < part->shape.windows; window++) {
            enter_window(strips, part, window, pixels, NULL);
            imp_plan_run(part->plan, 0);
            take_results(strips, part, window, keep);
            if (next) pass_output(strips, part, next);
        }
    }
}

void imp_strips_keep_targets(imp_strips *strips, const float *pixels) {
    run_forward(strips, pixels, 1);
}

void imp_strips_forward(imp_strips *strips, const float *pixels) {
    run_forward(strips, pixels, 0);
}

imp_statistics imp_strips_statistics(const imp_strips *strips, int tap, int picture) {
    const strip_tap *of = &strips->results[tap];

    return imp_statistics_at(&of->shape.map.view, strips->options.batch, of->statistics, picture);
}

double imp_strips_map_loss(const imp_strips *strips, int tap, int picture, double *values) {
    const strip_tap *of = &strips->results[tap];
    const imp_view *view = &of->shape.map.view;

    *values = (double)view->channels * view->height * view->width;
    return of->losses[picture];
}

/* The part's own choice of the gradients, with the kept targets. */
static void choose_gradients(const imp_strips *strips, strip_part *part, const imp_tap_gradient *gradients) {
    int batch = strips->options.batch;

    for (int i = 0; i < part->plan->options.tap_count; i++)
        for (int picture = 0; picture < batch; picture++) {
            imp_tap_gradient *own = &part->gradients[i * batch + picture];

            *own = (imp_tap_gradient){0};
            if (part->indices[i] < 0) continue;
            *own = gradients[part->indices[i] * batch + picture];
            own->target = strips->results[part->indices[i]].target;
        }
}

/* No gradient by the part's input yet. */
static void clear_gradient(const imp_strips *strips, int index, float *pixel_gradient) {
    const imp_strip_part *shape = &strips->parts[index].shape;
    size_t floats = 3 * (size_t)strips->options.batch * (size_t)shape->height * (size_t)shape->width;

    if (index > 0)
        strips->backend->clear(strips->context, &shape->input_gradient);
    else
        memset(pixel_gradient, 0, floats * sizeof *pixel_gradient);
}

static void part_backward(imp_strips *strips, int index, const imp_tap_gradient *gradients, const float *pixels,
                          float *pixel_gradient) {
    strip_part *part = &strips->parts[index];
    const imp_strip_part *shape = &part->shape;
    int is_last = index == strips->part_count - 1, adds = shape->windows > 1, reached = 0;

    choose_gradients(strips, part, gradients);
    part->plan->output_gradient = is_last ? (imp_map){.batch = 0} : strips->parts[index + 1].shape.input_gradient;
    imp_plan_place(part->plan, strips->arena + shape->backward);
    if (adds) clear_gradient(strips, index, pixel_gradient); /* one window writes, of several each adds its rows */
    for (int window = 0; window < shape->windows; window++) {
        enter_window(strips, part, window, pixels, pixel_gradient);
        if (!is_last || adds) imp_plan_run(part->plan, 1);
        reached |= imp_plan_run_backward(part->plan, part->gradients);
    }
    if (!reached && !adds) clear_gradient(strips, index, pixel_gradient);
}

int imp_strips_backward(imp_strips *strips, const imp_tap_gradient *gradients, const float *pixels,
                        float *pixel_gradient) {
    if (!strips->options.backward)
        return imp_fail(strips->context, IMP_ERR_STATE, "a backward pass needs strips made for backward");
    for (int i = strips->part_count - 1; i >= 0; i--) part_backward(strips, i, gradients, pixels, pixel_gradient);
    return IMP_OK;
}

/* ---- Profile ----------------------------------------------------------------------------------------------------- */

int imp_strips_profile(const imp_strips *strips, int index, imp_node_profile *profile) {
    int seen = 0;

    for (int i = 0; i < 2 * strips->part_count; i++) {
        int backward = i >= strips->part_count;
        const strip_part *part = &strips->parts[backward ? 2 * strips->part_count - 1 - i : i];

        for (int node = 0; imp_plan_profile(part->plan, node, profile); node++)
            if (profile->backward == backward && seen++ == index) return 1;
    }
    return 0;
}
