/* Fuzzes the reader of safetensors: with the file as it is, and, so that a change of the header's length is no dead
 * end, with what begins with '{' as a header up to the first zero byte and the data behind that. */
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "read_tensors.h"

#define LENGTH_BYTES 8

static void read_header_and_data(const uint8_t *bytes, size_t length) {
    const uint8_t *zero = memchr(bytes, 0, length);
    size_t header = zero ? (size_t)(zero - bytes) : length;
    size_t data = zero ? length - header - 1 : 0;
    uint8_t *file = malloc(LENGTH_BYTES + header + data);

    if (!file) return;
    for (int i = 0; i < LENGTH_BYTES; i++) file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    memcpy(file + LENGTH_BYTES, bytes, header);
    if (data) memcpy(file + LENGTH_BYTES + header, zero + 1, data);
    read_tensors(imp_safetensors_parse, file, LENGTH_BYTES + header + data);
    free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length > 0 && bytes[0] == '{')
        read_header_and_data(bytes, length);
    else
        read_tensors(imp_safetensors_parse, bytes, length);
    return 0;
}
