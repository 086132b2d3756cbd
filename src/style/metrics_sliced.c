/* The sliced Wasserstein distance of features (Heitz et al., arXiv 2006.07229): both sets are projected on random
 * directions; in one dimension the best transport joins the values in their order, so that sorting solves it. Sets of
 * different sizes are compared by their quantiles, which is the same where the sizes are equal. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"
#include "style/metrics.h"

#define CHUNK 2048   /* values of a projection that are summed up at once: they stay in the first cache */
#define DIGIT_BITS 8 /* of the radix sort */
#define DIGITS (32 / DIGIT_BITS)
#define DIGIT_VALUES (1 << DIGIT_BITS)

struct imp_sliced {
    int channels, directions;
    size_t count;
    float *axes;   /* [directions, channels], of length 1 */
    float *sorted; /* [directions, count] */
};

/* ---- Sorting ----------------------------------------------------------------------------------------------------- */

/* Floats in the order of their values are these in the order of whole numbers: negative ones have all bits turned,
   the others the sign's alone. */
static uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key) {
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* values [count] in rising order, by radix from the lowest digit on. keys: [2, count]. */
static void sort_values(float *values, size_t count, uint32_t *keys) {
    uint32_t *from = keys, *to = keys + count;
    for (size_t i = 0; i < count; i++) from[i] = key_of(values[i]);
    for (int digit = 0; digit < DIGITS; digit++) {
        size_t places[DIGIT_VALUES] = {0}, place = 0;
        int shift = digit * DIGIT_BITS;
        for (size_t i = 0; i < count; i++) places[from[i] >> shift & (DIGIT_VALUES - 1)]++;
        for (int i = 0; i < DIGIT_VALUES; i++) {
            size_t here = places[i];
            places[i] = place;
            place += here;
        }
        for (size_t i = 0; i < count; i++) to[places[from[i] >> shift & (DIGIT_VALUES - 1)]++] = from[i];
        uint32_t *other = from;
        from = to;
        to = other;
    }
    for (size_t i = 0; i < count; i++) values[i] = value_of(from[i]);
}

/* ---- Projections ------------------------------------------------------------------------------------------------- */

/* Evenly spread over the sphere: normal numbers, put to length 1. */
static void fill_axes(imp_sliced *sliced, uint64_t seed) {
    imp_random random;
    imp_random_seed(&random, seed);
    for (int i = 0; i < sliced->directions; i++) {
        float *axis = sliced->axes + (size_t)i * (size_t)sliced->channels;
        double squares = 0;
        for (int c = 0; c < sliced->channels; c++) {
            axis[c] = (float)imp_random_normal(&random);
            squares += (double)axis[c] * axis[c];
        }
        for (int c = 0; c < sliced->channels; c++) axis[c] = (float)(axis[c] / sqrt(squares));
    }
}

typedef struct sliced_job {
    const imp_sliced *sliced;
    const float *features; /* [channels, count] */
    size_t count;
    uint32_t *keys;    /* [threads, 2, count] */
    float *values;     /* [directions, count], or with distances [threads, count] */
    double *distances; /* [directions] */
} sliced_job;

/* The features along an axis, sorted. Each value is summed over the channels in their order, whatever its place: equal
   features give equal values. */
static void project(const sliced_job *job, int direction, int thread, float *values) {
    const float *axis = job->sliced->axes + (size_t)direction * (size_t)job->sliced->channels;
    for (size_t begin = 0; begin < job->count; begin += CHUNK) {
        size_t end = begin + CHUNK < job->count ? begin + CHUNK : job->count;
        for (size_t i = begin; i < end; i++) values[i] = 0;
        for (int c = 0; c < job->sliced->channels; c++) {
            const float *channel = job->features + (size_t)c * job->count;
            for (size_t i = begin; i < end; i++) values[i] += axis[c] * channel[i];
        }
    }
    sort_values(values, job->count, job->keys + (size_t)thread * 2 * job->count);
}

/* The mean squared difference of quantiles. Both quantile functions are steps, count_a of one width and count_b of
   another: on the scale of count_a * count_b they end at whole numbers. */
static double squared_distance(const float *a, size_t count_a, const float *b, size_t count_b) {
    size_t i = 0, j = 0;
    uint64_t at = 0;
    double sum = 0;
    while (i < count_a && j < count_b) {
        uint64_t end_a = (uint64_t)(i + 1) * count_b, end_b = (uint64_t)(j + 1) * count_a;
        uint64_t end = end_a < end_b ? end_a : end_b;
        double difference = (double)a[i] - (double)b[j];
        sum += difference * difference * (double)(end - at);
        at = end;
        i += end_a == end;
        j += end_b == end;
    }
    return sum / ((double)count_a * (double)count_b);
}

static void sort_directions(void *user, int64_t begin, int64_t end, int thread) {
    const sliced_job *job = user;
    for (int64_t i = begin; i < end; i++) project(job, (int)i, thread, job->values + (size_t)i * job->count);
}

static void compare_directions(void *user, int64_t begin, int64_t end, int thread) {
    const sliced_job *job = user;
    const imp_sliced *sliced = job->sliced;
    float *values = job->values + (size_t)thread * job->count;
    for (int64_t i = begin; i < end; i++) {
        project(job, (int)i, thread, values);
        job->distances[i] =
            squared_distance(values, job->count, sliced->sorted + (size_t)i * sliced->count, sliced->count);
    }
}

static uint32_t *allocate_keys(imp_context *context, size_t count) {
    return imp_allocate_zero(context, 2 * (size_t)imp_thread_pool_size(context->pool), count * sizeof(uint32_t));
}

int imp_sliced_create(imp_context *context, const float *features, int channels, size_t count, int directions,
                      uint64_t seed, imp_sliced **out) {
    *out = NULL;
    imp_sliced *sliced = imp_allocate_zero(context, 1, sizeof *sliced);
    if (!sliced) return IMP_ERR_MEMORY;
    sliced->channels = channels;
    sliced->directions = directions;
    sliced->count = count;
    sliced->axes = imp_allocate_zero(context, (size_t)directions, (size_t)channels * sizeof(float));
    sliced->sorted = imp_allocate_zero(context, (size_t)directions, count * sizeof(float));
    sliced_job job = {.sliced = sliced, .features = features, .count = count, .values = sliced->sorted};
    job.keys = allocate_keys(context, count);
    int status = sliced->axes && sliced->sorted && job.keys ? IMP_OK : IMP_ERR_MEMORY;
    if (!status) {
        fill_axes(sliced, seed);
        imp_parallel(context, directions, sort_directions, &job);
        *out = sliced;
    } else {
        imp_sliced_free(context, sliced);
    }
    imp_release(context, job.keys);
    return status;
}

int imp_sliced_distance(imp_context *context, const imp_sliced *sliced, const float *features, size_t count,
                        double *value) {
    sliced_job job = {.sliced = sliced, .features = features, .count = count, .keys = allocate_keys(context, count)};
    job.values = imp_allocate_zero(context, (size_t)imp_thread_pool_size(context->pool), count * sizeof(float));
    job.distances = imp_allocate_zero(context, (size_t)sliced->directions, sizeof(double));
    int status = job.keys && job.values && job.distances ? IMP_OK : IMP_ERR_MEMORY;
    if (!status) {
        double sum = 0;
        imp_parallel(context, sliced->directions, compare_directions, &job);
        for (int i = 0; i < sliced->directions; i++) sum += job.distances[i];
        *value = sum / sliced->directions;
    }
    imp_release(context, job.keys);
    imp_release(context, job.values);
    imp_release(context, job.distances);
    return status;
}

void imp_sliced_free(imp_context *context, imp_sliced *sliced) {
    if (!sliced) return;
    imp_release(context, sliced->axes);
    imp_release(context, sliced->sorted);
    imp_release(context, sliced);
}
