/* What both fuzzers do with a file that was read: take the tensors' elements, within bounds. */
#ifndef IMP_TESTS_READ_TENSORS_H
#define IMP_TESTS_READ_TENSORS_H

#include "formats/tensors.h"

/* A parser under test; the fuzzer's entry is called by libFuzzer or by replay.c. */
typedef int tensor_parser(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out);

void read_tensors(tensor_parser *parse, const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#endif
