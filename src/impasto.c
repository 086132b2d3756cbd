/* The public interface of paintings: the caller's structs checked, then style/painting.h. What the other folders offer
 * to the public (contexts, models, images) stands where it is made. */
#include "impasto.h"

#include "base/image.h"
#include "base/structs.h"
#include "style/losses.h"
#include "style/painting.h"
#include "style/settings.h"

int imp_painting_create(imp_context *context, const imp_model *model, const imp_image *photo,
                        const imp_painting_options *options, imp_painting **painting) {
    imp_painting_options complete;
    if (painting) *painting = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    imp_painting_options_default(&complete);
    int status = options ? imp_struct_read(context, options, &complete, sizeof complete, "painting options") : IMP_OK;
    if (status) return status;
    if (!painting || !photo || (!model && !complete.models))
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_painting_create: model, photo or painting is NULL");
    status = imp_image_check(context, photo, "photo");
    if (!status && complete.start_image) status = imp_image_check(context, complete.start_image, "start image");
    return status ? status : imp_paint_create(context, model, photo, &complete, painting);
}

int imp_painting_size(imp_context *context, int photo_width, int photo_height, const imp_painting_options *options,
                      int *width, int *height) {
    imp_painting_options complete;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!width || !height) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_painting_size: width or height is NULL");
    if (photo_width < 1 || photo_height < 1)
        return imp_fail(context, IMP_ERR_ARGUMENT, "a photo of %d x %d pixels", photo_width, photo_height);
    imp_painting_options_default(&complete);
    int status = options ? imp_struct_read(context, options, &complete, sizeof complete, "painting options") : IMP_OK;
    if (status) return status;
    return imp_settings_size(context, photo_width, photo_height, complete.longer_side, complete.enlarge, width, height);
}

int imp_painting_add_photo(imp_painting *painting, const imp_image *photo, const imp_image *start_image) {
    if (!painting) return IMP_ERR_ARGUMENT;
    imp_context *context = imp_paint_context(painting);
    if (!photo) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_painting_add_photo: photo is NULL");
    int status = imp_image_check(context, photo, "photo");
    if (!status && start_image) status = imp_image_check(context, start_image, "start image");
    return status ? status : imp_paint_add_photo(painting, photo, start_image);
}

int imp_painting_add_style(imp_painting *painting, const imp_image *style, double weight) {
    if (!painting) return IMP_ERR_ARGUMENT;
    if (!style) return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT, "imp_painting_add_style: style is NULL");
    int status = imp_image_check(imp_paint_context(painting), style, "style");
    return status ? status : imp_paint_add_style(painting, style, weight);
}

int imp_painting_estimate(imp_painting *painting, imp_estimate *estimate) {
    imp_estimate ours;
    if (!painting) return IMP_ERR_ARGUMENT;
    int status = imp_struct_check(imp_paint_context(painting), estimate, "estimate");
    if (!status) status = imp_paint_estimate(painting, &ours);
    if (!status) imp_struct_write(estimate, &ours, sizeof ours);
    return status;
}

int imp_painting_most_photos(imp_painting *painting, int *photos) {
    if (!painting) return IMP_ERR_ARGUMENT;
    if (!photos)
        return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT, "imp_painting_most_photos: photos is NULL");
    return imp_paint_most_photos(painting, photos);
}

int imp_painting_estimate_seconds(imp_painting *painting, double *seconds) {
    if (!painting) return IMP_ERR_ARGUMENT;
    if (!seconds)
        return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT,
                        "imp_painting_estimate_seconds: seconds is NULL");
    return imp_paint_estimate_seconds(painting, seconds);
}

/* Of a photo, into the caller's struct, whose size was checked; NULL: not asked for. */
static int tell_progress(const imp_painting *painting, int photo, imp_progress *progress) {
    imp_progress ours;
    if (!progress) return IMP_OK;
    imp_paint_progress(painting, photo, &ours);
    imp_struct_write(progress, &ours, sizeof ours);
    return IMP_OK;
}

int imp_painting_step(imp_painting *painting, imp_progress *progress) {
    if (!painting) return IMP_ERR_ARGUMENT;
    int status = progress ? imp_struct_check(imp_paint_context(painting), progress, "progress") : IMP_OK;
    if (!status) status = imp_paint_step(painting);
    return status ? status : tell_progress(painting, 0, progress);
}

static int check_index(const imp_painting *painting, int photo) {
    int count = imp_paint_photo_count(painting);
    if (photo >= 0 && photo < count) return IMP_OK;
    return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT, "photo %d of a painting with %d", photo, count);
}

int imp_painting_progress(const imp_painting *painting, int photo, imp_progress *progress) {
    if (!painting) return IMP_ERR_ARGUMENT;
    int status = imp_struct_check(imp_paint_context(painting), progress, "progress");
    if (!status) status = check_index(painting, photo);
    return status ? status : tell_progress(painting, photo, progress);
}

int imp_painting_losses(imp_painting *painting, imp_progress *losses, float *gradient) {
    if (!painting) return IMP_ERR_ARGUMENT;
    int status = losses ? imp_struct_check(imp_paint_context(painting), losses, "losses") : IMP_OK;
    if (!status) status = imp_paint_losses(painting, gradient);
    return status ? status : tell_progress(painting, 0, losses);
}

int imp_painting_image(imp_painting *painting, imp_depth depth, imp_image *out) {
    return imp_painting_image_of(painting, 0, depth, out);
}

int imp_painting_image_of(imp_painting *painting, int photo, imp_depth depth, imp_image *out) {
    if (!painting) return IMP_ERR_ARGUMENT;
    if (!out) return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT, "imp_painting_image: out is NULL");
    *out = (imp_image){.size = sizeof *out};
    if (depth != IMP_DEPTH_8 && depth != IMP_DEPTH_16 && depth != IMP_DEPTH_F32)
        return imp_fail(imp_paint_context(painting), IMP_ERR_ARGUMENT, "imp_painting_image: depth is %d, not 1, 2 or 4",
                        (int)depth);
    int status = check_index(painting, photo);
    return status ? status : imp_paint_image(painting, photo, depth, out);
}

int imp_painting_profile(const imp_painting *painting, int index, imp_node_profile *profile) {
    imp_node_profile ours;
    if (!painting) return IMP_ERR_ARGUMENT;
    int status = imp_struct_check(imp_paint_context(painting), profile, "profile");
    if (!status) status = imp_paint_profile(painting, index, &ours);
    if (!status) imp_struct_write(profile, &ours, sizeof ours);
    return status;
}

const char *imp_style_loss_name(int index) {
    const imp_style_loss *loss = imp_style_loss_at(index);
    return loss ? loss->name : NULL;
}

const char *imp_style_loss_description(int index) {
    const imp_style_loss *loss = imp_style_loss_at(index);
    return loss ? loss->description : NULL;
}
