/* Fuzzer of the picture decoders that need no module: JPEG and PNG, with their colour profiles and EXIF data. The size
 * alone must be that of what is decoded. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "impasto_picture.h"

#define MEMORY_LIMIT ((size_t)256 << 20) /* bytes: pictures beyond it cost a fuzzer time and tell nothing */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    imp_context_options options;
    imp_context *context;
    imp_image image;
    int width, height;
    imp_context_options_default(&options);
    options.threads = 1;
    options.memory_limit = MEMORY_LIMIT;
    if (imp_context_create(&options, &context)) return 0;
    int size_status = imp_picture_decode_size(context, bytes, length, "fuzz", &width, &height);
    if (size_status && (width || height || !imp_error(context)[0])) abort();
    int status = imp_picture_decode(context, bytes, length, "fuzz", &image);
    if (status && (image.pixels || !imp_error(context)[0])) abort(); /* a failure leaves no pixels, and says why */
    if (!status && (size_status || width != image.width || height != image.height)) abort();
    if (!status) {
        volatile uint8_t last;
        last = ((const uint8_t *)image.pixels)[image.stride * (size_t)image.height - 1];
        (void)last;
    }
    imp_image_release(context, &image);
    imp_context_free(context);
    return 0;
}
