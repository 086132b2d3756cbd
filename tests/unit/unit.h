/* What unit tests begin with: cmocka with the headers that it wants before it, and contexts. */
#ifndef IMP_TESTS_UNIT_H
#define IMP_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "impasto.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* memory_limit: 0 for none; instruction_set: NULL for the best. */
static inline imp_context *make_context_on(int threads, size_t memory_limit, const char *instruction_set) {
    imp_context_options options;
    imp_context *context;
    imp_context_options_default(&options);
    options.threads = threads;
    options.memory_limit = memory_limit;
    options.instruction_set = instruction_set;
    assert_int_equal(imp_context_create(&options, &context), IMP_OK);
    return context;
}

static inline imp_context *make_context(int threads, size_t memory_limit) {
    return make_context_on(threads, memory_limit, NULL);
}

#endif
