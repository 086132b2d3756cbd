/* Timing two small pictures, from which the time of any size follows. */
#include "style/pace.h"

#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "graph/packed.h"
#include "style/criterion.h"

/* Pixels of the side of the smallest picture, at which kernels are not yet others, and of the largest. A picture that
   has fewer is timed itself, so that its memory suffices. */
#define FIRST_SIDE 128
#define LAST_SIDE 512
/* What a run must take for the next picture of twice the side to be worth its time, in units of that time. */
#define WORTH 30.0
#define FREE_SECONDS 1.0 /* of that time are always spent: the smallest picture alone says little */
/* Evaluations, of which the faster counts, because something may come in between; and that time in evaluations, the
   passes forward over style and content included. */
#define PROBES 2
#define PROBE_EVALUATIONS 2.7

/* Operations of an evaluation that take as long as a step takes for a byte of what an optimiser keeps: L-BFGS goes through
   all of it, bound by memory, for 3 to 5 % of the time; Adam, which keeps little, is counted alike. 115 in f32 and 250 in
   bf16 on two cores of a Zen 4. */
#define BYTE_OPERATIONS 180.0

typedef struct probe_size {
    int batch, width, height;
} probe_size;

typedef struct pace_probe {
    double seconds, operations; /* of an evaluation */
} pace_probe;

/* What pixels hold does not matter for the time, as long as style and content are not the same. */
static void fill(float *planes, size_t count, size_t step) {
    for (size_t i = 0; i < count; i++) planes[i] = (float)(i * step % 256);
}

static int time_evaluation(imp_criterion *criterion, float *planes, float *gradient, imp_losses *losses,
                           const probe_size *size, uint64_t memory, double *seconds) {
    size_t count = 3 * (size_t)size->width * (size_t)size->height;
    fill(gradient, count, 7); /* a style, until it is a gradient */
    fill(planes, (size_t)size->batch * count, 1);
    int status = imp_criterion_add_style(criterion, gradient, size->width, size->height, 1, memory);
    if (!status) status = imp_criterion_finish_styles(criterion);
    if (!status) status = imp_criterion_set_content(criterion, planes, memory); /* which also warms up */
    *seconds = INFINITY;
    for (int i = 0; i < PROBES && !status; i++) {
        double begin = imp_seconds();
        status = imp_criterion_evaluate(criterion, planes, 1, losses, gradient);
        *seconds = fmin(*seconds, imp_seconds() - begin);
    }
    return status;
}

/* Networks whose packed weights are their own: the painting may need others, and the probe's go with it. */
typedef struct own_networks {
    imp_loss_network each[IMP_MAX_MODELS];
    imp_network networks[IMP_MAX_MODELS];
    int count;
} own_networks;

static own_networks *copy_networks(imp_context *context, imp_loss_networks networks) {
    own_networks *own = imp_allocate(context, sizeof *own);
    if (!own) return NULL;
    own->count = networks.count;
    for (int i = 0; i < networks.count; i++) {
        own->networks[i] = imp_packed_apart(networks.each[i].network);
        own->each[i] = networks.each[i];
        own->each[i].network = &own->networks[i];
    }
    return own;
}

static void free_networks(imp_context *context, own_networks *own) {
    for (int i = 0; own && i < own->count; i++) imp_packed_release(&own->networks[i]);
    imp_release(context, own);
}

static int probe(imp_context *context, imp_loss_networks networks, const imp_settings *settings, const probe_size *size,
                 uint64_t memory, pace_probe *out) {
    size_t batch = (size_t)size->batch, count = batch * 3 * (size_t)size->width * (size_t)size->height;
    imp_losses *losses = imp_allocate(context, batch * sizeof *losses);
    float *planes = losses ? imp_allocate(context, count * sizeof(float)) : NULL;
    float *gradient = planes ? imp_allocate(context, count * sizeof(float)) : NULL;
    own_networks *own = gradient ? copy_networks(context, networks) : NULL;
    imp_loss_networks copies = {own ? own->each : NULL, networks.count};
    imp_criterion *criterion = NULL;
    imp_strips_cost cost = {0};
    int status = own ? IMP_OK : IMP_ERR_MEMORY;
    if (!status)
        status =
            imp_criterion_measure(context, copies, settings, size->batch, size->width, size->height, memory, &cost);
    if (!status)
        status = imp_criterion_create(context, copies, settings, size->batch, size->width, size->height, &criterion);
    if (!status) status = time_evaluation(criterion, planes, gradient, losses, size, memory, &out->seconds);
    imp_criterion_free(criterion);
    free_networks(context, own);
    imp_release(context, gradient);
    imp_release(context, planes);
    imp_release(context, losses);
    out->operations = cost.operations;
    return status;
}

/* What is left for a criterion at the scale that leaves least is there now; 0: no limit. */
static uint64_t least_memory(const imp_settings *settings, int is_sketch) {
    uint64_t least = 0;
    for (int i = 0; i < settings->scale_count; i++) {
        uint64_t memory = settings->scales[i].memory;
        if (settings->scales[i].is_sketch == is_sketch && memory > 0 && (least == 0 || memory < least)) least = memory;
    }
    return least;
}

/* The pace of two probes: what disturbs one of them must not make time go backwards, so neither part is under 0. */
static imp_pace pace_of(const pace_probe *small, const pace_probe *large) {
    double more = large->operations - small->operations, each = large->seconds / large->operations;
    if (more > 0) each = fmin(each, fmax(0, large->seconds - small->seconds) / more);
    return (imp_pace){.fixed = large->seconds - each * large->operations, .each = each};
}

static int measure(imp_context *context, const imp_settings *settings, int is_sketch, int batch, imp_pace *pace) {
    const imp_canvas *last = &settings->scales[settings->scale_count - 1].canvas;
    uint64_t memory = least_memory(settings, is_sketch);
    pace_probe before = {0}, now = {0};
    for (int side = FIRST_SIDE, is_whole = 0; !is_whole && side <= LAST_SIDE; side *= 2) {
        probe_size size = {batch, imp_canvas_width(last), imp_canvas_height(last)};
        is_whole = (double)size.width * size.height <= (double)side * side;
        if (!is_whole) size.width = size.height = side;
        before = now;
        int status = probe(context, imp_settings_networks(settings, is_sketch), settings, &size, memory, &now);
        if (status) return status;
        *pace = pace_of(&before, &now);
        double next = 4 * PROBE_EVALUATIONS * now.seconds;
        const imp_paces alike = {*pace, *pace};
        if (next > FREE_SECONDS && imp_pace_run(&alike, settings, settings->scale_count, 0) < WORTH * next) break;
    }
    return IMP_OK;
}

int imp_pace_measure(imp_context *context, const imp_settings *settings, int batch, imp_paces *paces) {
    int status = measure(context, settings, 0, batch, &paces->main);
    return status || !settings->has_sketch ? status : measure(context, settings, 1, batch, &paces->sketch);
}

double imp_pace_run(const imp_paces *paces, const imp_settings *settings, int scale, double iterations) {
    double seconds = 0;
    for (int i = 0; i < settings->scale_count && i <= scale; i++) {
        const imp_scale *at = &settings->scales[i];
        const imp_pace *pace = at->is_sketch ? &paces->sketch : &paces->main;
        double count = i < scale ? at->iterations : iterations;
        if (at->iterations == 0) continue;
        double operations = at->operations + BYTE_OPERATIONS * (double)at->optimizers;
        seconds += count * (pace->fixed + pace->each * operations) + pace->each * at->preparation;
    }
    return seconds;
}
