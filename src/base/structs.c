/* Copies between a caller's structs and ours, by the sizes that both begin with. */
#include "base/structs.h"

#include <string.h>

/* What lies above this is no size but memory that was never set. */
#define MOST_BYTES 65536

static size_t size_of(const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

int imp_struct_check(imp_context *context, const void *given, const char *what) {
    if (!given) return imp_fail(context, IMP_ERR_ARGUMENT, "%s: the struct is NULL", what);
    if (size_of(given) > sizeof(size_t) && size_of(given) <= MOST_BYTES) return IMP_OK;
    return imp_fail(context, IMP_ERR_ARGUMENT,
                    "%s: its size field is %zu; set it to the struct's sizeof, or fill it with its _default function",
                    what, size_of(given));
}

int imp_struct_read(imp_context *context, const void *given, void *ours, size_t bytes, const char *what) {
    int status = imp_struct_check(context, given, what);
    if (status) return status;
    memcpy(ours, given, lesser(size_of(given), bytes));
    memcpy(ours, &bytes, sizeof bytes);
    return IMP_OK;
}

void imp_struct_write(void *given, const void *ours, size_t bytes) {
    size_t size = size_of(given);
    memcpy(given, ours, lesser(size, bytes));
    memcpy(given, &size, sizeof size);
}
