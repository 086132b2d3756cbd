/* A painting: from scale to scale, evaluate and step. */
#include "style/painting.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "style/budget.h"
#include "style/colour.h"
#include "style/criterion.h"
#include "style/descent.h"
#include "style/image.h"

#define MAX_STYLES 64
#define OTHERS_STEP (1u << 20) /* bytes to which what others hold in the context is rounded up */
#define MAX_BAD_STEPS 20       /* losses in a row that are not finite before L-BFGS, which damps its steps, gives up */
#define NOISE_DEVIATION 32.0   /* of the start from noise, around middle grey: an eighth of the range of a pixel */

typedef struct style_picture {
    float *planes; /* at the size that the final scale wants */
    double weight;
} style_picture;

struct imp_painting {
    imp_context *context;
    const imp_network *network;
    imp_settings settings;
    float *photo; /* planes at the final size */
    style_picture styles[MAX_STYLES];
    imp_canvas style_canvases[MAX_STYLES];
    int style_count;
    int budgeted;          /* the scales know what memory they may take, */
    imp_estimate estimate; /* and this is what they will */

    /* The scale at work: criterion and descent are NULL until its first evaluation. */
    int scale;
    int scale_iteration, iteration;
    float *planes, *gradient; /* [3, height, width] of this scale; gradient comes with the criterion */
    imp_criterion *criterion;
    imp_descent *descent;

    double started; /* imp_seconds; 0: not yet */
    int bad_steps;  /* losses in a row that were not finite */
    int scale_over, finished, failed;
};

static const imp_scale *current(const imp_painting *painting) {
    return &painting->settings.scales[painting->scale];
}

/* The canvas at work. */
static const imp_canvas *canvas_of(const imp_painting *painting) {
    return &current(painting)->canvas;
}

/* The final picture, without a margin. */
static imp_canvas final_canvas(const imp_painting *painting) {
    const imp_canvas *canvas = &painting->settings.scales[painting->settings.scale_count - 1].canvas;
    return imp_canvas_bare(canvas);
}

/* Planes of one canvas on another, clamped where the filter overshoots; *out is created, NULL on failure. */
static int transfer(imp_context *context, const float *planes, const imp_canvas *from, const imp_canvas *to,
                    imp_filter filter, float **out) {
    size_t count = imp_canvas_floats(to);
    *out = imp_allocate(context, count * sizeof(float));
    if (!*out) return IMP_ERR_MEMORY;
    int status = imp_canvas_transfer(context, planes, from, to, filter, *out);
    for (size_t i = 0; i < count && !status; i++) (*out)[i] = fminf(fmaxf((*out)[i], 0), 255);
    if (!status) return IMP_OK;
    imp_release(context, *out);
    *out = NULL;
    return status;
}

/* The photo on the canvas at work. */
static int photo_on_canvas(const imp_painting *painting, float **planes) {
    imp_canvas last = final_canvas(painting);
    return transfer(painting->context, painting->photo, &last, canvas_of(painting), IMP_FILTER_LANCZOS, planes);
}

static int start_from_image(imp_painting *painting, const imp_image *image) {
    const imp_canvas *canvas = canvas_of(painting);
    imp_canvas bare = imp_canvas_bare(canvas);
    float *planes;
    int status = imp_image_to_planes(painting->context, image, canvas->width, canvas->height, &planes);
    if (!status) status = transfer(painting->context, planes, &bare, canvas, IMP_FILTER_LANCZOS, &painting->planes);
    imp_release(painting->context, planes);
    return status;
}

/* The picture before the first iteration, on the canvas of the first scale that has iterations. */
static int create_start(imp_painting *painting, const imp_image *start_image) {
    size_t count = imp_canvas_floats(canvas_of(painting));
    if (start_image) return start_from_image(painting, start_image);
    if (!painting->settings.start_from_noise) return photo_on_canvas(painting, &painting->planes);
    painting->planes = imp_allocate(painting->context, count * sizeof(float));
    if (!painting->planes) return IMP_ERR_MEMORY;
    imp_random random;
    imp_random_seed(&random, painting->settings.seed);
    for (size_t i = 0; i < count; i++)
        painting->planes[i] = fminf(fmaxf((float)(127.5 + NOISE_DEVIATION * imp_random_normal(&random)), 0), 255);
    return IMP_OK;
}

/* The next scale with something to do, from index on; the last one when there is none. */
static int next_scale(const imp_settings *settings, int index) {
    while (index < settings->scale_count - 1 && settings->scales[index].iterations == 0) index++;
    return index;
}

int imp_paint_create(imp_context *context, const imp_model *model, const imp_image *photo,
                     const imp_painting_options *options, imp_painting **out) {
    *out = NULL;
    imp_painting *painting = imp_allocate_zero(context, 1, sizeof *painting);
    if (!painting) return IMP_ERR_MEMORY;
    painting->context = context;
    painting->network = &model->network;
    int status = imp_settings_resolve(context, model, photo->width, photo->height, options, &painting->settings);
    if (!status) {
        painting->scale = next_scale(&painting->settings, 0);
        imp_canvas last = final_canvas(painting);
        status = imp_image_to_planes(context, photo, last.width, last.height, &painting->photo);
    }
    if (!status) status = create_start(painting, options->start_image);
    if (status) {
        imp_painting_free(painting);
        return status;
    }
    *out = painting;
    return IMP_OK;
}

int imp_paint_add_style(imp_painting *painting, const imp_image *image, double weight) {
    imp_context *context = painting->context;
    if (painting->started > 0) return imp_fail(context, IMP_ERR_STATE, "a style cannot be added after the first step");
    if (painting->style_count == MAX_STYLES)
        return imp_fail(context, IMP_ERR_ARGUMENT, "more than %d style pictures", MAX_STYLES);
    if (!(weight > 0 && weight <= 1e15))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the weight of a style is %g; it must be above 0", weight);

    style_picture *style = &painting->styles[painting->style_count];
    imp_canvas last = final_canvas(painting), whole = {image->width, image->height, 0};
    imp_canvas canvas = imp_settings_style_canvas(&painting->settings, painting->network, &whole, &last);
    int status = imp_image_to_planes(context, image, canvas.width, canvas.height, &style->planes);
    if (!status && painting->settings.keep_colors == IMP_COLORS_BEFORE) {
        size_t floats = imp_canvas_floats(&canvas);
        status = imp_colour_match(context, style->planes, floats / 3, painting->photo, imp_canvas_floats(&last) / 3);
        for (size_t i = 0; i < floats; i++) style->planes[i] = fminf(fmaxf(style->planes[i], 0), 255);
    }
    if (status) {
        imp_release(context, style->planes);
        style->planes = NULL;
        return status;
    }
    style->weight = weight;
    painting->style_canvases[painting->style_count++] = canvas;
    painting->budgeted = 0;
    return IMP_OK;
}

/* Bytes that the painting holds before its first step. */
static uint64_t bytes_held(const imp_painting *painting) {
    imp_canvas last = final_canvas(painting);
    size_t floats = imp_canvas_floats(&last) + imp_canvas_floats(canvas_of(painting));
    for (int i = 0; i < painting->style_count; i++) floats += imp_canvas_floats(&painting->style_canvases[i]);
    return floats * sizeof(float);
}

/* Shares the memory limit out over the scales, what others hold in this context left out. */
static int make_budget(imp_painting *painting, imp_estimate *estimate) {
    imp_context *context = painting->context;
    imp_settings *settings = &painting->settings;
    uint64_t limit = context->options.memory_limit, held = bytes_held(painting);
    uint64_t now = atomic_load_explicit(&context->memory_now, memory_order_relaxed);
    uint64_t others = now > held ? now - held : 0;
    /* What there is for each thread must not change how the picture is painted. */
    others = (others + OTHERS_STEP - 1) / OTHERS_STEP * OTHERS_STEP;
    imp_budget budget = {.context = context,
                         .network = painting->network,
                         .settings = settings,
                         .styles = painting->style_canvases,
                         .style_count = painting->style_count,
                         .limit = imp_limit_left(limit, others)};
    for (int i = next_scale(settings, 0); i < settings->scale_count; i++) {
        uint64_t bytes;
        double operations;
        if (settings->scales[i].iterations == 0 && i != painting->scale) continue;
        int status = imp_budget_scale(&budget, i, &bytes, &operations);
        if (status) return status;
        if (bytes > estimate->bytes) estimate->bytes = bytes;
        estimate->operations += operations * settings->scales[i].iterations;
    }
    painting->budgeted = 1;
    return IMP_OK;
}

int imp_paint_estimate(imp_painting *painting, imp_estimate *estimate) {
    const imp_settings *settings = &painting->settings;
    imp_canvas last = final_canvas(painting);
    if (painting->started <= 0 || !painting->budgeted) {
        imp_estimate sum = {.width = last.width, .height = last.height, .scales = settings->scale_count};
        sum.iterations = imp_settings_iterations(settings);
        int status = make_budget(painting, &sum);
        if (status) return status;
        painting->estimate = sum;
    }
    *estimate = painting->estimate;
    return IMP_OK;
}

static int add_styles(imp_painting *painting) {
    int status = IMP_OK;
    for (int i = 0; i < painting->style_count && !status; i++) {
        style_picture *style = &painting->styles[i];
        const imp_canvas *whole = &painting->style_canvases[i];
        imp_canvas canvas =
            imp_settings_style_canvas(&painting->settings, painting->network, whole, canvas_of(painting));
        uint64_t memory = current(painting)->style_memory;
        float *planes = style->planes;
        if (!imp_canvas_is_same(whole, &canvas)) {
            size_t bytes = imp_canvas_floats(&canvas) * sizeof(float);
            status = transfer(painting->context, style->planes, whole, &canvas, IMP_FILTER_LANCZOS, &planes);
            memory = imp_limit_left(memory, bytes);
        }
        if (!status)
            status = imp_criterion_add_style(painting->criterion, planes, canvas.width, canvas.height, style->weight,
                                             memory);
        if (planes != style->planes) imp_release(painting->context, planes);
    }
    return status;
}

static void release_criterion(imp_painting *painting) {
    imp_criterion_free(painting->criterion);
    imp_release(painting->context, painting->gradient);
    painting->criterion = NULL;
    painting->gradient = NULL;
}

static int create_criterion(imp_painting *painting) {
    const imp_canvas *canvas = canvas_of(painting);
    imp_canvas last = final_canvas(painting);
    float *photo = imp_canvas_is_same(canvas, &last) ? painting->photo : NULL;
    int status = imp_criterion_create(painting->context, painting->network, &painting->settings,
                                      imp_canvas_width(canvas), imp_canvas_height(canvas), &painting->criterion);
    if (!status) status = add_styles(painting);
    if (!status && !photo) status = photo_on_canvas(painting, &photo);
    if (!status) status = imp_criterion_set_content(painting->criterion, photo, current(painting)->memory);
    if (photo != painting->photo) imp_release(painting->context, photo);
    return status;
}

/* Says how the current scale keeps to the memory limit, where it has to do something for it. */
static void tell_budget(const imp_painting *painting) {
    const imp_scale *scale = current(painting);
    int pairs = painting->settings.preset->history;
    if (scale->windows > 1)
        imp_log(painting->context, IMP_LOG_INFO,
                "%d x %d pixels: the network runs in %d strips to keep to the memory limit", scale->canvas.width,
                scale->canvas.height, scale->windows);
    if (painting->settings.optimizer != IMP_OPTIMIZER_ADAM && scale->history < pairs)
        imp_log(painting->context, IMP_LOG_WARNING,
                "%d x %d pixels: L-BFGS keeps %d pairs in place of %d to keep to the memory limit, and may need more "
                "iterations",
                scale->canvas.width, scale->canvas.height, scale->history, pairs);
}

/* Makes the criterion and descent of the current scale, unless they are there. */
static int prepare_scale(imp_painting *painting) {
    if (painting->criterion) return IMP_OK;
    const imp_canvas *canvas = canvas_of(painting);
    imp_descent *descent = NULL;
    imp_estimate estimate;
    int status = painting->budgeted ? IMP_OK : imp_paint_estimate(painting, &estimate);
    if (status) return status;
    painting->gradient = imp_allocate(painting->context, imp_canvas_floats(canvas) * sizeof(float));
    if (!painting->gradient) return IMP_ERR_MEMORY;
    if (painting->settings.optimizer != IMP_OPTIMIZER_ADAM) { /* which carries nothing over */
        imp_descent_free(painting->descent);
        painting->descent = NULL;
    }
    tell_budget(painting);
    status = imp_descent_create(painting->context, &painting->settings, canvas, current(painting)->history,
                                painting->descent, &descent);
    if (!status) {
        imp_descent_free(painting->descent);
        painting->descent = descent;
        status = create_criterion(painting);
    }
    if (status) release_criterion(painting); /* half a criterion must not pass for one in the next call */
    return status;
}

/* The share of the whole work that lies before the end of `iterations` on a scale; pixels times iterations is work. */
static double work_until(const imp_settings *settings, int scale, double scale_iterations) {
    double before = 0, all = 0;
    for (int i = 0; i < settings->scale_count; i++) {
        double pixels = (double)imp_canvas_floats(&settings->scales[i].canvas);
        all += pixels * settings->scales[i].iterations;
        if (i < scale) before += pixels * settings->scales[i].iterations;
        if (i == scale) before += pixels * scale_iterations;
    }
    return all > 0 ? before / all : 1;
}

/* Whether the current scale has had its iterations, or its share of the time. */
static int scale_is_over(const imp_painting *painting) {
    const imp_settings *settings = &painting->settings;
    if (settings->count_iterations && painting->scale_iteration >= current(painting)->iterations) return 1;
    if (settings->time_limit == 0) return 0;
    double share = work_until(settings, painting->scale, current(painting)->iterations);
    return imp_seconds() - painting->started >= settings->time_limit * share;
}

/* Whether no later scale has iterations. */
static int is_last_scale(const imp_painting *painting) {
    const imp_settings *settings = &painting->settings;
    for (int i = painting->scale + 1; i < settings->scale_count; i++)
        if (settings->scales[i].iterations > 0) return 0;
    return 1;
}

/* Carries the picture to the next scale that has iterations. */
static int advance_scale(imp_painting *painting) {
    int index = next_scale(&painting->settings, painting->scale + 1);
    const float *picture = imp_descent_picture(painting->descent, painting->planes);
    float *planes;
    release_criterion(painting); /* its memory may be what the larger picture needs */
    int status = transfer(painting->context, picture, canvas_of(painting), &painting->settings.scales[index].canvas,
                          IMP_FILTER_BICUBIC, &planes);
    if (status) return status;
    imp_release(painting->context, painting->planes);
    painting->planes = planes;
    painting->scale = index;
    painting->scale_iteration = 0;
    painting->scale_over = 0;
    return IMP_OK;
}

/* Puts the picture back to the last good one and says what to do. */
static int fail_numeric(imp_painting *painting) {
    const imp_canvas *canvas = canvas_of(painting);
    if (painting->descent && imp_descent_last_good(painting->descent))
        memcpy(painting->planes, imp_descent_last_good(painting->descent), imp_canvas_floats(canvas) * sizeof(float));
    painting->failed = 1;
    return imp_fail(painting->context, IMP_ERR_NUMERIC,
                    "the loss is no longer a finite number (iteration %d, %d x %d pixels): lower the learning rate or "
                    "the content and style weights%s",
                    painting->iteration + 1, canvas->width, canvas->height,
                    painting->iteration > 0 ? "; the picture is the last good one" : "");
}

static void report(const imp_painting *painting, const imp_losses *losses, imp_progress *progress) {
    const imp_settings *settings = &painting->settings;
    const imp_canvas *canvas = canvas_of(painting);
    double seconds = painting->started > 0 ? imp_seconds() - painting->started : 0;
    double share = work_until(settings, painting->scale, painting->scale_iteration);
    double left = share > 0 ? seconds * (1 - share) / share : 0;
    if (settings->time_limit > 0 && (!settings->count_iterations || left > settings->time_limit - seconds))
        left = settings->time_limit - seconds;
    *progress = (imp_progress){.scale = painting->scale + 1,
                               .scales = settings->scale_count,
                               .width = canvas->width,
                               .height = canvas->height,
                               .iteration = painting->iteration,
                               .iterations = imp_settings_iterations(settings),
                               .scale_iteration = painting->scale_iteration,
                               .total_loss = losses->total,
                               .content_loss = losses->content,
                               .style_loss = losses->style,
                               .seconds = seconds,
                               .seconds_left = painting->finished ? 0 : fmax(0, left),
                               .done = painting->finished};
}

static int check_can_evaluate(imp_painting *painting) {
    if (painting->style_count == 0)
        return imp_fail(painting->context, IMP_ERR_STATE, "a painting needs a style picture before its first step");
    if (painting->failed)
        return imp_fail(painting->context, IMP_ERR_STATE, "the painting has stopped: its loss was no longer finite");
    return IMP_OK;
}

int imp_paint_losses(imp_painting *painting, imp_progress *progress, float *gradient) {
    imp_losses losses;
    int status = check_can_evaluate(painting);
    if (!status) status = prepare_scale(painting);
    if (!status) status = imp_criterion_evaluate(painting->criterion, painting->planes, &losses, painting->gradient);
    if (status) return status;
    report(painting, &losses, progress);
    if (!gradient) return IMP_OK;
    imp_canvas bare = imp_canvas_bare(canvas_of(painting));
    return imp_canvas_transfer(painting->context, painting->gradient, canvas_of(painting), &bare, IMP_FILTER_BICUBIC,
                               gradient);
}

/* An infinite gradient beside a finite loss shows only in the pixels that it moved. */
static int all_finite(const float *planes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(planes[i])) return 0;
    return 1;
}

/* After an evaluation: one step of the optimiser, and whether the scale or the whole is over. */
static int step_optimizer(imp_painting *painting, const imp_losses *losses) {
    int finite = isfinite(losses->total);
    painting->bad_steps = finite ? 0 : painting->bad_steps + 1;
    if (painting->bad_steps > MAX_BAD_STEPS) return fail_numeric(painting);
    int status =
        imp_descent_step(painting->descent, painting->iteration, painting->planes, losses->total, painting->gradient);
    if (status == IMP_ERR_NUMERIC || (!status && !all_finite(painting->planes, imp_canvas_floats(canvas_of(painting)))))
        return fail_numeric(painting);
    if (status) return status;
    painting->iteration++;
    painting->scale_iteration++;
    painting->scale_over = scale_is_over(painting);
    painting->finished = painting->scale_over && is_last_scale(painting);
    return IMP_OK;
}

int imp_paint_step(imp_painting *painting, imp_progress *progress) {
    imp_losses losses = {0};
    int status = check_can_evaluate(painting);
    if (status) return status;
    if (imp_settings_iterations(&painting->settings) == 0) painting->finished = 1;
    if (!painting->finished) {
        if (painting->started <= 0) painting->started = imp_seconds();
        if (painting->scale_over) status = advance_scale(painting);
        if (!status) status = prepare_scale(painting);
        if (!status)
            status = imp_criterion_evaluate(painting->criterion, painting->planes, &losses, painting->gradient);
        if (!status) status = step_optimizer(painting, &losses);
    }
    if (progress && !status) report(painting, &losses, progress);
    return status;
}

int imp_paint_image(imp_painting *painting, imp_depth depth, imp_image *out) {
    imp_canvas last = final_canvas(painting);
    const float *picture = painting->planes;
    if (painting->descent && painting->scale_iteration > 0 && !painting->failed)
        picture = imp_descent_picture(painting->descent, painting->planes);
    if (imp_canvas_is_same(canvas_of(painting), &last) && painting->settings.keep_colors != IMP_COLORS_AFTER)
        return imp_planes_to_image(painting->context, picture, last.width, last.height, depth, out);
    float *planes;
    int status = transfer(painting->context, picture, canvas_of(painting), &last, IMP_FILTER_BICUBIC, &planes);
    if (!status && painting->settings.keep_colors == IMP_COLORS_AFTER)
        status = imp_colour_keep(painting->context, planes, painting->photo, imp_canvas_floats(&last) / 3);
    if (!status) status = imp_planes_to_image(painting->context, planes, last.width, last.height, depth, out);
    imp_release(painting->context, planes);
    return status;
}

int imp_paint_profile(const imp_painting *painting, int index, imp_node_profile *profile) {
    if (!painting->criterion || !imp_criterion_profile(painting->criterion, index, profile)) return IMP_ERR_ARGUMENT;
    return IMP_OK;
}

imp_context *imp_paint_context(const imp_painting *painting) {
    return painting->context;
}

void imp_painting_free(imp_painting *painting) {
    if (!painting) return;
    imp_context *context = painting->context;
    release_criterion(painting);
    imp_descent_free(painting->descent);
    for (int i = 0; i < painting->style_count; i++) imp_release(context, painting->styles[i].planes);
    imp_release(context, painting->planes);
    imp_release(context, painting->photo);
    imp_release(context, painting);
}
