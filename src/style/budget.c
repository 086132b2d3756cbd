/* Adding up what is there at each moment of a scale, and choosing what fits. */
#include "style/budget.h"

#include <stdio.h>

#include "base/memory.h"
#include "style/descent.h"

#define LEAST_PAIRS 3           /* of L-BFGS: with fewer it needs many more iterations for the same loss */
#define MUCH_WORK 2.5           /* times that of no limit: fewer pairs cost less than low windows do from here on */
#define SMALL_THINGS (1u << 17) /* bytes: structs, and a header of 64 for each block of memory */

/* The moments of a scale that may be the fullest. */
typedef struct scale_bytes {
    uint64_t common;  /* there as long as the criterion: pictures, descents, and photos and styles where they stay */
    uint64_t early;   /* of the last scale, there until the criterion knows them: styles, photos */
    uint64_t beside;  /* the most that comes beside a whole criterion: the photos, the gradient, or a resulting image */
    uint64_t without; /* the most while there is no criterion */
} scale_bytes;

static uint64_t larger(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t bytes_of(const imp_canvas *canvas) {
    return imp_canvas_floats(canvas) * sizeof(float);
}

/* Beside source and result, while planes are brought from one canvas to another. */
static uint64_t bytes_of_transfer(const imp_canvas *from, const imp_canvas *to) {
    imp_canvas bare_from = imp_canvas_bare(from), bare_to = imp_canvas_bare(to);
    int same = from->width == to->width && from->height == to->height;
    if (same) return from->margin && to->margin ? bytes_of(&bare_from) : 0;
    return (from->margin ? bytes_of(&bare_from) : 0) + (to->margin ? bytes_of(&bare_to) : 0);
}

static scale_bytes measure_scale(const imp_budget *budget, int index, int history) {
    const imp_settings *settings = budget->settings;
    const imp_canvas *canvas = &settings->scales[index].canvas;
    imp_canvas last = imp_canvas_bare(&settings->scales[settings->scale_count - 1].canvas);
    int same = imp_canvas_is_same(canvas, &last), stays = !imp_settings_is_last(settings, index);
    uint64_t count = (uint64_t)budget->photos, photo = bytes_of(&last), photos = count * photo, styles = 0;
    uint64_t pictures = count * bytes_of(canvas);
    for (int i = 0; i < budget->style_count; i++) styles += bytes_of(&budget->styles[i]);

    uint64_t photos_stay = stays || settings->keep_colors == IMP_COLORS_AFTER ? photos : 0;
    uint64_t all = SMALL_THINGS + photos + styles, held = SMALL_THINGS + photos_stay + (stays ? styles : 0);
    scale_bytes bytes = {.common = held + pictures + count * imp_descent_measure(settings, canvas, history),
                         .early = all - held};
    /* The image that the result is written to has two bytes a sample at most, half of a plane's. */
    bytes.beside = (same ? 0 : photo + bytes_of_transfer(canvas, &last)) + photo / 2;
    bytes.beside = larger(bytes.beside, pictures); /* their gradient, which goes before the image comes */
    bytes.beside = larger(bytes.beside, photos - photos_stay + (same ? 0 : pictures));
    bytes.without = bytes.common + bytes.early + pictures + bytes_of_transfer(&last, canvas);
    if (index == 0) return bytes;
    const imp_scale *before = &settings->scales[index - 1];
    uint64_t carried = count * imp_descent_measure(settings, &before->canvas, before->history);
    uint64_t moved = bytes_of_transfer(&before->canvas, canvas);
    bytes.without = larger(bytes.without, all + count * bytes_of(&before->canvas) + carried + pictures + moved);
    if (settings->optimizer == IMP_OPTIMIZER_ADAM)
        bytes.without = larger(bytes.without, bytes.common + bytes.early + carried + moved);
    return bytes;
}

static imp_loss_networks networks_of(const imp_budget *budget, const imp_scale *scale) {
    return imp_settings_networks(budget->settings, scale->is_sketch);
}

/* Bytes at most while the styles are added; the operations of that are added to the scale's preparation. */
static int measure_styles(const imp_budget *budget, imp_scale *scale, uint64_t common, uint64_t *bytes) {
    int status = IMP_OK;
    *bytes = 0;
    for (int i = 0; i < budget->style_count && !status; i++) {
        const imp_canvas *whole = &budget->styles[i];
        imp_canvas style = imp_settings_style_canvas(budget->settings, whole, &scale->canvas);
        uint64_t planes = imp_canvas_is_same(whole, &style) ? 0 : bytes_of(&style);
        imp_strips_cost cost;
        status = imp_criterion_measure_style(budget->context, networks_of(budget, scale), budget->settings,
                                             budget->photos, imp_canvas_width(&scale->canvas),
                                             imp_canvas_height(&scale->canvas), style.width, style.height,
                                             imp_limit_left(budget->limit, common + planes), &cost);
        if (status) return status;
        *bytes = larger(*bytes, common + planes + larger(cost.bytes, bytes_of_transfer(whole, &style)));
        scale->preparation += cost.operations;
    }
    return status;
}

/* Bytes at most with so many pairs, in the cheapest way; fills in the scale. */
static int measure(const imp_budget *budget, int index, int history, uint64_t *bytes) {
    imp_scale *scale = &budget->settings->scales[index];
    scale_bytes parts = measure_scale(budget, index, history);
    uint64_t with_styles;
    imp_strips_cost cost;
    scale->history = history;
    scale->optimizers = (uint64_t)budget->photos * imp_descent_measure(budget->settings, &scale->canvas, history);
    scale->memory = imp_limit_left(budget->limit, parts.common + parts.beside);
    scale->style_memory = imp_limit_left(budget->limit, parts.common + parts.early);
    int status = imp_criterion_measure(budget->context, networks_of(budget, scale), budget->settings, budget->photos,
                                       imp_canvas_width(&scale->canvas), imp_canvas_height(&scale->canvas),
                                       scale->memory, &cost);
    if (status) return status;
    scale->windows = cost.windows;
    scale->uncut = cost.uncut;
    scale->operations = cost.operations;
    scale->preparation = cost.forward;
    status = measure_styles(budget, scale, parts.common + parts.early, &with_styles);
    if (status) return status;
    *bytes = larger(larger(parts.without, with_styles), parts.common + parts.beside + cost.bytes);
    return IMP_OK;
}

static int fail_limit(const imp_budget *budget, const imp_scale *scale, uint64_t bytes) {
    const imp_canvas *canvas = &scale->canvas;
    char whole[IMP_NAME_LENGTH + 64] = "";
    if (scale->uncut) snprintf(whole, sizeof whole, ", since %s cannot run in strips", scale->uncut->architecture);
    return imp_fail(budget->context, IMP_ERR_MEMORY,
                    "out of memory: %d x %d pixels need at least %.0f MB%s, and the limit leaves %.0f MB; use a "
                    "smaller picture or raise the limit",
                    canvas->width, canvas->height, (double)bytes / (1 << 20), whole, (double)budget->limit / (1 << 20));
}

int imp_budget_scale(const imp_budget *budget, int index, uint64_t *bytes) {
    const imp_settings *settings = budget->settings;
    const imp_scale *scale = &settings->scales[index];
    int pairs = settings->preset->history;
    int least = settings->optimizer == IMP_OPTIMIZER_ADAM || pairs < LEAST_PAIRS ? pairs : LEAST_PAIRS;
    imp_budget unlimited = *budget;
    unlimited.limit = 0;
    int status = measure(&unlimited, index, pairs, bytes);
    if (status || budget->limit == 0) return status;
    double work = scale->operations;
    do status = measure(budget, index, pairs, bytes);
    while (!status && (*bytes > budget->limit || scale->operations > MUCH_WORK * work) && pairs-- > least);
    if (status || *bytes <= budget->limit) return status;
    return fail_limit(budget, scale, *bytes);
}

void imp_budget_tell(imp_context *context, const imp_settings *settings, const imp_scale *scale) {
    int pairs = settings->preset->history;
    if (scale->windows > 1)
        imp_log(context, IMP_LOG_INFO, "%d x %d pixels: the network runs in %d strips to keep to the memory limit",
                scale->canvas.width, scale->canvas.height, scale->windows);
    if (settings->optimizer != IMP_OPTIMIZER_ADAM && scale->history < pairs)
        imp_log(context, IMP_LOG_WARNING,
                "%d x %d pixels: L-BFGS keeps %d pairs in place of %d to keep to the memory limit, and may need more "
                "iterations",
                scale->canvas.width, scale->canvas.height, scale->history, pairs);
}
