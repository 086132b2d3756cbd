/* EXIF orientation: read from the first directory of its TIFF structure (TIFF 6.0, EXIF 2.3), and applied to pixels. */
#include "picture/exif.h"

#include <string.h>

#include "base/image.h"

#define TIFF_HEADER 8 /* bytes: byte order, 42, offset of the first directory */
#define TIFF_ENTRY 12 /* bytes of a directory entry: tag, type, count, value */
#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define UPRIGHT 1
#define FIRST_TURNED 5 /* by a quarter, from here on */
#define LAST 8

static unsigned read_16(const uint8_t *at, int big_endian) {
    return big_endian ? (unsigned)at[0] << 8 | at[1] : (unsigned)at[1] << 8 | at[0];
}

static uint32_t read_32(const uint8_t *at, int big_endian) {
    uint32_t first = read_16(at, big_endian), second = read_16(at + 2, big_endian);
    return big_endian ? first << 16 | second : second << 16 | first;
}

int imp_exif_orientation(const uint8_t *bytes, size_t length) {
    if (length < TIFF_HEADER) return UPRIGHT;
    int big_endian = memcmp(bytes, "MM\0*", 4) == 0;
    if (!big_endian && memcmp(bytes, "II*\0", 4) != 0) return UPRIGHT;
    size_t offset = read_32(bytes + 4, big_endian);
    if (offset > length - 2) return UPRIGHT;
    unsigned count = read_16(bytes + offset, big_endian);
    const uint8_t *entry = bytes + offset + 2, *end = bytes + length;
    for (; count > 0 && end - entry >= TIFF_ENTRY; count--, entry += TIFF_ENTRY) {
        if (read_16(entry, big_endian) != TAG_ORIENTATION) continue;
        unsigned value = read_16(entry + 8, big_endian);
        if (read_16(entry + 2, big_endian) != TYPE_SHORT || value < UPRIGHT || value > LAST) return UPRIGHT;
        return (int)value;
    }
    return UPRIGHT;
}

/* How the upright picture walks through the stored one: from pixel start, by across for each column and down
   for each row, in bytes. */
typedef struct walk {
    ptrdiff_t start, across, down;
} walk;

static walk orientation_walk(int orientation, const imp_image *image) {
    ptrdiff_t pixel = image->channels * (ptrdiff_t)image->depth, row = (ptrdiff_t)image->stride;
    ptrdiff_t right = (image->width - 1) * pixel, bottom = (image->height - 1) * row;
    switch (orientation) {
    case 2: /* mirrored */
        return (walk){right, -pixel, row};
    case 3: /* upside down */
        return (walk){right + bottom, -pixel, -row};
    case 4: /* mirrored and upside down */
        return (walk){bottom, pixel, -row};
    case 5: /* rows and columns swapped */
        return (walk){0, row, pixel};
    case 6: /* to be turned clockwise */
        return (walk){bottom, -row, pixel};
    case 7: /* swapped and upside down */
        return (walk){right + bottom, -row, -pixel};
    case 8: /* to be turned counter-clockwise */
        return (walk){right, row, -pixel};
    default:
        return (walk){0, pixel, row};
    }
}

void imp_exif_apply_to_size(int orientation, int *width, int *height) {
    int stored = *width;
    if (orientation < FIRST_TURNED || orientation > LAST) return;
    *width = *height;
    *height = stored;
}

int imp_exif_apply(imp_context *context, int orientation, imp_image *image) {
    if (orientation <= UPRIGHT || orientation > LAST) return IMP_OK;
    int width = image->width, height = image->height;
    imp_image upright;
    imp_exif_apply_to_size(orientation, &width, &height);
    int status = imp_image_create(context, width, height, image->channels, image->depth, &upright);
    if (status) return status;
    walk step = orientation_walk(orientation, image);
    size_t pixel = (size_t)image->channels * (size_t)image->depth;
    const uint8_t *start = (const uint8_t *)image->pixels + step.start;
    for (int y = 0; y < upright.height; y++) {
        uint8_t *out = (uint8_t *)upright.pixels + (size_t)y * upright.stride;
        const uint8_t *from = start + y * step.down;
        for (int x = 0; x < upright.width; x++) memcpy(out + (size_t)x * pixel, from + x * step.across, pixel);
    }
    imp_image_release(context, image);
    *image = upright;
    return IMP_OK;
}
