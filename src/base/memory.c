/* Memory of a context: aligned, counted against its limit. */
#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* In front of each block: its size. As long as the alignment, so that what follows is aligned too. */
typedef struct block_header {
    _Alignas(IMP_ALIGNMENT) size_t bytes; /* header included */
} block_header;

_Static_assert(sizeof(block_header) == IMP_ALIGNMENT, "the block after the header must be aligned");

static void describe_bytes(double bytes, char *text, size_t size) {
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;
    if (bytes < 1000) {
        snprintf(text, size, "%.0f bytes", bytes);
        return;
    }
    for (bytes /= 1000; bytes >= 999.95 && unit + 1 < sizeof units / sizeof *units; unit++) bytes /= 1000;
    snprintf(text, size, "%.1f %s", bytes, units[unit]);
}

static void *fail_memory(imp_context *context, double bytes) {
    char needed[32], held[32], limit[32];
    size_t now = atomic_load_explicit(&context->memory_now, memory_order_relaxed);
    describe_bytes(bytes, needed, sizeof needed);
    describe_bytes((double)now, held, sizeof held);
    describe_bytes((double)context->options.memory_limit, limit, sizeof limit);
    if (context->options.memory_limit)
        imp_fail(
            context, IMP_ERR_MEMORY,
            "out of memory: %s more are needed, %s are held, the limit is %s; use a smaller picture or raise the limit",
            needed, held, limit);
    else
        imp_fail(context, IMP_ERR_MEMORY, "out of memory: %s more are needed, %s are held; use a smaller picture",
                 needed, held);
    return NULL;
}

/* Counts bytes as held; 0 when they would pass the limit. */
static int count_bytes(imp_context *context, size_t bytes) {
    size_t limit = context->options.memory_limit ? context->options.memory_limit : SIZE_MAX;
    size_t now = atomic_load_explicit(&context->memory_now, memory_order_relaxed);
    size_t peak = atomic_load_explicit(&context->memory_peak, memory_order_relaxed);
    do {
        if (now > limit || bytes > limit - now) return 0;
    } while (!atomic_compare_exchange_weak(&context->memory_now, &now, now + bytes));
    while (peak < now + bytes && !atomic_compare_exchange_weak(&context->memory_peak, &peak, now + bytes)) {
    }
    return 1;
}

void *imp_allocate(imp_context *context, size_t bytes) {
    block_header *header;
    size_t all = bytes + sizeof *header;
    if (all < bytes || !count_bytes(context, all)) return fail_memory(context, (double)bytes);
    header = context->options.allocate(context->options.user, all);
    if ((uintptr_t)header % IMP_ALIGNMENT != 0) {
        context->options.release(context->options.user, header);
        atomic_fetch_sub(&context->memory_now, all);
        imp_fail(context, IMP_ERR_MEMORY, "the caller's allocator returned memory that is not aligned to %d bytes",
                 IMP_ALIGNMENT);
        return NULL;
    }
    if (!header) {
        atomic_fetch_sub(&context->memory_now, all);
        return fail_memory(context, (double)bytes);
    }
    header->bytes = all;
    return header + 1;
}

void *imp_allocate_zero(imp_context *context, size_t count, size_t bytes) {
    size_t product;
    void *memory;
    if (!imp_multiply(count, bytes, &product)) return fail_memory(context, (double)count * (double)bytes);
    memory = imp_allocate(context, product);
    if (memory) memset(memory, 0, product);
    return memory;
}

void *imp_reallocate(imp_context *context, void *memory, size_t bytes) {
    void *moved = imp_allocate(context, bytes);
    if (!moved || !memory) return moved;
    size_t before = ((block_header *)memory - 1)->bytes - sizeof(block_header);
    memcpy(moved, memory, before < bytes ? before : bytes);
    imp_release(context, memory);
    return moved;
}

void imp_release(imp_context *context, void *memory) {
    block_header *header;
    if (!memory) return;
    header = (block_header *)memory - 1;
    atomic_fetch_sub(&context->memory_now, header->bytes);
    context->options.release(context->options.user, header);
}

char *imp_duplicate(imp_context *context, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = imp_allocate(context, bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

int imp_multiply(size_t a, size_t b, size_t *product) {
    if (b != 0 && a > SIZE_MAX / b) return 0;
    *product = a * b;
    return 1;
}

imp_allocator imp_context_allocator(const imp_context *context) {
    return (imp_allocator){
        .allocate = context->options.allocate,
        .release = context->options.release,
        .user = context->options.user,
    };
}

void *imp_allocator_take(const imp_allocator *allocator, size_t bytes) {
    return allocator->allocate(allocator->user, bytes ? bytes : 1);
}

void imp_allocator_give(const imp_allocator *allocator, void *memory) {
    if (memory) allocator->release(allocator->user, memory);
}
