/* The ring of crops that threads fill and the training empties. */
#include "cli/crop_queue.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    bool ready;
    int status;
    float *planes;
} slot;

typedef struct worker {
    imp_cli_crop_queue *queue;
    imp_context *context;
    pthread_t handle;
} worker;

struct imp_cli_crop_queue {
    imp_cli_make_crop *make;
    const void *user;
    size_t floats;
    int depth, workers; /* slots; threads that run */
    slot *slots;        /* [depth] crop n is in the one at n % depth */
    worker *each;       /* [threads asked for] */
    pthread_mutex_t mutex;
    pthread_cond_t room, ready;
    uint64_t next, taken; /* the next to make; the next to take */
    bool stop;
};

static void *fill(void *user) {
    worker *self = user;
    imp_cli_crop_queue *queue = self->queue;
    pthread_mutex_lock(&queue->mutex);
    for (;;) {
        while (!queue->stop && queue->next >= queue->taken + (uint64_t)queue->depth)
            pthread_cond_wait(&queue->room, &queue->mutex);
        if (queue->stop) break;
        uint64_t number = queue->next++;
        slot *at = &queue->slots[number % (uint64_t)queue->depth];
        pthread_mutex_unlock(&queue->mutex);
        int status = queue->make(queue->user, self->context, number, at->planes);
        pthread_mutex_lock(&queue->mutex);
        at->status = status;
        at->ready = true;
        pthread_cond_signal(&queue->ready);
    }
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

bool imp_cli_crop_queue_take(imp_cli_crop_queue *queue, uint64_t number, float *planes, int *status) {
    slot *at = &queue->slots[number % (uint64_t)queue->depth];
    pthread_mutex_lock(&queue->mutex);
    bool next = number == queue->taken;
    while (next && !at->ready) pthread_cond_wait(&queue->ready, &queue->mutex);
    if (next) {
        *status = at->status;
        memcpy(planes, at->planes, queue->floats * sizeof *planes);
        at->ready = false;
        queue->taken++;
        pthread_cond_signal(&queue->room);
    }
    pthread_mutex_unlock(&queue->mutex);
    return next;
}

/* Signals are the main thread's: threads that are started with them blocked never see one. */
static void start_workers(imp_cli_crop_queue *queue, int threads) {
    imp_context_options options;
    sigset_t all, before;
    imp_context_options_default(&options);
    options.threads = 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < threads; i++) {
        worker *one = &queue->each[i];
        *one = (worker){.queue = queue};
        if (imp_context_create(&options, &one->context)) break;
        if (pthread_create(&one->handle, NULL, fill, one) != 0) {
            imp_context_free(one->context);
            break;
        }
        queue->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

imp_cli_crop_queue *imp_cli_crop_queue_create(uint64_t first, int threads, int depth, size_t floats,
                                              imp_cli_make_crop *make, const void *user) {
    imp_cli_crop_queue *queue = calloc(1, sizeof *queue);
    if (!queue) return NULL;
    *queue = (imp_cli_crop_queue){.make = make,
                                  .user = user,
                                  .floats = floats,
                                  .mutex = PTHREAD_MUTEX_INITIALIZER,
                                  .room = PTHREAD_COND_INITIALIZER,
                                  .ready = PTHREAD_COND_INITIALIZER,
                                  .next = first,
                                  .taken = first};
    queue->slots = calloc((size_t)depth, sizeof *queue->slots);
    queue->each = calloc((size_t)threads, sizeof *queue->each);
    while (queue->slots && queue->depth < depth && (queue->slots[queue->depth].planes = malloc(floats * sizeof(float))))
        queue->depth++;
    if (queue->each && queue->depth == depth) start_workers(queue, threads);
    if (queue->workers > 0) return queue;
    imp_cli_crop_queue_free(queue);
    return NULL;
}

void imp_cli_crop_queue_free(imp_cli_crop_queue *queue) {
    if (!queue) return;
    pthread_mutex_lock(&queue->mutex);
    queue->stop = true;
    pthread_cond_broadcast(&queue->room);
    pthread_mutex_unlock(&queue->mutex);
    for (int i = 0; i < queue->workers; i++) {
        pthread_join(queue->each[i].handle, NULL);
        imp_context_free(queue->each[i].context);
    }
    for (int i = 0; i < queue->depth; i++) free(queue->slots[i].planes);
    free(queue->slots);
    free(queue->each);
    free(queue);
}
