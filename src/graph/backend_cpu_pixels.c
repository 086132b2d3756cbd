/* The ends of the CPU backend: pixels into the first map, gradients out to pixels, maps out as plain arrays. */
#include <string.h>

#include "graph/backend_cpu.h"

/* Rows that a thread takes at a time. */
#define ROWS_EACH 16

typedef struct pixel_job {
    const imp_preprocessing *preprocessing;
    const imp_map *map, *mask;
    const float *in;
    float *out;
    size_t plane; /* floats from one plane of in or out to the next */
    int accumulate;
} pixel_job;

static void run_rows(imp_context *context, const imp_map *map, imp_piece_work *work, pixel_job *job) {
    imp_cut cut = {
        .work = work,
        .job = job,
        .pictures = map->batch,
        .blocks = imp_blocks(map->view.channels),
        .blocks_each = imp_blocks(map->view.channels),
        .rows = map->view.height,
        .rows_each = ROWS_EACH,
    };

    imp_cut_run(context, &cut);
}

/* Pixels along the side of a square whose colours are one pixel's channels. */
static int factor_of(const imp_map *map) {
    int factor = 1;

    while (3 * factor * factor < map->view.channels) factor++;
    return factor;
}

/* A row of the map, one block of it, beside the planes of its picture: where each channel's first pixel lies in them, and
   how far apart its pixels are. */
typedef struct pixel_row {
    void *at;
    const void *mask; /* NULL: none */
    int channels;     /* real ones of the block */
    size_t places[IMP_BLOCK], step;
    float mean[IMP_BLOCK], scale[IMP_BLOCK];
} pixel_row;

static pixel_row find_row(const pixel_job *job, int picture, int block, int y) {
    const imp_map *map = job->map;
    const imp_preprocessing *how = job->preprocessing;
    int factor = factor_of(map), square = factor * factor;
    size_t width = (size_t)map->view.width * (size_t)factor;
    pixel_row row = {.at = imp_map_pixel(map, picture, block, y, 0),
                     .mask = job->mask ? imp_map_pixel(job->mask, picture, block, y, 0) : NULL,
                     .channels = imp_smaller(map->view.channels - block * IMP_BLOCK, IMP_BLOCK),
                     .step = (size_t)factor};

    for (int i = 0; i < row.channels; i++) {
        int colour = (block * IMP_BLOCK + i) / square, inside = (block * IMP_BLOCK + i) % square;

        row.mean[i] = how ? how->mean[colour] : 0;
        row.scale[i] = how ? how->scale[colour] : 1;
        if (how) colour = how->order[colour];
        row.places[i] = ((size_t)picture * 3 + (size_t)colour) * job->plane +
                        (size_t)(y * factor + inside / factor) * width + (size_t)(inside % factor);
    }
    return row;
}

/* The work of a piece, row by row and block by block; all but reading ends with the halo. */
static void for_rows(const pixel_job *job, const imp_piece *piece, void (*work)(const pixel_job *, const pixel_row *)) {
    for (int block = piece->block_begin; block < piece->block_end; block++)
        for (int y = piece->row_begin; y < piece->row_end; y++) {
            pixel_row row = find_row(job, piece->picture, block, y);

            work(job, &row);
        }
}

static void load_row(const pixel_job *job, const pixel_row *row) {
    size_t pixels = (size_t)job->map->view.width;
    imp_element element = job->map->element;

    memset(row->at, 0, pixels * IMP_BLOCK * imp_element_bytes(element));
    for (int i = 0; i < row->channels; i++) {
        const float *from = job->in + row->places[i];
        float mean = row->mean[i], scale = row->scale[i];

        if (element == IMP_ELEMENT_F32) {
            float *to = (float *)row->at + i;

            for (size_t x = 0; x < pixels; x++) to[x * IMP_BLOCK] = (from[x * row->step] - mean) * scale;
        } else {
            for (size_t x = 0; x < pixels; x++)
                imp_put_element(element, row->at, x * IMP_BLOCK + (size_t)i, (from[x * row->step] - mean) * scale);
        }
    }
}

static void load_piece(void *user, const imp_piece *piece) {
    const pixel_job *job = user;

    for_rows(job, piece, load_row);
    imp_cpu_zero_halo(job->map, piece);
}

void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         size_t plane, const imp_map *map) {
    pixel_job job = {.preprocessing = preprocessing, .map = map, .in = pixels, .plane = plane};

    run_rows(context, map, load_piece, &job);
}

static void store_row(const pixel_job *job, const pixel_row *row) {
    size_t pixels = (size_t)job->map->view.width;

    for (size_t x = 0; x < pixels; x++)
        for (int i = 0; i < row->channels; i++) {
            float *to = job->out + row->places[i] + x * row->step;
            float value = imp_get_element(job->map->element, row->at, x * IMP_BLOCK + (size_t)i) * row->scale[i];

            *to = job->accumulate ? *to + value : value;
        }
}

static void store_piece(void *user, const imp_piece *piece) {
    for_rows(user, piece, store_row);
}

void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int accumulate, float *pixels, size_t plane) {
    pixel_job job = {
        .preprocessing = preprocessing, .map = gradient, .out = pixels, .plane = plane, .accumulate = accumulate};

    run_rows(context, gradient, store_piece, &job);
}

/* ---- Pictures that a network paints: -1..1 in the map, 0..255 in planes ------------------------------------------ */

#define HALF_RANGE 127.5f

static size_t plane_of(const imp_map *map) {
    size_t factor = (size_t)factor_of(map);

    return (size_t)map->view.height * (size_t)map->view.width * factor * factor;
}

static void read_row(const pixel_job *job, const pixel_row *row) {
    size_t pixels = (size_t)job->map->view.width;

    for (size_t x = 0; x < pixels; x++)
        for (int i = 0; i < row->channels; i++)
            job->out[row->places[i] + x * row->step] =
                HALF_RANGE + HALF_RANGE * imp_get_element(job->map->element, row->at, x * IMP_BLOCK + (size_t)i);
}

static void read_piece(void *user, const imp_piece *piece) {
    for_rows(user, piece, read_row);
}

void imp_cpu_read_planes(imp_context *context, const imp_map *map, float *planes) {
    pixel_job job = {.map = map, .out = planes, .plane = plane_of(map)};

    run_rows(context, map, read_piece, &job);
}

static void add_row(const pixel_job *job, const pixel_row *row) {
    size_t pixels = (size_t)job->map->view.width;
    imp_element element = job->map->element;

    for (size_t x = 0; x < pixels; x++)
        for (int i = 0; i < IMP_BLOCK; i++) {
            size_t index = x * IMP_BLOCK + (size_t)i;
            float sum = job->accumulate ? imp_get_element(element, row->at, index) : 0;

            if (job->in && i < row->channels) sum += HALF_RANGE * job->in[row->places[i] + x * row->step];
            if (row->mask && !(imp_get_element(element, row->mask, index) > 0)) sum = 0;
            imp_put_element(element, row->at, index, sum);
        }
}

static void add_piece(void *user, const imp_piece *piece) {
    const pixel_job *job = user;

    for_rows(job, piece, add_row);
    if (!job->accumulate) imp_cpu_zero_halo(job->map, piece);
}

void imp_cpu_add_planes(imp_context *context, const float *planes, const imp_map *gradient, int accumulate,
                        const imp_map *mask) {
    pixel_job job = {
        .map = gradient, .mask = mask, .in = planes, .plane = plane_of(gradient), .accumulate = accumulate};

    run_rows(context, gradient, add_piece, &job);
}

void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out) {
    const imp_view *view = &map->view;

    (void)context;
    for (int c = 0; c < view->channels; c++)
        for (int y = 0; y < view->height; y++)
            for (int x = 0; x < view->width; x++)
                *out++ =
                    imp_get_element(map->element, imp_map_pixel(map, 0, c / IMP_BLOCK, y, x), (size_t)(c % IMP_BLOCK));
}
