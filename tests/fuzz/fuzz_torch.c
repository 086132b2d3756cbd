/* Fuzzes the readers of torch.save's files: as a zip archive; else as the older form, whose pickles no checksum guards;
 * and as whatever the recognition says it is. */
#include <string.h>

#include "formats/torch.h"
#include "read_tensors.h"

static int parse_any(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out) {
    return imp_tensors_parse(context, bytes, length, "fuzz", out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    int zip = length >= 2 && memcmp(bytes, "PK", 2) == 0;

    read_tensors(zip ? imp_torch_parse_zip : imp_torch_parse_pickle, bytes, length);
    read_tensors(parse_any, bytes, length);
    return 0;
}
