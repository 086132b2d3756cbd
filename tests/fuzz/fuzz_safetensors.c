/* Fuzzes the reader of safetensors. */
#include "formats/safetensors.h"
#include "read_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    read_tensors(imp_safetensors_parse, bytes, length);
    return 0;
}
