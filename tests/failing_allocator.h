/* An allocator for contexts that fails where it is told to and knows what was not given back, and the test that makes
 * each allocation of a scenario fail in turn. */
#ifndef IMP_TESTS_FAILING_ALLOCATOR_H
#define IMP_TESTS_FAILING_ALLOCATOR_H

#include <stdatomic.h>

#include "impasto.h"

typedef struct imp_failing_allocator {
    size_t fail_at;     /* the allocation that fails, counted from 1; 0: none */
    int fail_after;     /* 1: all that follow it fail too */
    atomic_size_t made; /* allocations asked for, the failed ones too */
    atomic_size_t live; /* blocks not released */
} imp_failing_allocator;

/* Makes options use the allocator. */
void imp_failing_allocator_use(imp_failing_allocator *allocator, imp_context_options *options);

/* Runs the scenario in a context of one thread: first without a failure, when it must return IMP_OK, then once for each
   of its allocations (the context's own too) with that one failing, and once more with all from that one on failing,
   when it must return IMP_ERR_MEMORY with words in imp_error. It must never leave memory behind. Models must be freed
   by the scenario too. Returns 0, or -1 after telling on stderr what was wrong. */
int imp_test_every_allocation(int (*scenario)(imp_context *context, void *user), void *user);

/* The same for every step-th allocation only, of scenarios that take seconds. */
int imp_test_some_allocations(int (*scenario)(imp_context *context, void *user), void *user, size_t step);

#endif
