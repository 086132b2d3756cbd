/* The pictures of a painting: begun, prepared, stepped, enlarged, read out. */
#include "style/pictures.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "style/colour.h"
#include "style/image.h"

#define MAX_BAD_STEPS 20     /* losses in a row that are not finite before L-BFGS, which damps its steps, gives up */
#define NOISE_DEVIATION 32.0 /* of the start from noise, around middle grey: an eighth of the range of a pixel */

imp_canvas imp_pictures_final(const imp_pictures *pictures) {
    const imp_settings *settings = pictures->settings;
    return imp_canvas_bare(&settings->scales[settings->scale_count - 1].canvas);
}

/* The planes of one of several pictures. */
static float *planes_of(float *planes, const imp_canvas *canvas, int index) {
    return planes + (size_t)index * imp_canvas_floats(canvas);
}

/* Planes of count pictures. */
static float *allocate_planes(imp_context *context, const imp_canvas *canvas, int count) {
    return imp_allocate_zero(context, (size_t)count, imp_canvas_floats(canvas) * sizeof(float));
}

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

static void fill_with_noise(const imp_settings *settings, float *planes, size_t count) {
    imp_random random;
    imp_random_seed(&random, settings->seed);
    for (size_t i = 0; i < count; i++)
        planes[i] = fminf(fmaxf((float)(127.5 + NOISE_DEVIATION * imp_random_normal(&random)), 0), 255);
}

/* The picture before the first iteration, on the canvas at work. photo: planes at the final size. */
static int fill_start(const imp_pictures *pictures, const float *photo, const imp_image *start, float *planes) {
    const imp_canvas *canvas = &pictures->canvas;
    imp_canvas bare = start ? imp_canvas_bare(canvas) : imp_pictures_final(pictures);
    float *resized = NULL;
    int status = IMP_OK;
    if (!start && pictures->settings->start_from_noise) {
        fill_with_noise(pictures->settings, planes, imp_canvas_floats(canvas));
        return IMP_OK;
    }
    if (start) status = imp_image_to_planes(pictures->context, start, bare.width, bare.height, &resized);
    if (!status)
        status =
            imp_canvas_paint(pictures->context, start ? resized : photo, &bare, canvas, IMP_FILTER_LANCZOS, planes);
    imp_release(pictures->context, resized);
    return status;
}

/* Room for one more in *memory, whose elements are of that many bytes; the new one is zero. */
static int grow(imp_pictures *pictures, void **memory, size_t bytes) {
    size_t count = (size_t)pictures->count;
    void *grown = imp_reallocate(pictures->context, *memory, (count + 1) * bytes);
    if (!grown) return IMP_ERR_MEMORY;
    memset((char *)grown + count * bytes, 0, bytes);
    *memory = grown;
    return IMP_OK;
}

static int grow_all(imp_pictures *pictures) {
    imp_canvas last = imp_pictures_final(pictures);
    void *each = pictures->each, *losses = pictures->losses, *photos = pictures->photos, *planes = pictures->planes;
    int status = grow(pictures, &each, sizeof *pictures->each);
    pictures->each = each;
    if (!status) status = grow(pictures, &losses, sizeof *pictures->losses);
    pictures->losses = losses;
    if (!status) status = grow(pictures, &photos, imp_canvas_floats(&last) * sizeof(float));
    pictures->photos = photos;
    if (!status) status = grow(pictures, &planes, imp_canvas_floats(&pictures->canvas) * sizeof(float));
    pictures->planes = planes;
    return status;
}

int imp_pictures_add(imp_pictures *pictures, const imp_image *photo, const imp_image *start) {
    imp_canvas last = imp_pictures_final(pictures);
    int status = grow_all(pictures);
    if (status) return status;
    float *own = planes_of(pictures->photos, &last, pictures->count);
    float *planes = planes_of(pictures->planes, &pictures->canvas, pictures->count);
    status = imp_image_fill_planes(pictures->context, photo, last.width, last.height, own);
    if (!status) status = fill_start(pictures, own, start, planes);
    if (!status) pictures->count++;
    return status;
}

/* ---- Scales ------------------------------------------------------------------------------------------------------ */

int imp_pictures_prepare(imp_pictures *pictures, int scale) {
    int status = IMP_OK;
    for (int i = 0; i < pictures->count && !status; i++) {
        imp_picture *picture = &pictures->each[i];
        imp_descent *descent;
        if (pictures->settings->optimizer != IMP_OPTIMIZER_ADAM) { /* which carries nothing over */
            imp_descent_free(picture->descent);
            picture->descent = NULL;
        }
        picture->course = (imp_course){0};
        picture->settled = 0;
        status = imp_descent_create(pictures->context, pictures->settings, scale, picture->descent, &descent);
        if (status) break;
        imp_descent_free(picture->descent);
        picture->descent = descent;
    }
    return status;
}

int imp_pictures_make_gradient(imp_pictures *pictures) {
    if (!pictures->gradient)
        pictures->gradient = allocate_planes(pictures->context, &pictures->canvas, pictures->count);
    return pictures->gradient ? IMP_OK : IMP_ERR_MEMORY;
}

int imp_pictures_content(const imp_pictures *pictures, float **content) {
    imp_canvas last = imp_pictures_final(pictures);
    const imp_canvas *canvas = &pictures->canvas;
    *content = pictures->photos;
    if (imp_canvas_is_same(canvas, &last)) return IMP_OK;
    *content = allocate_planes(pictures->context, canvas, pictures->count);
    int status = *content ? IMP_OK : IMP_ERR_MEMORY;
    for (int i = 0; i < pictures->count && !status; i++)
        status = imp_canvas_paint(pictures->context, planes_of(pictures->photos, &last, i), &last, canvas,
                                  IMP_FILTER_LANCZOS, planes_of(*content, canvas, i));
    if (!status) return IMP_OK;
    imp_release(pictures->context, *content);
    *content = NULL;
    return status;
}

/* What an index stands for: the descent's picture, or the last good one, or where it starts. iterations: done at this
   scale. */
static const float *current_of(const imp_pictures *pictures, int index, int iterations) {
    const imp_picture *picture = &pictures->each[index];
    const float *planes = planes_of(pictures->planes, &pictures->canvas, index);
    if (!picture->descent || iterations == 0 || picture->failed) return planes;
    return imp_descent_picture(picture->descent, planes);
}

int imp_pictures_enlarge(imp_pictures *pictures, const imp_canvas *canvas) {
    float *planes = allocate_planes(pictures->context, canvas, pictures->count);
    int status = planes ? IMP_OK : IMP_ERR_MEMORY;
    for (int i = 0; i < pictures->count && !status; i++)
        status = imp_canvas_paint(pictures->context, current_of(pictures, i, 1), &pictures->canvas, canvas,
                                  IMP_FILTER_BICUBIC, planes_of(planes, canvas, i));
    if (status) {
        imp_release(pictures->context, planes);
        return status;
    }
    imp_release(pictures->context, pictures->planes);
    pictures->planes = planes;
    pictures->canvas = *canvas;
    return IMP_OK;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* An infinite gradient beside a finite loss shows only in the pixels that it moved. */
static int all_finite(const float *planes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(planes[i])) return 0;
    return 1;
}

int imp_pictures_step(imp_pictures *pictures, int index, int judge) {
    imp_picture *picture = &pictures->each[index];
    size_t floats = imp_canvas_floats(&pictures->canvas);
    float *planes = planes_of(pictures->planes, &pictures->canvas, index);
    const float *gradient = planes_of(pictures->gradient, &pictures->canvas, index);
    double loss = pictures->losses[index].objective;
    int status = IMP_ERR_NUMERIC;
    picture->bad_steps = isfinite(loss) ? 0 : picture->bad_steps + 1;
    if (picture->bad_steps <= MAX_BAD_STEPS)
        status = imp_descent_step(picture->descent, picture->steps, planes, loss, gradient);
    if (!status && !all_finite(planes, floats)) status = IMP_ERR_NUMERIC;
    if (!status) picture->steps++;
    if (!status && judge)
        picture->settled =
            imp_course_note(&picture->course, pictures->settings->least_gain, pictures->losses[index].total);
    if (status != IMP_ERR_NUMERIC) return status;
    picture->failed = 1;
    if (imp_descent_last_good(picture->descent))
        memcpy(planes, imp_descent_last_good(picture->descent), floats * sizeof(float));
    return status;
}

/* ---- Reading out ------------------------------------------------------------------------------------------------- */

int imp_pictures_image(const imp_pictures *pictures, int index, int iterations, imp_depth depth, imp_image *out) {
    imp_context *context = pictures->context;
    imp_canvas last = imp_pictures_final(pictures);
    const float *picture = current_of(pictures, index, iterations);
    int keep_colors = pictures->settings->keep_colors == IMP_COLORS_AFTER, status = IMP_OK;
    if (imp_canvas_is_same(&pictures->canvas, &last) && !keep_colors)
        return imp_planes_to_image(context, picture, last.width, last.height, depth, out);
    float *planes = allocate_planes(context, &last, 1);
    if (!planes) return IMP_ERR_MEMORY;
    status = imp_canvas_paint(context, picture, &pictures->canvas, &last, IMP_FILTER_BICUBIC, planes);
    if (!status && keep_colors)
        imp_colour_keep(context, planes, planes_of(pictures->photos, &last, index), imp_canvas_floats(&last) / 3);
    if (!status) status = imp_planes_to_image(context, planes, last.width, last.height, depth, out);
    imp_release(context, planes);
    return status;
}

void imp_pictures_release_gradient(imp_pictures *pictures) {
    imp_release(pictures->context, pictures->gradient);
    pictures->gradient = NULL;
}

void imp_pictures_release_photos(imp_pictures *pictures) {
    if (pictures->settings->keep_colors == IMP_COLORS_AFTER) return;
    imp_release(pictures->context, pictures->photos);
    pictures->photos = NULL;
}

void imp_pictures_release(imp_pictures *pictures) {
    imp_context *context = pictures->context;
    imp_pictures_release_gradient(pictures);
    for (int i = 0; i < pictures->count; i++) imp_descent_free(pictures->each[i].descent);
    imp_release(context, pictures->planes);
    imp_release(context, pictures->photos);
    imp_release(context, pictures->losses);
    imp_release(context, pictures->each);
}
