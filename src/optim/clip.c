/* Clipping of gradients by their norm over all arrays (Pascanu, Mikolov and Bengio, arXiv 1211.5063), with the details
 * of torch.nn.utils.clip_grad_norm_. */
#include <math.h>

#include "base/thread.h"
#include "optim/optim.h"

#define BESIDE_NORM 1e-6 /* PyTorch's, beside the norm that the bound is divided by */

/* One array a time, each summed in its own order, so that threads change nothing. */
static void sum_squares(void *user, int64_t begin, int64_t end, int thread) {
    const imp_gradients *gradients = user;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        const float *array = gradients->arrays[k];
        double sum = 0;
        for (size_t i = 0; array && i < gradients->lengths[k]; i++) sum += (double)array[i] * array[i];
        gradients->squares[k] = sum;
    }
}

typedef struct scale_job {
    const imp_gradients *gradients;
    float factor;
} scale_job;

static void scale(void *user, int64_t begin, int64_t end, int thread) {
    const scale_job *job = user;
    (void)thread;
    for (int64_t k = begin; k < end; k++) {
        float *array = job->gradients->arrays[k];
        for (size_t i = 0; array && i < job->gradients->lengths[k]; i++) array[i] *= job->factor;
    }
}

double imp_clip_norm(imp_context *context, const imp_gradients *gradients, double most) {
    imp_gradients summed = *gradients;
    double sum = 0;
    imp_parallel_dynamic(context, gradients->count, sum_squares, &summed);
    for (int k = 0; k < gradients->count; k++) sum += gradients->squares[k];
    double norm = sqrt(sum), factor = most / (norm + BESIDE_NORM);
    if (most == 0 || !isfinite(norm) || !(factor < 1)) return norm;
    scale_job job = {.gradients = gradients, .factor = (float)factor};
    imp_parallel_dynamic(context, gradients->count, scale, &job);
    return norm;
}
