/* The thread pool. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread.h"
#include "failing_allocator.h"
#include "unit.h"

static int threads_that_start = -1; /* -1: all */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *user);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *user);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *user) {
    if (threads_that_start == 0) return EAGAIN;
    if (threads_that_start > 0) threads_that_start--;
    return __real_pthread_create(thread, attributes, start, user);
}

static void threads_that_cannot_be_made(void **state) {
    imp_failing_allocator allocator = {0};
    imp_context_options options;
    imp_context *context = make_context(1, 0), *failed;
    imp_thread_pool *pool;
    (void)state;
    imp_context_options_default(&options);
    options.threads = 8;
    imp_failing_allocator_use(&allocator, &options);
    for (int start = 0; start < 7; start++) {
        threads_that_start = start;
        assert_int_equal(imp_context_create(&options, &failed), IMP_ERR_THREAD);
        assert_null(failed);
        assert_int_equal(atomic_load(&allocator.live), 0);
        threads_that_start = start;
        assert_int_equal(imp_thread_pool_create(context, 8, &pool), IMP_ERR_THREAD);
        assert_null(pool);
        assert_string_equal(imp_error(context),
                            "cannot start 8 threads: Resource temporarily unavailable; use fewer threads");
    }
    threads_that_start = 7; /* the caller is the eighth */
    assert_int_equal(imp_context_create(&options, &failed), IMP_OK);
    imp_context_free(failed);
    threads_that_start = -1;
    imp_context_free(context);
}

#define ITEMS 1009 /* a prime, so that no number of threads divides it */

typedef struct visits {
    imp_context *context;
    int count[ITEMS], thread[ITEMS], nested[ITEMS];
    int64_t begin[ITEMS], end[ITEMS];
} visits;

static void visit(void *user, int64_t begin, int64_t end, int thread) {
    visits *seen = user;
    for (int64_t i = begin; i < end; i++) {
        seen->count[i]++;
        seen->thread[i] = thread;
        seen->begin[i] = begin;
        seen->end[i] = end;
    }
}

static void every_item_is_done_once(void **state) {
    visits *seen = calloc(1, sizeof *seen);
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        imp_context *context = make_context(threads, 0);
        for (int64_t count = 0; count <= ITEMS; count = count < 20 ? count + 1 : count + 43) {
            int64_t least = count / threads;
            memset(seen, 0, sizeof *seen);
            imp_parallel(context, count, visit, seen);
            for (int64_t i = 0; i < ITEMS; i++) assert_int_equal(seen->count[i], i < count);
            for (int64_t i = 0; i < count; i++) {
                assert_in_range(seen->thread[i], 0, threads - 1);
                if (count > 1) assert_in_range(seen->end[i] - seen->begin[i], least, least + 1);
                if (i > 0) assert_true(seen->thread[i] >= seen->thread[i - 1]);
            }
            imp_parallel_dynamic(context, count, visit, seen);
            for (int64_t i = 0; i < ITEMS; i++) assert_int_equal(seen->count[i], i < count ? 2 : 0);
        }
        imp_context_free(context);
    }
    free(seen);
}

static void partition_is_the_same_each_time(void **state) {
    visits *first = calloc(1, sizeof *first), *again = calloc(1, sizeof *again);
    imp_context *context = make_context(5, 0);
    (void)state;
    imp_parallel(context, ITEMS, visit, first);
    for (int repeat = 0; repeat < 50; repeat++) {
        memset(again, 0, sizeof *again);
        imp_parallel(context, ITEMS, visit, again);
        assert_memory_equal(first, again, sizeof *first);
    }
    imp_context_free(context);
    free(first);
    free(again);
}

static void visit_nested(void *user, int64_t begin, int64_t end, int thread) {
    visits *seen = user;
    int64_t inner_thread[1];
    for (int64_t i = begin; i < end; i++) {
        visits *inner = calloc(1, sizeof *inner);
        imp_parallel(seen->context, 10, visit, inner);
        imp_parallel_dynamic(seen->context, 10, visit, inner);
        inner_thread[0] = inner->thread[0];
        seen->nested[i] = inner_thread[0] == thread;
        for (int k = 0; k < 10; k++) seen->count[i] += inner->count[k];
        free(inner);
    }
}

static void work_within_work_runs_inline(void **state) {
    visits *seen = calloc(1, sizeof *seen);
    (void)state;
    for (int threads = 1; threads <= 8; threads++) {
        memset(seen, 0, sizeof *seen);
        seen->context = make_context(threads, 0);
        imp_parallel(seen->context, 50, visit_nested, seen);
        for (int i = 0; i < 50; i++) {
            assert_int_equal(seen->count[i], 20);
            assert_true(seen->nested[i]); /* scratch by thread number stays a thread's own */
        }
        imp_context_free(seen->context);
    }
    free(seen);
}

static void allocate_and_fail(void *user, int64_t begin, int64_t end, int thread) {
    imp_context *context = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        imp_release(context, imp_allocate(context, 100));
        imp_fail(context, IMP_ERR_NUMERIC, "item %d of many", 7);
    }
}

static void workers_may_allocate_and_fail(void **state) {
    imp_context *context = make_context(4, 0);
    size_t held = atomic_load(&context->memory_now);
    (void)state;
    imp_parallel(context, 4000, allocate_and_fail, context);
    assert_int_equal(atomic_load(&context->memory_now), held);
    assert_string_equal(imp_error(context), "item 7 of many");
    imp_context_free(context);
}

static void note_signals(void *user, int64_t begin, int64_t end, int thread) {
    sigset_t mask;
    (void)begin;
    (void)end;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ((int *)user)[thread] = sigismember(&mask, SIGINT);
}

static void signals_stay_with_the_caller(void **state) {
    imp_context *context = make_context(3, 0);
    int blocked[3] = {-1, -1, -1};
    (void)state;
    imp_parallel(context, 3, note_signals, blocked);
    assert_int_equal(blocked[0], 0);
    assert_int_equal(blocked[1], 1);
    assert_int_equal(blocked[2], 1);
    imp_context_free(context);
}

static void many_small_jobs(void **state) {
    (void)state;
    for (int threads = 2; threads <= 8; threads += 3) {
        imp_context *context = make_context(threads, 0);
        visits *seen = calloc(1, sizeof *seen);
        for (int job = 0; job < 2000; job++) {
            imp_parallel(context, 16, visit, seen);
            /* Now and then long enough for the workers to fall asleep. */
            if (job % 500 == 0) usleep(2000);
        }
        for (int i = 0; i < 16; i++) assert_int_equal(seen->count[i], 2000);
        imp_context_free(context);
        free(seen);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_cannot_be_made),
        cmocka_unit_test(every_item_is_done_once),
        cmocka_unit_test(partition_is_the_same_each_time),
        cmocka_unit_test(work_within_work_runs_inline),
        cmocka_unit_test(workers_may_allocate_and_fail),
        cmocka_unit_test(signals_stay_with_the_caller),
        cmocka_unit_test(many_small_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
