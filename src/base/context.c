/* Making and freeing a context, and what the public interface tells about one. */
#include "base/context.h"

#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "base/cpu.h"
#include "base/memory.h"
#include "base/structs.h"
#include "base/thread.h"

#define MAX_THREADS 256 /* as impasto.h promises */

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *imp_version(void) {
    return VERSION_TEXT(IMP_VERSION_MAJOR, IMP_VERSION_MINOR, IMP_VERSION_PATCH);
}

const char *imp_status_string(int status) {
    switch (status) {
    case IMP_OK:
        return "no error";
    case IMP_ERR_ARGUMENT:
        return "a value is out of range or unknown";
    case IMP_ERR_MEMORY:
        return "out of memory";
    case IMP_ERR_IO:
        return "a file could not be read or written";
    case IMP_ERR_FORMAT:
        return "a file is damaged or of another kind";
    case IMP_ERR_UNSUPPORTED:
        return "not supported by this build";
    case IMP_ERR_NUMERIC:
        return "a number became infinite or undefined";
    case IMP_ERR_THREAD:
        return "the system gives no more threads; use fewer";
    case IMP_ERR_STATE:
        return "the call does not fit the state of the object";
    default:
        return "unknown error";
    }
}

/* Blocks of which huge pages (of 2 MB on x86 and most ARM64) are asked for. Without them walks through page tables take 5 %
   of an iteration on Linux as Debian sets it up: only who asks for huge pages gets them. */
#define LARGE_BLOCK ((size_t)8 << 20)
#define PAGE ((size_t)4096)

/* aligned_alloc wants a size that is a multiple of the alignment. */
static void *default_allocate(void *user, size_t bytes) {
    size_t alignment = bytes < LARGE_BLOCK ? IMP_ALIGNMENT : PAGE;
    (void)user;
    if (bytes > SIZE_MAX - alignment) return NULL;
    bytes = imp_round_up(bytes, alignment);
    void *memory = aligned_alloc(alignment, bytes);
#ifdef MADV_HUGEPAGE
    /* Best effort: small pages do as well. */
    if (memory && bytes >= LARGE_BLOCK) (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

static void default_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

void imp_context_options_default(imp_context_options *options) {
    if (options) *options = (imp_context_options){.size = sizeof *options};
}

/* Fills in what was left open; 0 when a value is out of range. */
static int complete_options(imp_context_options *options, unsigned *cpu_features) {
    int allowed = imp_cpu_features_allowed(options->instruction_set);
    if (allowed < 0) return 0;
    *cpu_features = imp_cpu_features((unsigned)allowed);
    if (options->threads < 0 || options->threads > MAX_THREADS) return 0;
    if (options->threads == 0) {
        int processors = imp_cpu_count();
        options->threads = processors < MAX_THREADS ? processors : MAX_THREADS;
    }
    if (!options->allocate != !options->release) return 0;
    if (!options->allocate) {
        options->allocate = default_allocate;
        options->release = default_release;
    }
    /* The text is the caller's and may go away; its meaning is in cpu_features now. */
    options->instruction_set = imp_cpu_features_name(*cpu_features);
    return 1;
}

int imp_context_create(const imp_context_options *options, imp_context **context) {
    imp_context_options own;
    unsigned cpu_features;
    imp_context *made;
    int status;

    if (!context) return IMP_ERR_ARGUMENT;
    *context = NULL;
    imp_context_options_default(&own);
    if (options && imp_struct_read(NULL, options, &own, sizeof own, "context options")) return IMP_ERR_ARGUMENT;
    if (!complete_options(&own, &cpu_features)) return IMP_ERR_ARGUMENT;

    made = own.allocate(own.user, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    memset(made, 0, sizeof *made);
    made->options = own;
    made->cpu_features = cpu_features;
    atomic_init(&made->memory_now, 0);
    atomic_init(&made->memory_peak, 0);
    atomic_flag_clear(&made->error_lock);
    status = imp_thread_pool_create(made, own.threads, &made->pool);
    if (status != IMP_OK) {
        imp_context_free(made);
        return status;
    }
    *context = made;
    return IMP_OK;
}

void imp_context_free(imp_context *context) {
    if (!context) return;
    imp_thread_pool_free(context, context->pool);
    context->options.release(context->options.user, context);
}

int imp_context_get_info(const imp_context *context, imp_context_info *info) {
    imp_context_info ours;
    if (!context || imp_struct_check(NULL, info, "context info")) return IMP_ERR_ARGUMENT;
    ours = (imp_context_info){
        .instruction_set = context->options.instruction_set,
        .threads = context->options.threads,
        .memory_now = atomic_load_explicit(&context->memory_now, memory_order_relaxed),
        .memory_peak = atomic_load_explicit(&context->memory_peak, memory_order_relaxed),
    };
    imp_struct_write(info, &ours, sizeof ours);
    return IMP_OK;
}
