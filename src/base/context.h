/* The context that every call carries: memory with its limit, threads, log, the last error in words. */
#ifndef IMP_BASE_CONTEXT_H
#define IMP_BASE_CONTEXT_H

#include <stdarg.h>
#include <stdatomic.h>

#include "impasto.h"

struct imp_thread_pool;

#define IMP_ERROR_LENGTH 512 /* bytes of the last error, its end included; longer words are cut */
#define IMP_ALIGNMENT 64     /* of all memory: a cache line and a 512-bit vector */

struct imp_context {
    imp_context_options options; /* as given, with the defaults filled in */
    struct imp_thread_pool *pool;
    unsigned cpu_features; /* what the kernels may use: imp_cpu_feature bits */
    atomic_size_t memory_now, memory_peak;
    atomic_flag error_lock; /* held for the moment in which error is written */
    char error[IMP_ERROR_LENGTH];
};

/* Sets the context's last error to these words and returns status, so that `return imp_fail(...)` is one
   line. The words name the thing first: "cat.jpg: truncated JPEG". Line breaks and control characters in them
   become '?'. */
int imp_fail(imp_context *context, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts words before the last error ("vgg19.pth: " + error), keeping status. Returns status. */
int imp_fail_prefix(imp_context *context, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

void imp_log(imp_context *context, imp_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
