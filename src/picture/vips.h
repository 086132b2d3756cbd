/* What the picture library and the module over libvips say to each other. The module is a shared object of its own,
 * opened when a file needs it, so that libvips and the hundred libraries behind it are loaded, and installed, only
 * where they are used. */
#ifndef IMP_PICTURE_VIPS_H
#define IMP_PICTURE_VIPS_H

#include <stddef.h>
#include <stdint.h>

#define IMP_VIPS_INTERFACE 1 /* counts up when anything here changes */
#define IMP_VIPS_MODULE_FILE "impasto_vips.so"
#define IMP_VIPS_MODULE_SYMBOL "imp_vips_module_get"

typedef enum imp_vips_format { IMP_VIPS_WEBP, IMP_VIPS_TIFF, IMP_VIPS_HEIF, IMP_VIPS_GIF } imp_vips_format;

typedef struct imp_vips_picture {
    int width, height, channels;
    int depth;           /* 1 or 2 bytes a sample */
    const void *profile; /* ICC profile that the pixels are in (still), or NULL; lives as long as the handle */
    size_t profile_length;
} imp_vips_picture;

/* Functions return 1, or 0 (NULL) with a line of words in error. */
typedef struct imp_vips_module {
    int version; /* IMP_VIPS_INTERFACE */
    /* Reads the header by that format's loader and no other; upright, grey or RGB with or without alpha.
       bytes must stay until close. */
    void *(*open)(const void *bytes, size_t length, imp_vips_format format, imp_vips_picture *picture, char *error,
                  size_t error_size);
    /* Decodes into rows of stride bytes. */
    int (*read)(void *handle, void *pixels, size_t stride, char *error, size_t error_size);
    void (*close)(void *handle);
    int (*can_save)(imp_vips_format format);
    /* pixels: tight rows; the profile is written too. *bytes is released by release. */
    int (*save)(const imp_vips_picture *picture, const void *pixels, imp_vips_format format, int quality, void **bytes,
                size_t *length, char *error, size_t error_size);
    void (*release)(void *bytes);
} imp_vips_module;

#endif
