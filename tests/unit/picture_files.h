/* Picture files for tests, made by libjpeg and libpng themselves. Pixels are functions of their place, so that what was
 * read can be told right from wrong without a stored picture. */
#ifndef IMP_TESTS_PICTURE_FILES_H
#define IMP_TESTS_PICTURE_FILES_H

#include <stddef.h>
#include <stdint.h>

typedef struct test_file {
    uint8_t *bytes; /* by malloc */
    size_t length;
} test_file;

/* Sample c of pixel (x, y), 0..most. */
typedef unsigned test_pattern(int x, int y, int c, unsigned most);

/* A slope in every channel, which JPEG keeps within a few steps. */
unsigned test_slope(int x, int y, int c, unsigned most);
/* Something else everywhere. */
unsigned test_noise(int x, int y, int c, unsigned most);

typedef struct test_jpeg {
    int width, height, components; /* 1 grey, 3 RGB, 4 CMYK */
    int rgb, ycck;                 /* stored as RGB instead of YCbCr, as YCCK instead of CMYK */
    int progressive, without_adobe, arithmetic;
    int orientation; /* 0: no EXIF */
    const void *profile;
    size_t profile_length;
    test_pattern *pattern;
} test_jpeg;
test_file test_jpeg_make(const test_jpeg *recipe);

typedef struct test_png {
    int width, height, colour_type, bits, interlaced;
    int transparent; /* tRNS: palette entry 1 has alpha 77, or the colour of pixel (0, 0) is transparent */
    int orientation, exif_at_end;
    double gamma;
    int srgb;
    const void *profile;
    size_t profile_length;
    test_pattern *pattern;
} test_png;
test_file test_png_make(const test_png *recipe);

/* Row and column of the stored picture's pixel that an upright picture of width x height has at (x, y), as EXIF 2.3
   defines orientations: by the sides that stored row 0 and column 0 are. */
void test_exif_place(int orientation, int width, int height, int x, int y, int *stored_x, int *stored_y);

/* ICC profiles: linear light with sRGB's primaries (over 64 KiB with padded, so that a JPEG needs two markers), linear
   grey, and a CMYK printer whose lightness is 100 * (1 - k) * (1 - (c + m + y) / 3). */
test_file test_linear_profile(int grey, int padded);
test_file test_cmyk_profile(void);

#endif
