/* Checks of an imp_image that comes from a caller. */
#include "base/image.h"

#define MAX_CHANNELS 4 /* RGB and alpha */

int imp_image_check_shape(imp_context *context, int width, int height, int channels, imp_depth depth,
                          const char *what) {
    if (width < 1 || height < 1 || width > IMP_IMAGE_MAX_SIDE || height > IMP_IMAGE_MAX_SIDE)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: %d x %d pixels; each side must be from 1 to %d", what, width,
                        height, IMP_IMAGE_MAX_SIDE);
    if (channels < 1 || channels > MAX_CHANNELS)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: %d channels, not 1 to %d", what, channels, MAX_CHANNELS);
    if (depth != IMP_DEPTH_8 && depth != IMP_DEPTH_16 && depth != IMP_DEPTH_F32)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "%s: depth %d is none of IMP_DEPTH_8, IMP_DEPTH_16 and IMP_DEPTH_F32", what, (int)depth);
    return IMP_OK;
}

int imp_image_check(imp_context *context, const imp_image *image, const char *what) {
    if (!image) return imp_fail(context, IMP_ERR_ARGUMENT, "%s: no image (NULL)", what);
    if (image->size < sizeof *image)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: its size field is %zu; set it to sizeof(imp_image), %zu", what,
                        image->size, sizeof *image);
    int status = imp_image_check_shape(context, image->width, image->height, image->channels, image->depth, what);
    if (status) return status;
    if (!image->pixels) return imp_fail(context, IMP_ERR_ARGUMENT, "%s: no pixels (NULL)", what);
    if (image->stride < imp_image_row_bytes(image))
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: the stride of %zu bytes is less than a row of %zu", what,
                        image->stride, imp_image_row_bytes(image));
    if (image->stride > SIZE_MAX / (size_t)image->height)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: the stride of %zu bytes is too large", what, image->stride);
    if ((uintptr_t)image->pixels % (size_t)image->depth || image->stride % (size_t)image->depth)
        return imp_fail(context, IMP_ERR_ARGUMENT, "%s: pixels or stride are not aligned to samples of %d bytes", what,
                        (int)image->depth);
    return IMP_OK;
}
