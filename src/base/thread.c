/* The thread pool. A job is published by a counter that the workers watch: they spin for a moment, since
 * kernels follow each other closely, then sleep on a condition. */
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"

#define SPINS 4000 /* pauses before a thread sleeps: some 50 microseconds, what two futex calls and a wake-up cost */

typedef struct worker {
    struct imp_thread_pool *pool;
    pthread_t handle;
    int thread; /* 1 on: the caller is 0 */
} worker;

struct imp_thread_pool {
    int size, started;
    int spins;
    worker *workers; /* [size - 1] */

    pthread_mutex_t mutex;
    pthread_cond_t job_here, job_done;
    atomic_uint job;    /* number of the current job, written under the mutex */
    atomic_int working; /* workers that have not finished it */
    atomic_bool busy;   /* between a job's start and its end */
    bool stop;          /* published by job */

    /* The job, published by `job`. */
    imp_work *work;
    void *user;
    int64_t count;
    bool dynamic;
    atomic_llong next; /* the next item of a dynamic job */
};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void run_part(imp_thread_pool *pool, int thread) {
    if (pool->dynamic) {
        for (;;) {
            int64_t item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
            if (item >= pool->count) return;
            pool->work(pool->user, item, item + 1, thread);
        }
    }
    int64_t share = pool->count / pool->size, rest = pool->count % pool->size;
    int64_t begin = share * thread + (thread < rest ? thread : rest);
    int64_t end = begin + share + (thread < rest);
    if (begin < end) pool->work(pool->user, begin, end, thread);
}

/* Returns the number of the next job after the one numbered seen. */
static unsigned wait_for_job(imp_thread_pool *pool, unsigned seen) {
    unsigned job;
    for (int spin = 0; spin < pool->spins; spin++) {
        job = atomic_load_explicit(&pool->job, memory_order_acquire);
        if (job != seen) return job;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    while ((job = atomic_load_explicit(&pool->job, memory_order_acquire)) == seen)
        pthread_cond_wait(&pool->job_here, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    return job;
}

static void *run_worker(void *argument) {
    worker *self = argument;
    imp_thread_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(pool, seen);
        if (pool->stop) return NULL;
        run_part(pool, self->thread);
        if (atomic_fetch_sub_explicit(&pool->working, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->job_done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

static void publish_job(imp_thread_pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->job, 1, memory_order_release);
    pthread_cond_broadcast(&pool->job_here);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_workers(imp_thread_pool *pool) {
    for (int spin = 0; spin < pool->spins; spin++) {
        if (atomic_load_explicit(&pool->working, memory_order_acquire) == 0) return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->working, memory_order_acquire) != 0)
        pthread_cond_wait(&pool->job_done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

/* The host program's signal handlers must run in its own threads: ours take no signals. */
static int start_workers(imp_thread_pool *pool) {
    sigset_t all, before;
    int error = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->started < pool->size - 1 && error == 0) {
        worker *self = &pool->workers[pool->started];
        *self = (worker){.pool = pool, .thread = pool->started + 1};
        error = pthread_create(&self->handle, NULL, run_worker, self);
        if (error == 0) pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int imp_thread_pool_create(imp_context *context, int threads, imp_thread_pool **pool) {
    imp_thread_pool *made = imp_allocate_zero(context, 1, sizeof *made);
    int error;
    *pool = NULL;
    if (!made) return IMP_ERR_MEMORY;
    made->size = threads;
    made->spins = threads <= imp_cpu_count() ? SPINS : 0; /* else a spinning thread keeps a working one waiting */
    atomic_init(&made->job, 0);
    atomic_init(&made->working, 0);
    atomic_init(&made->busy, false);
    atomic_init(&made->next, 0);
    made->workers = imp_allocate_zero(context, (size_t)threads, sizeof *made->workers);
    if (!made->workers) {
        imp_release(context, made);
        return IMP_ERR_MEMORY;
    }
    pthread_mutex_init(&made->mutex, NULL); /* with default attributes none of these can fail on Linux */
    pthread_cond_init(&made->job_here, NULL);
    pthread_cond_init(&made->job_done, NULL);
    error = start_workers(made);
    if (error != 0) {
        imp_thread_pool_free(context, made);
        return imp_fail(context, IMP_ERR_THREAD, "cannot start %d threads: %s; use fewer threads", threads,
                        strerror(error));
    }
    *pool = made;
    return IMP_OK;
}

void imp_thread_pool_free(imp_context *context, imp_thread_pool *pool) {
    if (!pool) return;
    pool->stop = true;
    publish_job(pool);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].handle, NULL);
    pthread_cond_destroy(&pool->job_done);
    pthread_cond_destroy(&pool->job_here);
    pthread_mutex_destroy(&pool->mutex);
    imp_release(context, pool->workers);
    imp_release(context, pool);
}

int imp_thread_pool_size(const imp_thread_pool *pool) {
    return pool->size;
}

/* Within work: which of the pool's threads this is. */
static int current_thread(const imp_thread_pool *pool) {
    for (int i = 0; i < pool->started; i++)
        if (pthread_equal(pool->workers[i].handle, pthread_self())) return i + 1;
    return 0;
}

static void run_job(imp_context *context, int64_t count, imp_work *work, void *user, bool dynamic) {
    imp_thread_pool *pool = context->pool;
    if (count <= 0) return;
    if (atomic_load_explicit(&pool->busy, memory_order_relaxed)) { /* called from within work */
        work(user, 0, count, current_thread(pool));
        return;
    }
    if (pool->size == 1 || count == 1) {
        work(user, 0, count, 0);
        return;
    }
    atomic_store_explicit(&pool->busy, true, memory_order_relaxed);
    pool->work = work;
    pool->user = user;
    pool->count = count;
    pool->dynamic = dynamic;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->working, pool->size - 1, memory_order_relaxed);
    publish_job(pool);
    run_part(pool, 0);
    wait_for_workers(pool);
    atomic_store_explicit(&pool->busy, false, memory_order_relaxed);
}

void imp_parallel(imp_context *context, int64_t count, imp_work *work, void *user) {
    run_job(context, count, work, user, false);
}

void imp_parallel_dynamic(imp_context *context, int64_t count, imp_work *work, void *user) {
    run_job(context, count, work, user, true);
}
