/* Allocations that fail on purpose. */
#include "failing_allocator.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT 64 /* as impasto.h asks of an allocator */

static void *allocate(void *user, size_t bytes) {
    imp_failing_allocator *allocator = user;
    size_t number = atomic_fetch_add(&allocator->made, 1) + 1;
    void *memory;
    if (allocator->fail_at && (allocator->fail_after ? number >= allocator->fail_at : number == allocator->fail_at))
        return NULL;
    if (bytes > SIZE_MAX - ALIGNMENT) return NULL;
    memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (memory) atomic_fetch_add(&allocator->live, 1);
    return memory;
}

static void release(void *user, void *memory) {
    imp_failing_allocator *allocator = user;
    if (memory) atomic_fetch_sub(&allocator->live, 1);
    free(memory);
}

void imp_failing_allocator_use(imp_failing_allocator *allocator, imp_context_options *options) {
    atomic_init(&allocator->made, 0);
    atomic_init(&allocator->live, 0);
    options->allocate = allocate;
    options->release = release;
    options->user = allocator;
}

/* One run; -1 when its outcome is wrong. */
static int run_once(imp_failing_allocator *allocator, int (*scenario)(imp_context *, void *), void *user) {
    imp_context_options options;
    imp_context *context = NULL;
    size_t live;
    int wanted = allocator->fail_at ? IMP_ERR_MEMORY : IMP_OK, silent = 0, created, status;

    imp_context_options_default(&options);
    options.threads = 1;
    imp_failing_allocator_use(allocator, &options);
    status = imp_context_create(&options, &context);
    created = status == IMP_OK;
    if (created) {
        status = scenario(context, user);
        silent = status != IMP_OK && imp_error(context)[0] == 0;
        if (status != wanted)
            fprintf(stderr, "allocation %zu of a scenario failed%s: status %d instead of %d (%s)\n", allocator->fail_at,
                    allocator->fail_after ? ", and all after it" : "", status, wanted, imp_error(context));
    }
    imp_context_free(context);
    live = atomic_load(&allocator->live);
    if (silent) fprintf(stderr, "allocation %zu of a scenario failed: no words in imp_error\n", allocator->fail_at);
    if (live) fprintf(stderr, "allocation %zu of a scenario failed: %zu blocks leaked\n", allocator->fail_at, live);
    return status == wanted && !silent && !live ? 0 : -1;
}

int imp_test_every_allocation(int (*scenario)(imp_context *context, void *user), void *user) {
    return imp_test_some_allocations(scenario, user, 1);
}

int imp_test_some_allocations(int (*scenario)(imp_context *context, void *user), void *user, size_t step) {
    imp_failing_allocator allocator = {0};
    size_t count;
    int result = run_once(&allocator, scenario, user);
    count = atomic_load(&allocator.made);
    for (size_t number = 1; number <= count && result == 0; number += step)
        for (int after = 0; after < 2 && result == 0; after++) {
            allocator.fail_at = number;
            allocator.fail_after = after;
            result = run_once(&allocator, scenario, user);
        }
    return result;
}
