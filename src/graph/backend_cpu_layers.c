/* Whole maps through the kernels that make a pixel of the output from those of one or two maps: blends, activations, resizing,
 * pooling; and sums by channel. */
#include "graph/backend_cpu.h"

typedef struct layer_job {
    const imp_kernels *kernels;
    const imp_map *in, *second, *out, *mask; /* out: written, and its halo where it is not added to */
    int accumulate, factor, relu;
    imp_activation kind;
    float slope;
    const imp_windows *windows;
    const float *x_factor, *y_factor, *addend; /* of blend, [batch][stride] */
    float *sum, *product;
    size_t stride;
} layer_job;

/* What kernels take of a picture. */
typedef struct picture_views {
    imp_view in, second, out, mask;
    const imp_view *mask_or_null;
} picture_views;

static void view_picture(const layer_job *job, int picture, picture_views *views) {
    if (job->in) views->in = imp_map_view(job->in, picture);
    if (job->second) views->second = imp_map_view(job->second, picture);
    if (job->out) views->out = imp_map_view(job->out, picture);
    if (job->mask) views->mask = imp_map_view(job->mask, picture);
    views->mask_or_null = job->mask ? &views->mask : NULL;
}

static size_t channels_of(const imp_map *map) {
    return (size_t)imp_blocks(map->view.channels) * IMP_BLOCK;
}

static void finish_piece(const layer_job *job, const imp_piece *piece) {
    if (!job->accumulate) imp_cpu_zero_halo(job->out, piece);
}

/* ---- Blend ------------------------------------------------------------------------------------------------------- */

static const float *row_of(const float *values, size_t stride, int picture) {
    return values ? values + (size_t)picture * stride : NULL;
}

static void blend_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;
    imp_blend blend;

    view_picture(job, piece->picture, &views);
    blend = (imp_blend){.x = job->in ? &views.in : NULL,
                        .y = job->second ? &views.second : NULL,
                        .out = &views.out,
                        .x_factor = row_of(job->x_factor, job->stride, piece->picture),
                        .y_factor = row_of(job->y_factor, job->stride, piece->picture),
                        .addend = row_of(job->addend, job->stride, piece->picture),
                        .accumulate = job->accumulate,
                        .relu = job->relu,
                        .mask = views.mask_or_null};
    job->kernels->blend(&blend, piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_blend(imp_context *context, const imp_map_blend *blend) {
    layer_job job = {.kernels = imp_cpu_kernels(context, blend->out->element),
                     .in = blend->x,
                     .second = blend->y,
                     .out = blend->out,
                     .mask = blend->mask,
                     .x_factor = blend->x_factor,
                     .y_factor = blend->y_factor,
                     .addend = blend->addend,
                     .stride = channels_of(blend->out),
                     .accumulate = blend->accumulate,
                     .relu = blend->relu};

    imp_cpu_run_evenly(context, job.out, blend_piece, &job);
}

void imp_cpu_fill_channels(imp_context *context, float *values, float scale, const imp_map *out, int accumulate,
                           const imp_map *mask) {
    for (size_t i = 0; i < channels_of(out) * (size_t)out->batch; i++) values[i] *= scale;
    imp_cpu_blend(context, &(imp_map_blend){.out = out, .addend = values, .accumulate = accumulate, .mask = mask});
}

/* ---- Sums by channel --------------------------------------------------------------------------------------------- */

/* Kernels write the sums of blocks at the blocks' own places. */
static void products_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    size_t row = (size_t)piece->picture * job->stride;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->channel_products(
        &views.in, job->second ? &views.second : NULL, row_of(job->x_factor, job->stride, piece->picture),
        row_of(job->y_factor, job->stride, piece->picture), piece->block_begin, piece->block_end, piece->row_begin,
        piece->row_end, job->sum + row, job->product ? job->product + row : NULL);
}

void imp_cpu_channel_products(imp_context *context, const imp_map *x, const imp_map *y, const float *x_shift,
                              const float *y_shift, float *sum, float *product) {
    layer_job job = {.kernels = imp_cpu_kernels(context, x->element),
                     .in = x,
                     .second = y,
                     .x_factor = x_shift,
                     .y_factor = y_shift,
                     .sum = sum,
                     .product = product,
                     .stride = channels_of(x)};
    imp_cut cut = {
        .work = products_piece,
        .job = &job,
        .pictures = x->batch,
        .blocks = imp_blocks(x->view.channels),
        .blocks_each = 1,
        .rows = x->view.height,
        .rows_each = x->view.height, /* so that sums do not depend on how rows are cut */
    };

    imp_cut_run(context, &cut);
}

/* ---- Activations ----------------------------------------------------------------------------------------------------- */

static void activate_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->activate(job->kind, job->slope, &views.in, &views.out, piece->block_begin, piece->block_end,
                           piece->row_begin, piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_activate(imp_context *context, imp_activation kind, float slope, const imp_map *in, const imp_map *out) {
    layer_job job = {
        .kernels = imp_cpu_kernels(context, out->element), .kind = kind, .slope = slope, .in = in, .out = out};

    imp_cpu_run_evenly(context, out, activate_piece, &job);
}

static void activate_backward_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->activate_backward(job->kind, job->slope, &views.in, &views.second, &views.out, job->accumulate,
                                    views.mask_or_null, piece->block_begin, piece->block_end, piece->row_begin,
                                    piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_activate_backward(imp_context *context, imp_activation kind, float slope, const imp_map *in,
                               const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                               const imp_map *mask) {
    layer_job job = {.kernels = imp_cpu_kernels(context, in_gradient->element),
                     .kind = kind,
                     .slope = slope,
                     .in = in,
                     .second = out_gradient,
                     .out = in_gradient,
                     .accumulate = accumulate,
                     .mask = mask};

    imp_cpu_run_evenly(context, in_gradient, activate_backward_piece, &job);
}

/* ---- Other sizes ----------------------------------------------------------------------------------------------------- */

static void enlarge_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->enlarge(job->factor, &views.in, &views.out, piece->block_begin, piece->block_end, piece->row_begin,
                          piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_enlarge(imp_context *context, int factor, const imp_map *in, const imp_map *out) {
    layer_job job = {.kernels = imp_cpu_kernels(context, out->element), .factor = factor, .in = in, .out = out};

    imp_cpu_run_evenly(context, out, enlarge_piece, &job);
}

static void enlarge_backward_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->enlarge_backward(job->factor, &views.in, &views.out, job->accumulate, views.mask_or_null,
                                   piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_enlarge_backward(imp_context *context, int factor, const imp_map *out_gradient, const imp_map *in_gradient,
                              int accumulate, const imp_map *mask) {
    layer_job job = {.kernels = imp_cpu_kernels(context, in_gradient->element),
                     .factor = factor,
                     .in = out_gradient,
                     .out = in_gradient,
                     .accumulate = accumulate,
                     .mask = mask};

    imp_cpu_run_evenly(context, in_gradient, enlarge_backward_piece, &job);
}

static void resize_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->resize(&views.in, &views.out, piece->block_begin, piece->block_end, piece->row_begin, piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_resize(imp_context *context, const imp_map *in, const imp_map *out) {
    layer_job job = {.kernels = imp_cpu_kernels(context, out->element), .in = in, .out = out};

    imp_cpu_run_evenly(context, out, resize_piece, &job);
}

static void resize_backward_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->resize_backward(&views.in, &views.out, job->accumulate, views.mask_or_null, piece->block_begin,
                                  piece->block_end, piece->row_begin, piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_resize_backward(imp_context *context, const imp_map *out_gradient, const imp_map *in_gradient,
                             int accumulate, const imp_map *mask) {
    layer_job job = {.kernels = imp_cpu_kernels(context, in_gradient->element),
                     .in = out_gradient,
                     .out = in_gradient,
                     .accumulate = accumulate,
                     .mask = mask};

    imp_cpu_run_evenly(context, in_gradient, resize_backward_piece, &job);
}

/* ---- The greatest of windows ----------------------------------------------------------------------------------------- */

static void max_pool_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->max_pool(job->windows, &views.in, &views.out, piece->block_begin, piece->block_end, piece->row_begin,
                           piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_max_pool(imp_context *context, const imp_windows *windows, const imp_map *in, const imp_map *out) {
    layer_job job = {.kernels = imp_cpu_kernels(context, out->element), .windows = windows, .in = in, .out = out};

    imp_cpu_run_evenly(context, out, max_pool_piece, &job);
}

static void max_pool_backward_piece(void *user, const imp_piece *piece) {
    const layer_job *job = user;
    picture_views views;

    view_picture(job, piece->picture, &views);
    job->kernels->max_pool_backward(job->windows, &views.in, &views.second, &views.out, job->accumulate,
                                    views.mask_or_null, piece->block_begin, piece->block_end, piece->row_begin,
                                    piece->row_end);
    finish_piece(job, piece);
}

void imp_cpu_max_pool_backward(imp_context *context, const imp_windows *windows, const imp_map *in,
                               const imp_map *out_gradient, const imp_map *in_gradient, int accumulate,
                               const imp_map *mask) {
    layer_job job = {.kernels = imp_cpu_kernels(context, in_gradient->element),
                     .windows = windows,
                     .in = in,
                     .second = out_gradient,
                     .out = in_gradient,
                     .accumulate = accumulate,
                     .mask = mask};

    imp_cpu_run_evenly(context, in_gradient, max_pool_backward_piece, &job);
}
