/* The style losses: each maps means and second raw moments to a value and to its derivative by them. */
#include "style/losses.h"

#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "style/matrix.h"

/* Deviations are sqrt(variance + epsilon) with epsilon by the target's mean square, so that the slope at a
   constant channel is finite: deviations under 0.3 % of the root mean square hardly count. */
#define DEVIATION_EPSILON 1e-5
/* Wasserstein: this part of the target's mean variance is added to both covariances' diagonals, the same on every
   feature scale. crowsonkb's program adds 1e-4 to those of torchvision's features: equal where their mean variance
   is 0.1. */
#define COVARIANCE_EPSILON 1e-3
/* And this part of the sum of each one's own mean squares: more than rounding in f32 leaves of the
   difference between second moments and squared means, so that both covariances are positive definite
   whatever the features. */
#define COVARIANCE_ROUNDING 1e-6
#define LEAST_EPSILON 1e-12 /* where the target is zero: far below any feature, far above the smallest float */
#define L1_EPSILON 1e-8     /* of crowsonkb's ScaledMSELoss */
/* Galerne et al. (arXiv 2212.13459): 1e3 / c^2 times the squared Frobenius norm, and 1e4 times the means'
   and deviations'. */
#define GALERNE_GRAM 1e3
#define GALERNE_MOMENTS 1e4

struct imp_style_target {
    imp_context *context;
    const imp_style_loss *loss;
    int channels;
    double scale, weight_sum;
    double epsilon;              /* of deviations or of covariances */
    double trace, least;         /* of the target's covariance: trace, least eigenvalue */
    double *mean, *deviation;    /* [c]: the target's */
    float *second;               /* [c, c]: the target's M; for Wasserstein, once prepared, its covariance's factor */
    double *by_mean, *by_square; /* [c]: derivatives by mu and, beside by_second's, by M's diagonal */
    double *rows;                /* [c, 2]: sums by row */
    imp_matrices matrices;       /* these four for Wasserstein alone */
    float *covariance, *inverse, *polar; /* [c, c] */

    /* What is being evaluated. */
    const imp_statistics *current;
    double unit;      /* M = unit * second: s^2 / n */
    double mean_unit; /* mu = mean_unit * sum: s / n */
    double gradient;  /* by_second = gradient * dLoss/dM: 2 weight s^2 / n */
    float *by_second;
};

/* ---- Passes over [c, c] ------------------------------------------------------------------------------------------ */

static double current_mean(const imp_style_target *target, int channel) {
    return target->mean_unit * target->current->sum[channel];
}

typedef struct difference_job {
    imp_style_target *target;
    double by_difference, by_sign; /* dLoss/dM = by_difference * d + by_sign * sign(d) */
    int write;
} difference_job;

static void difference_rows(void *user, int64_t begin, int64_t end, int thread) {
    const difference_job *job = user;
    imp_style_target *target = job->target;
    int c = target->channels;
    float unit = (float)target->unit;
    float slope = (float)(job->by_difference * target->gradient), sign = (float)(job->by_sign * target->gradient);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *second = target->current->second + i * c, *wanted = target->second + i * c;
        float *by_second = target->by_second + i * c;
        double absolutes = 0, squares = 0;
        for (int j = 0; j < c; j++) {
            float difference = unit * second[j] - wanted[j], size = fabsf(difference);
            absolutes += (double)size;
            squares += (double)size * size;
            if (job->write) by_second[j] = slope * difference + (difference > 0 ? sign : difference < 0 ? -sign : 0);
        }
        target->rows[2 * i] = absolutes;
        target->rows[2 * i + 1] = squares;
    }
}

/* sums: of |d| and of d^2, d = M - M'. */
static void sum_differences(imp_style_target *target, double by_difference, double by_sign, int write, double *sums) {
    difference_job job = {.target = target, .by_difference = by_difference, .by_sign = by_sign, .write = write};
    imp_parallel(target->context, target->channels, difference_rows, &job);
    sums[0] = sums[1] = 0;
    for (int i = 0; i < target->channels; i++) {
        sums[0] += target->rows[2 * i];
        sums[1] += target->rows[2 * i + 1];
    }
}

/* ---- Gram losses: G = M n / (c n) = M / c ------------------------------------------------------------------------ */

static double evaluate_gram(imp_style_target *target) {
    double c = target->channels, sums[2];
    sum_differences(target, 2 / (c * c * c * c), 0, 1, sums);
    return sums[1] / (c * c * c * c);
}

static double evaluate_gram_l1(imp_style_target *target) {
    double c = target->channels, sums[2];
    sum_differences(target, 0, 1 / (c * c * c), 1, sums);
    return sums[0] / (c * c * c);
}

/* On M itself, as crowsonkb's; the denominator takes part in the derivative, as it does there. */
static double evaluate_gram_normalized(imp_style_target *target) {
    double sums[2];
    sum_differences(target, 0, 0, 0, sums);
    double below = sums[0] + L1_EPSILON, value = sums[1] / below;
    sum_differences(target, 2 / below, -value / below, 1, sums);
    return value;
}

/* ---- Means and deviations ---------------------------------------------------------------------------------------- */

static int prepare_deviations(imp_style_target *target) {
    int c = target->channels;
    double squares = 0;
    for (int i = 0; i < c; i++) squares += target->second[(int64_t)i * c + i];
    target->epsilon = DEVIATION_EPSILON * squares / c + LEAST_EPSILON;
    for (int i = 0; i < c; i++) {
        double variance = target->second[(int64_t)i * c + i] - target->mean[i] * target->mean[i];
        target->deviation[i] = sqrt(fmax(variance, 0) + target->epsilon);
    }
    return IMP_OK;
}

/* weight times the sum over channels of (mu - mu')^2 + (sd - sd')^2. */
static double add_deviations(imp_style_target *target, double weight) {
    int c = target->channels;
    double sum = 0;
    for (int i = 0; i < c; i++) {
        double mean = current_mean(target, i), shift = mean - target->mean[i];
        double variance = target->unit * target->current->second[(int64_t)i * c + i] - mean * mean;
        double deviation = sqrt(fmax(variance, 0) + target->epsilon), spread = deviation - target->deviation[i];
        sum += shift * shift + spread * spread;
        double by_variance = weight * spread / deviation;
        target->by_square[i] = by_variance;
        target->by_mean[i] = 2 * weight * shift - 2 * by_variance * mean;
    }
    return weight * sum;
}

static double evaluate_deviations(imp_style_target *target) {
    size_t c = (size_t)target->channels;
    memset(target->by_second, 0, c * c * sizeof(float));
    return add_deviations(target, 1.0 / target->channels);
}

static double evaluate_galerne(imp_style_target *target) {
    double c = target->channels, weight = GALERNE_GRAM / (c * c), sums[2];
    sum_differences(target, 2 * weight, 0, 1, sums);
    return weight * sums[1] + add_deviations(target, GALERNE_MOMENTS);
}

/* ---- Wasserstein-2 between normal distributions -----------------------------------------------------------------
 * With Cholesky factors C = L L^T and C' = K K^T the trace of (C'^1/2 C C'^1/2)^1/2 is the sum of the singular values
 * of K^T L, that is the trace of Q^T K^T L with its polar factor Q; its derivative by C is K Q L^-1 / 2. No square root
 * of a matrix is needed, and products of covariances, whose condition f32 cannot carry, never appear. */

typedef struct covariance_job {
    int channels;
    const float *second;
    const double *mean;
    double unit, epsilon;
    float *out;
} covariance_job;

static void covariance_rows(void *user, int64_t begin, int64_t end, int thread) {
    const covariance_job *job = user;
    int c = job->channels;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        for (int j = 0; j < c; j++)
            job->out[i * c + j] =
                (float)(job->unit * job->second[i * c + j] - job->mean[i] * job->mean[j] + (i == j ? job->epsilon : 0));
}

/* covariance = unit second - mean mean^T + epsilon I, where epsilon is the target's and what rounding
   needs; covariance may be second. Returns the trace, and epsilon through least. */
static double make_covariance(const imp_style_target *target, const float *second, double unit, const double *mean,
                              float *covariance, double *least) {
    int c = target->channels;
    double squares = 0, trace = 0;
    for (int i = 0; i < c; i++) squares += unit * second[(int64_t)i * c + i];
    *least = target->epsilon + COVARIANCE_ROUNDING * squares;
    covariance_job job = {
        .channels = c, .second = second, .mean = mean, .unit = unit, .epsilon = *least, .out = covariance};
    imp_parallel(target->context, c, covariance_rows, &job);
    for (int i = 0; i < c; i++) trace += covariance[(int64_t)i * c + i];
    return trace;
}

static int prepare_wasserstein(imp_style_target *target) {
    int c = target->channels;
    size_t bytes = (size_t)c * (size_t)c * sizeof(float);
    int status = imp_matrices_create(target->context, c, &target->matrices);
    if (status) return status;
    if (!(target->covariance = imp_allocate(target->context, bytes)) ||
        !(target->inverse = imp_allocate(target->context, bytes)) ||
        !(target->polar = imp_allocate(target->context, bytes)))
        return IMP_ERR_MEMORY;
    double variances = 0;
    for (int i = 0; i < c; i++)
        variances += fmax(target->second[(int64_t)i * c + i] - target->mean[i] * target->mean[i], 0);
    target->epsilon = COVARIANCE_EPSILON * variances / c + LEAST_EPSILON;
    target->trace = make_covariance(target, target->second, 1, target->mean, target->second, &target->least);
    imp_matrix_cholesky(&target->matrices, target->second, (float)target->least / 2, target->inverse);
    return IMP_OK;
}

typedef struct transport_job {
    imp_style_target *target;
    const float *first, *second;
    const double *mean;
} transport_job;

/* Sums of the products of two matrices' entries, by row. */
static void product_rows(void *user, int64_t begin, int64_t end, int thread) {
    const transport_job *job = user;
    int c = job->target->channels;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int j = 0; j < c; j++) sum += (double)job->first[i * c + j] * job->second[i * c + j];
        job->target->rows[i] = sum;
    }
}

/* by_second from the transport map K Q L^-1: dLoss/dC = (I - map) / c, the map made symmetric, which it is
   but for rounding. Row sums of dLoss/dC times the means. */
static void transport_rows(void *user, int64_t begin, int64_t end, int thread) {
    const transport_job *job = user;
    imp_style_target *target = job->target;
    int c = target->channels;
    const float *map = job->first;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0;
        for (int j = 0; j < c; j++) {
            double slope = ((i == j) - 0.5 * ((double)map[i * c + j] + map[(int64_t)j * c + i])) / c;
            sum += slope * job->mean[j];
            target->by_second[i * c + j] = (float)(target->gradient * slope);
        }
        target->rows[i] = sum;
    }
}

static double evaluate_wasserstein(imp_style_target *target) {
    int c = target->channels;
    imp_matrices *matrices = &target->matrices;
    double *mean = target->deviation; /* room that this loss does not otherwise use */
    double least, shared = 0, shift = 0, slopes = 0;
    for (int i = 0; i < c; i++) mean[i] = current_mean(target, i);
    double trace = make_covariance(target, target->current->second, target->unit, mean, target->covariance, &least);
    imp_matrix_cholesky(matrices, target->covariance, (float)least / 2, target->inverse);
    imp_matrix_transpose(matrices, target->second, matrices->work[0]);
    imp_matrix_multiply(matrices, 1, matrices->work[0], target->covariance, 0, target->polar);
    /* The factors' singular values are at least the roots of the least eigenvalues, and the norm of a
       product is at most the norms' product. */
    imp_matrix_polar(matrices, target->polar, sqrt(least * target->least / (trace * target->trace)));
    imp_matrix_multiply(matrices, 1, target->second, target->polar, 0, matrices->work[0]);
    transport_job job = {.target = target, .first = matrices->work[0], .second = target->covariance, .mean = mean};
    imp_parallel(target->context, c, product_rows, &job);
    for (int i = 0; i < c; i++) shared += target->rows[i];
    imp_matrix_multiply(matrices, 1, matrices->work[0], target->inverse, 0, matrices->work[1]);
    job.first = matrices->work[1];
    imp_parallel(target->context, c, transport_rows, &job);
    for (int i = 0; i < c; i++) {
        double difference = mean[i] - target->mean[i];
        shift += difference * difference;
        slopes += (1 - (double)job.first[(int64_t)i * (c + 1)]) / c;
        target->by_mean[i] = 2 * difference / c - 2 * target->rows[i];
    }
    for (int i = 0; i < c; i++) target->by_square[i] = COVARIANCE_ROUNDING * slopes;
    return (shift + trace + target->trace - 2 * shared) / c;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

#define BOTH (IMP_STYLE_BY_SECOND | IMP_STYLE_BY_SUM)

static const imp_style_loss losses[] = {
    {"gram", "mean squared difference of the Gram matrices (Gatys et al.)", IMP_STYLE_BY_SECOND, NULL, evaluate_gram},
    {"gram-l1", "mean absolute difference of the Gram matrices", IMP_STYLE_BY_SECOND, NULL, evaluate_gram_l1},
    {"gram-normalized", "squared over absolute differences of the Gram matrices: one weight for all layers and sizes",
     IMP_STYLE_BY_SECOND, NULL, evaluate_gram_normalized},
    {"wasserstein", "Wasserstein-2 distance of means and covariances (crowsonkb)", BOTH, prepare_wasserstein,
     evaluate_wasserstein},
    {"mean-deviation", "means and standard deviations of the channels", BOTH, prepare_deviations, evaluate_deviations},
    {"gram-mean-deviation", "Gram matrices, means and standard deviations together (Galerne et al.)", BOTH,
     prepare_deviations, evaluate_galerne},
};

const imp_style_loss *imp_style_loss_at(int index) {
    int count = (int)(sizeof losses / sizeof losses[0]);
    return index >= 0 && index < count ? &losses[index] : NULL;
}

const imp_style_loss *imp_style_loss_find(const char *name) {
    const imp_style_loss *loss;
    for (int i = 0; (loss = imp_style_loss_at(i)); i++)
        if (strcmp(loss->name, name) == 0) return loss;
    return NULL;
}

/* ---- Targets ----------------------------------------------------------------------------------------------------- */

int imp_style_target_create(imp_context *context, const imp_style_loss *loss, int channels, double feature_scale,
                            imp_style_target **target) {
    *target = NULL;
    imp_style_target *made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    made->loss = loss;
    made->channels = channels;
    made->scale = feature_scale;
    size_t c = (size_t)channels;
    if ((made->mean = imp_allocate_zero(context, c, sizeof(double))) &&
        (made->deviation = imp_allocate_zero(context, c, sizeof(double))) &&
        (made->by_mean = imp_allocate_zero(context, c, sizeof(double))) &&
        (made->by_square = imp_allocate_zero(context, c, sizeof(double))) &&
        (made->rows = imp_allocate_zero(context, 2 * c, sizeof(double))) &&
        (made->second = imp_allocate_zero(context, c * c, sizeof(float)))) {
        *target = made;
        return IMP_OK;
    }
    imp_style_target_free(made);
    return IMP_ERR_MEMORY;
}

uint64_t imp_style_target_measure(const imp_context *context, const imp_style_loss *loss, int channels) {
    uint64_t c = (uint64_t)channels, floats = c * c, doubles = 6 * c; /* second; what else create makes */
    uint64_t bytes = sizeof(imp_style_target) + floats * sizeof(float) + doubles * sizeof(double);
    if (loss->prepare != prepare_wasserstein) return bytes;
    return bytes + 3 * floats * sizeof(float) + imp_matrices_measure(context, channels);
}

void imp_style_target_free(imp_style_target *target) {
    if (!target) return;
    imp_context *context = target->context;
    void *owned[] = {target->mean,   target->deviation,  target->by_mean, target->by_square, target->rows,
                     target->second, target->covariance, target->inverse, target->polar};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) imp_release(context, owned[i]);
    imp_matrices_release(&target->matrices);
    imp_release(context, target);
}

int imp_style_target_add(imp_style_target *target, const imp_statistics *statistics, double weight) {
    int c = target->channels;
    if (statistics->channels != c || !(statistics->count > 0))
        return imp_fail(target->context, IMP_ERR_ARGUMENT,
                        "style: statistics of %d channels over %g pixels; %d channels are expected",
                        statistics->channels, statistics->count, c);
    double s = target->scale, n = statistics->count;
    for (int i = 0; i < c; i++) target->mean[i] += weight * s / n * statistics->sum[i];
    for (int64_t i = 0; i < (int64_t)c * c; i++)
        target->second[i] += (float)(weight * s * s / n * statistics->second[i]);
    target->weight_sum += weight;
    return IMP_OK;
}

int imp_style_target_finish(imp_style_target *target) {
    int c = target->channels;
    if (!(target->weight_sum > 0))
        return imp_fail(target->context, IMP_ERR_STATE, "style: no style picture with a weight over 0");
    double total = 0;
    for (int i = 0; i < c; i++) target->mean[i] /= target->weight_sum;
    for (int64_t i = 0; i < (int64_t)c * c; i++) {
        target->second[i] = (float)(target->second[i] / target->weight_sum);
        total += fabs((double)target->second[i]);
    }
    if (!isfinite(total))
        return imp_fail(target->context, IMP_ERR_NUMERIC,
                        "style: the features of the style picture are not finite; is the model damaged?");
    return target->loss->prepare ? target->loss->prepare(target) : IMP_OK;
}

/* Whether the squares of all channels are finite; a feature that is not shows there. */
static int is_finite(const imp_statistics *statistics) {
    double total = 0;
    for (int i = 0; i < statistics->channels; i++)
        total += fabs((double)statistics->sum[i]) + statistics->second[(int64_t)i * statistics->channels + i];
    return isfinite(total);
}

int imp_style_evaluate(imp_style_target *target, const imp_statistics *statistics, double weight, double *value,
                       float *by_second, float *by_sum) {
    int c = target->channels;
    unsigned parts = target->loss->gradient;
    if (statistics->channels != c || !(statistics->count > 0))
        return imp_fail(target->context, IMP_ERR_ARGUMENT,
                        "style: statistics of %d channels over %g pixels; %d channels are expected",
                        statistics->channels, statistics->count, c);
    if (!is_finite(statistics)) {
        *value = NAN;
        memset(by_second, 0, (size_t)c * (size_t)c * sizeof(float));
        if (parts & IMP_STYLE_BY_SUM) memset(by_sum, 0, (size_t)c * sizeof(float));
        return IMP_OK;
    }
    target->current = statistics;
    target->unit = target->scale * target->scale / statistics->count;
    target->mean_unit = target->scale / statistics->count;
    target->gradient = 2 * weight * target->unit;
    target->by_second = by_second;
    *value = target->loss->evaluate(target);
    if (!(parts & IMP_STYLE_BY_SUM)) return IMP_OK;
    for (int i = 0; i < c; i++) {
        float *own = by_second + (int64_t)i * c + i;
        *own = (float)(*own + target->gradient * target->by_square[i]);
        by_sum[i] = (float)(weight * target->mean_unit * target->by_mean[i]);
    }
    return IMP_OK;
}
