/* A painting: from scale to scale, evaluate and step. */
#include "style/painting.h"

#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "style/budget.h"
#include "style/colour.h"
#include "style/image.h"
#include "style/pace.h"
#include "style/pictures.h"

#define MAX_STYLES 64
#define OTHERS_STEP (1u << 20) /* bytes to which what others hold in the context is rounded up */

typedef struct style_picture {
    float *planes; /* at the size that the final scale wants; NULL once that knows the style */
    double weight;
} style_picture;

struct imp_painting {
    imp_context *context;
    imp_settings settings;
    imp_pictures pictures;
    style_picture styles[MAX_STYLES];
    imp_canvas style_canvases[MAX_STYLES];
    int style_count;
    int budgeted;          /* the scales know what memory they may take, */
    imp_estimate estimate; /* and this is what they will */
    imp_paces paces;       /* of evaluations; before they are measured, a second for each operation */

    /* The scale at work: criterion is NULL until its first evaluation. */
    int scale;
    int scale_iteration, iteration;
    imp_criterion *criterion;
    int ready; /* the criterion has its content */

    double started, scale_started; /* imp_seconds; 0: not yet */
    int scale_over, finished;
};

static const imp_scale *current(const imp_painting *painting) {
    return &painting->settings.scales[painting->scale];
}

/* The canvas at work. */
static const imp_canvas *canvas_of(const imp_painting *painting) {
    return &current(painting)->canvas;
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
    painting->paces = (imp_paces){{.each = 1}, {.each = 1}};
    int status = imp_settings_resolve(context, model, photo->width, photo->height, options, &painting->settings);
    painting->pictures = (imp_pictures){.context = context, .settings = &painting->settings};
    if (!status) {
        painting->scale = next_scale(&painting->settings, 0);
        painting->pictures.canvas = *canvas_of(painting);
        status = imp_pictures_add(&painting->pictures, photo, options->start_image);
    }
    if (status) {
        imp_painting_free(painting);
        return status;
    }
    *out = painting;
    return IMP_OK;
}

/* Whether a criterion was made of the photos and styles that there were. */
static int has_begun(const imp_painting *painting) {
    return painting->started > 0 || painting->criterion;
}

int imp_paint_add_photo(imp_painting *painting, const imp_image *photo, const imp_image *start) {
    imp_context *context = painting->context;
    const imp_settings *settings = &painting->settings;
    imp_canvas last = imp_pictures_final(&painting->pictures);
    int width, height;
    if (has_begun(painting)) return imp_fail(context, IMP_ERR_STATE, "a photo cannot be added after the first step");
    if (painting->pictures.count == IMP_MAX_PHOTOS)
        return imp_fail(context, IMP_ERR_ARGUMENT, "more than %d photos in one painting", IMP_MAX_PHOTOS);
    if (settings->keep_colors == IMP_COLORS_BEFORE)
        return imp_fail(
            context, IMP_ERR_ARGUMENT,
            "styles in the colours of one photo are not for others: keep_colors before takes a painting for "
            "each photo");
    int status = imp_settings_size(context, photo->width, photo->height, settings->longer_side, settings->enlarge,
                                   &width, &height);
    if (status) return status;
    if (width != last.width || height != last.height)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "the photo would be painted at %d x %d pixels, and those of this painting at %d x %d: it takes "
                        "another painting",
                        width, height, last.width, last.height);
    status = imp_pictures_add(&painting->pictures, photo, start);
    if (!status) painting->budgeted = 0;
    return status;
}

int imp_paint_add_style(imp_painting *painting, const imp_image *image, double weight) {
    imp_context *context = painting->context;
    if (has_begun(painting)) return imp_fail(context, IMP_ERR_STATE, "a style cannot be added after the first step");
    if (painting->style_count == MAX_STYLES)
        return imp_fail(context, IMP_ERR_ARGUMENT, "more than %d style pictures", MAX_STYLES);
    if (!(weight > 0 && weight <= 1e15))
        return imp_fail(context, IMP_ERR_ARGUMENT, "the weight of a style is %g; it must be above 0", weight);

    style_picture *style = &painting->styles[painting->style_count];
    imp_canvas last = imp_pictures_final(&painting->pictures), whole = {image->width, image->height, 0};
    imp_canvas canvas = imp_settings_style_canvas(&painting->settings, &whole, &last);
    int status = imp_image_to_planes(context, image, canvas.width, canvas.height, &style->planes);
    if (!status && painting->settings.keep_colors == IMP_COLORS_BEFORE) {
        size_t floats = imp_canvas_floats(&canvas);
        status = imp_colour_match(context, style->planes, floats / 3, painting->pictures.photos,
                                  imp_canvas_floats(&last) / 3);
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
    imp_canvas last = imp_pictures_final(&painting->pictures);
    size_t floats = imp_canvas_floats(&last) + imp_canvas_floats(canvas_of(painting));
    floats *= (size_t)painting->pictures.count;
    for (int i = 0; i < painting->style_count; i++) floats += imp_canvas_floats(&painting->style_canvases[i]);
    return floats * sizeof(float);
}

/* What each scale may take: the memory limit without what others hold in this context. */
static imp_budget budget_of(imp_painting *painting) {
    imp_context *context = painting->context;
    uint64_t limit = context->options.memory_limit, held = bytes_held(painting);
    uint64_t now = atomic_load_explicit(&context->memory_now, memory_order_relaxed);
    uint64_t others = now > held ? now - held : 0;
    /* What there is for each thread must not change how the picture is painted. */
    others = (others + OTHERS_STEP - 1) / OTHERS_STEP * OTHERS_STEP;
    return (imp_budget){.context = context,
                        .photos = painting->pictures.count,
                        .settings = &painting->settings,
                        .styles = painting->style_canvases,
                        .style_count = painting->style_count,
                        .limit = imp_limit_left(limit, others)};
}

/* Fills in all scales that have something to do, or the one at work. */
static int share_out(const imp_painting *painting, const imp_budget *budget, imp_estimate *estimate) {
    const imp_settings *settings = &painting->settings;
    for (int i = next_scale(settings, 0); i < settings->scale_count; i++) {
        const imp_scale *scale = &settings->scales[i];
        uint64_t bytes;
        if (scale->iterations == 0 && i != painting->scale) continue;
        int status = imp_budget_scale(budget, i, &bytes);
        if (status) return status;
        if (bytes > estimate->bytes) estimate->bytes = bytes;
        estimate->operations += scale->preparation + scale->operations * scale->iterations;
    }
    return IMP_OK;
}

/* Whether so many photos fit into the limit without strips or fewer pairs of L-BFGS. */
static int fit_at_ease(const imp_painting *painting, const imp_budget *budget, int photos) {
    imp_budget ample = *budget;
    imp_estimate whole = {0};
    ample.photos = photos;
    ample.limit = UINT64_MAX; /* not 0, with which what threads need is counted for those that there are */
    return share_out(painting, &ample, &whole) == IMP_OK && whole.bytes <= budget->limit;
}

int imp_paint_most_photos(imp_painting *painting, int *photos) {
    int fits = 1, too_many = IMP_MAX_PHOTOS + 1;
    if (has_begun(painting))
        return imp_fail(painting->context, IMP_ERR_STATE, "no photo can be added after the first step");
    imp_budget budget = budget_of(painting);
    if (budget.limit == 0) fits = IMP_MAX_PHOTOS;
    while (too_many - fits > 1) {
        int middle = fits + (too_many - fits) / 2;
        if (fit_at_ease(painting, &budget, middle))
            fits = middle;
        else
            too_many = middle;
    }
    painting->budgeted = 0; /* the scales have what was tried */
    *photos = fits;
    return IMP_OK;
}

int imp_paint_estimate(imp_painting *painting, imp_estimate *estimate) {
    const imp_settings *settings = &painting->settings;
    imp_canvas last = imp_pictures_final(&painting->pictures);
    if (painting->started <= 0 || !painting->budgeted) {
        imp_estimate sum = {.width = last.width, .height = last.height, .scales = settings->scale_count};
        sum.iterations = imp_settings_iterations(settings);
        imp_budget budget = budget_of(painting);
        int status = share_out(painting, &budget, &sum);
        if (status) return status;
        painting->budgeted = 1;
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
        imp_canvas canvas = imp_settings_style_canvas(&painting->settings, whole, canvas_of(painting));
        uint64_t memory = current(painting)->style_memory;
        float *planes = style->planes;
        if (!imp_canvas_is_same(whole, &canvas)) {
            size_t bytes = imp_canvas_floats(&canvas) * sizeof(float);
            planes = imp_allocate(painting->context, bytes);
            status =
                planes ? imp_canvas_paint(painting->context, style->planes, whole, &canvas, IMP_FILTER_LANCZOS, planes)
                       : IMP_ERR_MEMORY;
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
    painting->criterion = NULL;
    painting->ready = 0;
    imp_pictures_release_gradient(&painting->pictures);
}

/* Whether no later scale has iterations. */
static int is_last_scale(const imp_painting *painting) {
    return imp_settings_is_last(&painting->settings, painting->scale);
}

/* With its styles; of the last scale their pictures are not kept. */
static int create_criterion(imp_painting *painting) {
    const imp_canvas *canvas = canvas_of(painting);
    imp_loss_networks networks = imp_settings_networks(&painting->settings, current(painting)->is_sketch);
    int status = imp_criterion_create(painting->context, networks, &painting->settings, painting->pictures.count,
                                      imp_canvas_width(canvas), imp_canvas_height(canvas), &painting->criterion);
    if (!status) status = add_styles(painting);
    if (!status) status = imp_criterion_finish_styles(painting->criterion);
    for (int i = 0; i < painting->style_count && !status && is_last_scale(painting); i++) {
        imp_release(painting->context, painting->styles[i].planes);
        painting->styles[i].planes = NULL;
    }
    return status;
}

static int set_content(imp_painting *painting) {
    float *content;
    int status = imp_pictures_content(&painting->pictures, &content);
    if (status) return status;
    status = imp_criterion_set_content(painting->criterion, content, current(painting)->memory);
    if (content != painting->pictures.photos) imp_release(painting->context, content);
    if (!status && is_last_scale(painting)) imp_pictures_release_photos(&painting->pictures);
    return status;
}

/* The descents of the current scale, and its criterion but for the content. */
static int create_scale(imp_painting *painting) {
    imp_budget_tell(painting->context, &painting->settings, current(painting));
    int status = imp_pictures_prepare(&painting->pictures, painting->scale);
    if (!status) status = create_criterion(painting);
    if (status) release_criterion(painting); /* half a criterion must not pass for one in the next call */
    return status;
}

/* Makes what the current scale needs, unless it is there. */
static int prepare_scale(imp_painting *painting) {
    imp_estimate estimate;
    int status = painting->ready || painting->budgeted ? IMP_OK : imp_paint_estimate(painting, &estimate);
    if (!status && !painting->criterion) status = create_scale(painting);
    /* A criterion without its content stays for the next call: the styles in it may be gone. */
    if (!status && !painting->ready) {
        status = set_content(painting);
        painting->ready = !status;
    }
    return status ? status : imp_pictures_make_gradient(&painting->pictures);
}

/* The share of the whole work that lies before the end of `iterations` on a scale. */
static double work_until(const imp_painting *painting, int scale, double scale_iterations) {
    double all = imp_pace_run(&painting->paces, &painting->settings, painting->settings.scale_count, 0);
    return all > 0 ? imp_pace_run(&painting->paces, &painting->settings, scale, scale_iterations) / all : 1;
}

/* Seconds for all photos together; 0: no limit. */
static double time_limit(const imp_painting *painting) {
    return painting->settings.time_limit * painting->pictures.count;
}

int imp_paint_estimate_seconds(imp_painting *painting, double *seconds) {
    const imp_settings *settings = &painting->settings;
    imp_estimate estimate;
    int status = imp_paint_estimate(painting, &estimate);
    if (!status) status = imp_pace_measure(painting->context, settings, painting->pictures.count, &painting->paces);
    if (status) return status;
    *seconds = imp_pace_run(&painting->paces, settings, settings->scale_count, 0);
    if (settings->time_limit > 0 && (!settings->count_iterations || *seconds > time_limit(painting)))
        *seconds = time_limit(painting);
    return IMP_OK;
}

/* When the current scale's share of the time is over. */
static double scale_end(const imp_painting *painting) {
    double share = work_until(painting, painting->scale, current(painting)->iterations);
    return painting->started + time_limit(painting) * share;
}

/* Whether the current scale has had its iterations, or its share of the time. */
static int scale_is_over(const imp_painting *painting) {
    const imp_settings *settings = &painting->settings;
    if (settings->count_iterations && painting->scale_iteration >= current(painting)->iterations) return 1;
    return settings->time_limit > 0 && imp_seconds() >= scale_end(painting);
}

/* Carries the pictures to the next scale that has iterations. */
static int advance_scale(imp_painting *painting) {
    int index = next_scale(&painting->settings, painting->scale + 1);
    release_criterion(painting); /* its memory may be what the larger pictures need */
    int status = imp_pictures_enlarge(&painting->pictures, &painting->settings.scales[index].canvas);
    if (status) return status;
    painting->scale = index;
    painting->scale_started = imp_seconds();
    painting->scale_iteration = 0;
    painting->scale_over = 0;
    return IMP_OK;
}

/* A picture was put back to its last good point: what to do. */
static int fail_numeric(const imp_painting *painting) {
    const imp_canvas *canvas = canvas_of(painting);
    return imp_fail(painting->context, IMP_ERR_NUMERIC,
                    "the loss is no longer a finite number (iteration %d, %d x %d pixels): lower the learning rate or "
                    "the content and style weights%s",
                    painting->iteration + 1, canvas->width, canvas->height,
                    painting->iteration > 0 ? "; the picture is the last good one" : "");
}

void imp_paint_progress(const imp_painting *painting, int index, imp_progress *progress) {
    const imp_settings *settings = &painting->settings;
    const imp_canvas *canvas = canvas_of(painting);
    const imp_losses *losses = &painting->pictures.losses[index];
    double seconds = painting->started > 0 ? imp_seconds() - painting->started : 0, limit = time_limit(painting);
    double share = work_until(painting, painting->scale, painting->scale_iteration);
    double left = share > 0 ? seconds * (1 - share) / share : 0;
    if (limit > 0 && (!settings->count_iterations || left > limit - seconds)) left = limit - seconds;
    *progress = (imp_progress){.scale = painting->scale + 1,
                               .scales = settings->scale_count,
                               .width = canvas->width,
                               .height = canvas->height,
                               .iteration = painting->pictures.each[index].steps,
                               .iterations = imp_settings_iterations(settings),
                               .scale_iteration = painting->scale_iteration,
                               .total_loss = losses->total,
                               .content_loss = losses->content,
                               .style_loss = losses->style,
                               .seconds = seconds,
                               .seconds_left = painting->finished ? 0 : fmax(0, left),
                               .done = painting->finished,
                               .failed = painting->pictures.each[index].failed};
}

/* Whether any picture is still painted. */
static int any_alive(const imp_painting *painting) {
    for (int i = 0; i < painting->pictures.count; i++)
        if (!painting->pictures.each[i].failed) return 1;
    return 0;
}

static int check_can_evaluate(const imp_painting *painting) {
    if (painting->style_count == 0)
        return imp_fail(painting->context, IMP_ERR_STATE, "a painting needs a style picture before its first step");
    if (!any_alive(painting))
        return imp_fail(painting->context, IMP_ERR_STATE, "the painting has stopped: its loss was no longer finite");
    return IMP_OK;
}

static int evaluate(imp_painting *painting, double lead) {
    imp_pictures *pictures = &painting->pictures;
    return imp_criterion_evaluate(painting->criterion, pictures->planes, lead, pictures->losses, pictures->gradient);
}

int imp_paint_losses(imp_painting *painting, float *gradient) {
    const imp_pictures *pictures = &painting->pictures;
    imp_canvas bare = imp_canvas_bare(canvas_of(painting));
    int status = check_can_evaluate(painting);
    if (!status) status = prepare_scale(painting);
    if (!status) status = evaluate(painting, 1);
    for (int i = 0; i < pictures->count && gradient && !status; i++)
        status = imp_canvas_transfer(
            painting->context, pictures->gradient + (size_t)i * imp_canvas_floats(canvas_of(painting)),
            canvas_of(painting), &bare, IMP_FILTER_BICUBIC, gradient + (size_t)i * imp_canvas_floats(&bare));
    return status;
}

/* How much more than its weight the content counts now. That the last scale begins with a sketch's picture changes nothing:
   the lead lets the main networks' style in as slowly as into a photo, without it they take a tenth more iterations. */
static double content_lead(const imp_painting *painting) {
    const imp_settings *settings = &painting->settings;
    double share = 0, after = current(painting)->iterations * (1 - settings->preset->lead_share);
    if (settings->count_iterations && after < 1) return 1; /* too few iterations for the lead to come to its end */
    if (settings->count_iterations)
        share = imp_course_share(0, painting->scale_iteration, current(painting)->iterations);
    if (settings->time_limit > 0)
        share = fmax(share, imp_course_share(painting->scale_started, imp_seconds(), scale_end(painting)));
    return imp_course_lead(settings->preset, share);
}

/* After an evaluation: one step of each picture's optimiser, and whether the scale or the whole is over. */
static int step_pictures(imp_painting *painting, double lead) {
    int status = IMP_OK, settled = 1;
    for (int i = 0; i < painting->pictures.count; i++) {
        const imp_picture *picture = &painting->pictures.each[i];
        if (picture->failed || picture->settled) continue;
        /* While the content leads, the loss is not yet what is made small. */
        status = imp_pictures_step(&painting->pictures, i, lead <= 1);
        if (status && status != IMP_ERR_NUMERIC) return status;
        settled = settled && (picture->failed || picture->settled);
    }
    if (!any_alive(painting)) return fail_numeric(painting);
    painting->iteration++;
    painting->scale_iteration++;
    painting->scale_over = settled || scale_is_over(painting);
    painting->finished = painting->scale_over && is_last_scale(painting);
    return IMP_OK;
}

int imp_paint_step(imp_painting *painting) {
    int status = check_can_evaluate(painting);
    if (status) return status;
    if (imp_settings_iterations(&painting->settings) == 0) painting->finished = 1;
    if (painting->finished) return IMP_OK;
    if (painting->started <= 0) painting->started = painting->scale_started = imp_seconds();
    if (painting->scale_over) status = advance_scale(painting);
    if (!status) status = prepare_scale(painting);
    double lead = content_lead(painting);
    if (!status) status = evaluate(painting, lead);
    return status ? status : step_pictures(painting, lead);
}

int imp_paint_image(imp_painting *painting, int index, imp_depth depth, imp_image *out) {
    imp_pictures_release_gradient(&painting->pictures); /* the next step makes it anew: memory for the image */
    return imp_pictures_image(&painting->pictures, index, painting->scale_iteration, depth, out);
}

int imp_paint_photo_count(const imp_painting *painting) {
    return painting->pictures.count;
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
    imp_criterion_free(painting->criterion);
    imp_pictures_release(&painting->pictures);
    for (int i = 0; i < painting->style_count; i++) imp_release(context, painting->styles[i].planes);
    imp_release(context, painting);
}
