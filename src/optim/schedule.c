/* Learning rates over time, and the average of iterates. */
#include <math.h>

#include "base/thread.h"
#include "optim/optim.h"

double imp_step_lr(double initial, int64_t step_size, double gamma, int64_t iteration) {
    if (step_size <= 0) return initial;
    return initial * pow(gamma, (double)(iteration / step_size));
}

double imp_schedule_rate(const imp_schedule *schedule, int64_t step) {
    const double half_turn = 3.14159265358979323846;
    if (step < schedule->warm_up) return schedule->initial * (double)(step + 1) / (double)schedule->warm_up;
    int64_t after = step - schedule->warm_up, last = schedule->steps - schedule->warm_up;
    if (schedule->kind == IMP_SCHEDULE_STEP)
        return imp_step_lr(schedule->initial, schedule->step_size, schedule->gamma, after);
    if (schedule->kind == IMP_SCHEDULE_CONSTANT || last < 1) return schedule->initial;
    double wave = 0.5 * (1 + cos(half_turn * fmin(1, (double)after / (double)last)));
    return schedule->initial * (schedule->least + (1 - schedule->least) * wave);
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
