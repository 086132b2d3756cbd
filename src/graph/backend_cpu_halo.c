/* Halos that are copies of pixels inside: filling them forward, and bringing their gradient home. */
#include <string.h>

#include "graph/backend_cpu.h"

typedef struct halo_job {
    const imp_map *map, *mask;
    int halo;
    imp_padding padding;
} halo_job;

/* The position inside that a position i of the halo is a copy of, along an axis of size positions. */
static int source_of(imp_padding padding, int i, int size) {
    if (i >= 0 && i < size) return i;
    if (padding == IMP_PADDING_REPLICATE) return i < 0 ? 0 : size - 1;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

static size_t pixel_bytes(const imp_map *map) {
    return IMP_BLOCK * imp_element_bytes(map->element);
}

/* Left and right of each row, then the rows above and below as they are with both. */
static void fill_piece(void *user, const imp_piece *piece) {
    const halo_job *job = user;
    const imp_map *map = job->map;
    int width = map->view.width, height = map->view.height;
    size_t bytes = pixel_bytes(map);

    for (int y = 0; y < height; y++)
        for (int i = 1; i <= job->halo; i++)
            for (int side = 0; side < 2; side++) {
                int x = side ? width - 1 + i : -i;

                memcpy(imp_map_pixel(map, piece->picture, piece->block_begin, y, x),
                       imp_map_pixel(map, piece->picture, piece->block_begin, y, source_of(job->padding, x, width)),
                       bytes);
            }
    for (int i = 1; i <= job->halo; i++)
        for (int side = 0; side < 2; side++) {
            int y = side ? height - 1 + i : -i;

            memcpy(
                imp_map_pixel(map, piece->picture, piece->block_begin, y, -job->halo),
                imp_map_pixel(map, piece->picture, piece->block_begin, source_of(job->padding, y, height), -job->halo),
                ((size_t)width + 2 * (size_t)job->halo) * bytes);
        }
}

/* to += from, where the mask is positive at to; from = 0. */
static void move_pixel(const halo_job *job, int picture, int block, const int from[2], const int to[2]) {
    imp_element element = job->map->element;
    void *source = imp_map_pixel(job->map, picture, block, from[0], from[1]);
    void *target = imp_map_pixel(job->map, picture, block, to[0], to[1]);
    const void *mask = job->mask ? imp_map_pixel(job->mask, picture, block, to[0], to[1]) : NULL;

    for (size_t c = 0; c < IMP_BLOCK; c++) {
        float sum = imp_get_element(element, target, c) + imp_get_element(element, source, c);

        if (mask && !(imp_get_element(element, mask, c) > 0)) sum = 0;
        imp_put_element(element, target, c, sum);
    }
    memset(source, 0, pixel_bytes(job->map));
}

/* The way of fill_piece back: rows first, with their sides, then the sides. */
static void fold_piece(void *user, const imp_piece *piece) {
    halo_job job = *(const halo_job *)user, rows = job;
    int width = job.map->view.width, height = job.map->view.height;

    rows.mask = NULL; /* where rows go to the halo's own columns there may be no mask; the next step has it */
    for (int i = job.halo; i >= 1; i--)
        for (int side = 0; side < 2; side++) {
            int y = side ? height - 1 + i : -i, to_y = source_of(job.padding, y, height);

            for (int x = -job.halo; x < width + job.halo; x++) {
                const halo_job *how = x >= 0 && x < width ? &job : &rows;

                move_pixel(how, piece->picture, piece->block_begin, (int[]){y, x}, (int[]){to_y, x});
            }
        }
    for (int y = 0; y < height; y++)
        for (int i = job.halo; i >= 1; i--)
            for (int side = 0; side < 2; side++) {
                int x = side ? width - 1 + i : -i;

                move_pixel(&job, piece->picture, piece->block_begin, (int[]){y, x},
                           (int[]){y, source_of(job.padding, x, width)});
            }
}

static void run(imp_context *context, halo_job *job, imp_piece_work *work) {
    imp_cut cut = {
        .work = work,
        .job = job,
        .pictures = job->map->batch,
        .blocks = imp_blocks(job->map->view.channels),
        .blocks_each = 1,
        .rows = 1,
        .rows_each = 1,
    };

    if (job->halo > 0) imp_cut_run(context, &cut);
}

void imp_cpu_fill_halo(imp_context *context, const imp_map *map, imp_padding padding) {
    halo_job job = {.map = map, .halo = map->halo, .padding = padding};

    run(context, &job, fill_piece);
}

void imp_cpu_fold_halo(imp_context *context, const imp_map *gradient, int halo, imp_padding padding,
                       const imp_map *mask) {
    halo_job job = {.map = gradient, .mask = mask, .halo = halo, .padding = padding};

    run(context, &job, fold_piece);
}
