/* Octaves: down a pyramid and up again. Each row of a level is one item of work, so that results are the same for any
 * number of threads. */
#include "style/octaves.h"

#include "base/memory.h"
#include "base/thread.h"

#define PLANES 3
#define MAX_LEVELS 6 /* below the picture: waves of 64 pixels and more are one */
#define LEAST_SIDE 4 /* pixels of the shorter side that are worth halving */
#define NEAR 0.75f   /* bilinear interpolation to twice the size: weights of the nearer */
#define FAR 0.25f    /* and of the farther pixel */
#define AREA 0.25f   /* D = U^T / 4, so that a constant stays what it is */

typedef struct octave {
    int height, width;
    float gain;    /* growth^l - growth^(l - 1); 1 for the picture itself */
    float *planes; /* [3, height, width]; the picture's own are the caller's */
} octave;

struct imp_octaves {
    imp_context *context;
    octave levels[MAX_LEVELS + 1];
    int count;
    float *memory; /* of all levels but the picture */
};

/* Sizes of the levels; how many there are. */
static int list_levels(int height, int width, octave *levels) {
    int count = 1;
    levels[0] = (octave){.height = height, .width = width};
    while (count <= MAX_LEVELS && height > LEAST_SIDE && width > LEAST_SIDE) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
        levels[count++] = (octave){.height = height, .width = width};
    }
    return count;
}

static size_t floats_of(const octave *level) {
    return (size_t)PLANES * (size_t)level->height * (size_t)level->width;
}

uint64_t imp_octaves_measure(int height, int width) {
    octave levels[MAX_LEVELS + 1];
    int count = list_levels(height, width, levels);
    uint64_t floats = 0;
    for (int l = 1; l < count; l++) floats += floats_of(&levels[l]);
    return floats * sizeof(float) + sizeof(imp_octaves);
}

int imp_octaves_create(imp_context *context, int height, int width, double growth, imp_octaves **out) {
    *out = NULL;
    imp_octaves *octaves = imp_allocate_zero(context, 1, sizeof *octaves);
    if (!octaves) return IMP_ERR_MEMORY;
    octaves->context = context;
    octaves->count = list_levels(height, width, octaves->levels);
    octaves->memory = imp_allocate(context, imp_octaves_measure(height, width) - sizeof *octaves);
    if (!octaves->memory) {
        imp_octaves_free(octaves);
        return IMP_ERR_MEMORY;
    }
    float *planes = octaves->memory;
    double reached = 1;
    octaves->levels[0].gain = 1;
    for (int l = 1; l < octaves->count; l++) {
        octaves->levels[l].gain = (float)(reached * growth - reached);
        octaves->levels[l].planes = planes;
        planes += floats_of(&octaves->levels[l]);
        reached *= growth;
    }
    *out = octaves;
    return IMP_OK;
}

void imp_octaves_free(imp_octaves *octaves) {
    if (!octaves) return;
    imp_release(octaves->context, octaves->memory);
    imp_release(octaves->context, octaves);
}

typedef struct pass {
    const octave *fine, *coarse;
} pass;

/* Which pixels of a finer row or column U carries to one of the coarser: 2 i and 2 i + 1 are near it, the ones
   outside of these far. What lies beyond the edge is the pixel at it: U repeats it there. An odd length has no 2 i + 1
   for its last. */
typedef struct reach {
    int first, second, before, after;
    float second_weight, after_weight; /* 0 where there is none */
} reach;

static reach reach_of(int i, int length) {
    reach found = {.first = 2 * i, .second = 2 * i + 1, .before = 2 * i - 1, .after = 2 * i + 2};
    found.second_weight = NEAR;
    found.after_weight = FAR;
    if (i == 0) found.before = 0;
    if (found.after == length) found.after = length - 1;
    if (found.second < length) return found;
    found.second = found.after = length - 1;
    found.second_weight = found.after_weight = 0;
    return found;
}

static float gather(const float *row, const reach *x) {
    return NEAR * row[x->first] + x->second_weight * row[x->second] + FAR * row[x->before] +
           x->after_weight * row[x->after];
}

static void shrink_rows(void *user, int64_t begin, int64_t end, int thread) {
    const pass *job = user;
    const octave *fine = job->fine, *coarse = job->coarse;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        reach y = reach_of((int)(i % coarse->height), fine->height);
        const float *plane = fine->planes + i / coarse->height * fine->height * fine->width;
        const float *first = plane + (int64_t)y.first * fine->width, *second = plane + (int64_t)y.second * fine->width;
        const float *before = plane + (int64_t)y.before * fine->width, *after = plane + (int64_t)y.after * fine->width;
        float *out = coarse->planes + i * coarse->width;
        for (int k = 0; k < coarse->width; k++) {
            reach x = reach_of(k, fine->width);
            out[k] = AREA * (NEAR * gather(first, &x) + y.second_weight * gather(second, &x) +
                             FAR * gather(before, &x) + y.after_weight * gather(after, &x));
        }
    }
}

/* The coarser pixel farther from pixel i of a finer row or column; the nearer is i / 2. */
static int farther(int i, int coarse_length) {
    int other = i % 2 ? i / 2 + 1 : i / 2 - 1;
    return other < 0 ? 0 : other < coarse_length ? other : coarse_length - 1;
}

static void grow_rows(void *user, int64_t begin, int64_t end, int thread) {
    const pass *job = user;
    const octave *fine = job->fine, *coarse = job->coarse;
    float gain = fine->gain;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int y = (int)(i % fine->height);
        const float *plane = coarse->planes + i / fine->height * coarse->height * coarse->width;
        const float *near = plane + (int64_t)(y / 2) * coarse->width;
        const float *far = plane + (int64_t)farther(y, coarse->height) * coarse->width;
        float *row = fine->planes + i * fine->width;
        for (int x = 0; x < fine->width; x++) {
            int other = farther(x, coarse->width);
            row[x] = gain * row[x] + NEAR * (NEAR * near[x / 2] + FAR * near[other]) +
                     FAR * (NEAR * far[x / 2] + FAR * far[other]);
        }
    }
}

void imp_octaves_apply(void *user, float *planes) {
    imp_octaves *octaves = user;
    octave *levels = octaves->levels, *last = &levels[octaves->count - 1];
    levels[0].planes = planes;
    for (int l = 1; l < octaves->count; l++) {
        pass down = {&levels[l - 1], &levels[l]};
        imp_parallel(octaves->context, (int64_t)PLANES * levels[l].height, shrink_rows, &down);
    }
    for (size_t i = 0; i < floats_of(last); i++) last->planes[i] *= last->gain;
    for (int l = octaves->count - 2; l >= 0; l--) {
        pass up = {&levels[l], &levels[l + 1]};
        imp_parallel(octaves->context, (int64_t)PLANES * levels[l].height, grow_rows, &up);
    }
}
