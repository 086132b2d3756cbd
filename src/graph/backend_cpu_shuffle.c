/* Between channels and squares of pixels: elements that only change their place. */
#include "graph/backend_cpu.h"

typedef struct shuffle_job {
    const imp_map *in, *out, *mask;
    int factor, to_pixels, accumulate;
} shuffle_job;

typedef struct place {
    int channel, y, x;
} place;

/* Where the element of the output comes from. */
static place source_of(const shuffle_job *job, place to) {
    int factor = job->factor;

    if (job->to_pixels)
        return (place){(to.channel * factor + to.y % factor) * factor + to.x % factor, to.y / factor, to.x / factor};
    return (place){to.channel / (factor * factor), to.y * factor + to.channel / factor % factor,
                   to.x * factor + to.channel % factor};
}

static float value_at(const imp_map *map, int picture, place at) {
    return imp_get_element(map->element, imp_map_pixel(map, picture, at.channel / IMP_BLOCK, at.y, at.x),
                           (size_t)(at.channel % IMP_BLOCK));
}

static void shuffle_pixel(const shuffle_job *job, int picture, int block, int y, int x) {
    const imp_map *out = job->out;
    void *at = imp_map_pixel(out, picture, block, y, x);

    for (int c = 0; c < IMP_BLOCK; c++) {
        place to = {block * IMP_BLOCK + c, y, x};
        float value = 0;

        if (to.channel < out->view.channels) value = value_at(job->in, picture, source_of(job, to));
        if (job->accumulate) value += imp_get_element(out->element, at, (size_t)c);
        if (job->mask && !(value_at(job->mask, picture, to) > 0)) value = 0;
        imp_put_element(out->element, at, (size_t)c, value);
    }
}

static void shuffle_piece(void *user, const imp_piece *piece) {
    const shuffle_job *job = user;

    for (int y = piece->row_begin; y < piece->row_end; y++)
        for (int x = 0; x < job->out->view.width; x++) shuffle_pixel(job, piece->picture, piece->block_begin, y, x);
    if (!job->accumulate) imp_cpu_zero_halo(job->out, piece);
}

void imp_cpu_shuffle(imp_context *context, const imp_map *in, const imp_map *out, int accumulate, const imp_map *mask) {
    shuffle_job job = {.in = in, .out = out, .mask = mask, .accumulate = accumulate};

    job.to_pixels = out->view.height >= in->view.height;
    job.factor = job.to_pixels ? out->view.height / in->view.height : in->view.height / out->view.height;
    imp_cpu_run_evenly(context, out, shuffle_piece, &job);
}
