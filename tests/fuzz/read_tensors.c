/* What both fuzzers do with a file that was read. */
#include "read_tensors.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMORY_LIMIT ((size_t)256 << 20)
/* of a tensor, and of all together four times as many; an expanded one may have billions */
#define ELEMENTS ((size_t)1 << 16)

static void fail(const char *what) {
    fprintf(stderr, "fuzzer: %s\n", what);
    abort();
}

static void read_elements(imp_context *context, imp_tensors *tensors) {
    static float values[ELEMENTS];
    size_t left = 4 * ELEMENTS;

    for (int i = 0; i < tensors->count; i++) {
        const imp_named_tensor *tensor = &tensors->tensors[i];
        if (!imp_tensors_find(tensors, tensor->name)) fail("a tensor without a name");
        if (tensor->count > ELEMENTS || tensor->count > left) continue;
        left -= tensor->count;
        if (imp_tensors_to_f32(context, tensors, tensor, values) != IMP_OK && !imp_error(context)[0])
            fail("a failure without words");
    }
}

void read_tensors(tensor_parser *parse, const uint8_t *bytes, size_t length) {
    imp_context_options options;
    imp_context_info before = {.size = sizeof before}, after = {.size = sizeof after};
    imp_context *context;
    imp_tensors tensors = {0};

    imp_context_options_default(&options);
    options.threads = 1;
    options.memory_limit = MEMORY_LIMIT;
    if (imp_context_create(&options, &context) != IMP_OK) fail("no context");
    imp_context_get_info(context, &before);
    if (parse(context, bytes, length, &tensors) == IMP_OK)
        read_elements(context, &tensors);
    else if (!imp_error(context)[0])
        fail("a failure without words");
    imp_tensors_release(context, &tensors);
    imp_context_get_info(context, &after);
    if (before.memory_now != after.memory_now) fail("memory was left behind");
    imp_context_free(context);
}
