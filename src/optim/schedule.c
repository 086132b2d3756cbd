/* Learning rates over time, and the average of iterates. */
#include <math.h>

#include "base/thread.h"
#include "optim/optim.h"

double imp_step_lr(double initial, int64_t step_size, double gamma, int64_t iteration) {
    if (step_size <= 0) return initial;
    return initial * pow(gamma, (double)(iteration / step_size));
}

typedef struct average_job {
    float weight; /* of the new iterate */
    const float *x;
    float *average;
} average_job;

static void average_range(void *user, int64_t begin, int64_t end, int thread) {
    const average_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) job->average[i] += job->weight * (job->x[i] - job->average[i]);
}

static void copy_range(void *user, int64_t begin, int64_t end, int thread) {
    const average_job *job = user;
    (void)thread;
    for (int64_t i = begin; i < end; i++) job->average[i] = job->x[i];
}

void imp_average_add(imp_context *context, size_t n, double decay, int64_t step, const float *x, float *average) {
    /* The sum of the weights 1, decay, ..., decay^(step - 1) is (1 - decay^step) / (1 - decay). */
    average_job job = {.x = x, .average = average};
    if (step > 1) job.weight = (float)((1 - decay) / (1 - pow(decay, (double)step)));
    imp_parallel(context, (int64_t)n, step > 1 ? average_range : copy_range, &job);
}
