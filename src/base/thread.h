/* The thread pool: a fixed number of threads that split a range statically, so that who computes what never
 * depends on luck. */
#ifndef IMP_BASE_THREAD_H
#define IMP_BASE_THREAD_H

#include "base/context.h"

typedef struct imp_thread_pool imp_thread_pool;

/* threads counts the caller, so threads - 1 are started. IMP_ERR_THREAD when the system gives no more, with
   all that were started joined again. */
int imp_thread_pool_create(imp_context *context, int threads, imp_thread_pool **pool);
void imp_thread_pool_free(imp_context *context, imp_thread_pool *pool);
int imp_thread_pool_size(const imp_thread_pool *pool);

/* Calls work(user, begin, end, thread) on disjoint ranges that cover [0, count), thread in [0, pool size);
   returns when all are done. Ranges are contiguous and as even as can be. What work computes for an index
   must not depend on the range it comes in. Not re-entrant. */
typedef void imp_work(void *user, int64_t begin, int64_t end, int thread);
void imp_parallel(imp_context *context, int64_t count, imp_work *work, void *user);

/* The same, but items are handed out one by one as threads become free: for items of unequal cost. */
void imp_parallel_dynamic(imp_context *context, int64_t count, imp_work *work, void *user);

#endif
