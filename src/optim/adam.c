/* Adam (Kingma and Ba, arXiv 1412.6980); bias correction and the place of epsilon as torch.optim.Adam has them.
 * With a decay, AdamW (Loshchilov and Hutter, arXiv 1711.05101). */
#include <math.h>

#include "base/memory.h"
#include "base/thread.h"
#include "optim/optim.h"

struct imp_adam {
    imp_context *context;
    size_t n;
    double beta1, beta2, epsilon, decay;
    int64_t steps;
    float *m, *v; /* [n] each */
};

int imp_adam_create(imp_context *context, size_t n, double beta1, double beta2, double epsilon, imp_adam **adam) {
    *adam = NULL;
    if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1))
        return imp_fail(context, IMP_ERR_ARGUMENT, "Adam: betas are %g and %g; they must be at least 0 and under 1",
                        beta1, beta2);
    if (!(epsilon > 0)) return imp_fail(context, IMP_ERR_ARGUMENT, "Adam: epsilon is %g; it must be positive", epsilon);
    imp_adam *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    *made = (imp_adam){.context = context, .n = n, .beta1 = beta1, .beta2 = beta2, .epsilon = epsilon};
    made->m = imp_allocate_zero(context, n, sizeof(float));
    if (made->m) made->v = imp_allocate_zero(context, n, sizeof(float));
    if (!made->v) {
        imp_adam_free(made);
        return IMP_ERR_MEMORY;
    }
    *adam = made;
    return IMP_OK;
}

void imp_adam_free(imp_adam *adam) {
    if (!adam) return;
    imp_release(adam->context, adam->m);
    imp_release(adam->context, adam->v);
    imp_release(adam->context, adam);
}

void imp_adam_state(imp_adam *adam, float **m, float **v, int64_t *steps) {
    if (m) *m = adam->m;
    if (v) *v = adam->v;
    if (steps) *steps = adam->steps;
}

void imp_adam_set_steps(imp_adam *adam, int64_t steps) {
    adam->steps = steps < 0 ? 0 : steps;
}

void imp_adam_set_decay(imp_adam *adam, double decay) {
    adam->decay = decay;
}

typedef struct adam_job {
    float *m, *v, *x;
    const float *gradient;
    float keep, take1, keep2, take2, step, root_correction, epsilon;
} adam_job;

static void step_range(void *user, int64_t begin, int64_t end, int thread) {
    const adam_job *job = user;
    float *restrict m = job->m, *restrict v = job->v, *restrict x = job->x;
    const float *restrict gradient = job->gradient;
    float keep = job->keep, take1 = job->take1, keep2 = job->keep2, take2 = job->take2;
    float step = job->step, root_correction = job->root_correction, epsilon = job->epsilon;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        float g = gradient[i];
        m[i] += take1 * (g - m[i]);
        v[i] = keep2 * v[i] + take2 * g * g;
        x[i] = keep * x[i] - step * (m[i] / (sqrtf(v[i]) * root_correction + epsilon));
    }
}

void imp_adam_step(imp_adam *adam, double learning_rate, float *x, const float *gradient) {
    adam->steps++;
    double correction1 = 1 - pow(adam->beta1, (double)adam->steps);
    double correction2 = 1 - pow(adam->beta2, (double)adam->steps);
    adam_job job = {.m = adam->m,
                    .v = adam->v,
                    .x = x,
                    .gradient = gradient,
                    .keep = (float)(1 - learning_rate * adam->decay),
                    .take1 = (float)(1 - adam->beta1),
                    .keep2 = (float)adam->beta2,
                    .take2 = (float)(1 - adam->beta2),
                    .step = (float)(learning_rate / correction1),
                    .root_correction = (float)(1 / sqrt(correction2)),
                    .epsilon = (float)adam->epsilon};
    imp_parallel(adam->context, (int64_t)adam->n, step_range, &job);
}
