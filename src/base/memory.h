/* Memory of a context: aligned, counted against its limit, from the caller's allocator where there is one. */
#ifndef IMP_BASE_MEMORY_H
#define IMP_BASE_MEMORY_H

#include "base/context.h"

/* bytes of 64-byte aligned memory, not cleared; 0 bytes give a pointer too. NULL with the error set ("out of
   memory: ..."). The size is kept in front of the block, so that imp_release needs none. Safe from any thread
   of the pool, except that the error is set only by the calling thread's own failure. */
void *imp_allocate(imp_context *context, size_t bytes);

/* count x bytes, cleared; NULL with the error set, also when the product overflows. */
void *imp_allocate_zero(imp_context *context, size_t count, size_t bytes);

/* Grows or shrinks, keeping the contents; memory may be NULL. On failure NULL, and memory is untouched. */
void *imp_reallocate(imp_context *context, void *memory, size_t bytes);

void imp_release(imp_context *context, void *memory);

/* A copy of a string; NULL with the error set. */
char *imp_duplicate(imp_context *context, const char *text);

/* a * b into *product; 0 when it overflows size_t. */
int imp_multiply(size_t a, size_t b, size_t *product);

/* count rounded up to whole steps, for sizes that are known not to overflow. */
static inline size_t imp_round_up(size_t count, size_t step) {
    return (count + step - 1) / step * step;
}

/* What is left of a limit when used bytes are taken from it; 0 is no limit and stays so, nothing left is 1 byte. */
static inline uint64_t imp_limit_left(uint64_t limit, uint64_t used) {
    if (limit == 0) return 0;
    return limit > used ? limit - used : 1;
}

/* Memory that outlives a context, of a model: the allocator of the context that made it, copied, without its limit. */
typedef struct imp_allocator {
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *memory);
    void *user;
} imp_allocator;
imp_allocator imp_context_allocator(const imp_context *context);
void *imp_allocator_take(const imp_allocator *allocator, size_t bytes); /* aligned, not cleared; NULL */
void imp_allocator_give(const imp_allocator *allocator, void *memory);

#endif
