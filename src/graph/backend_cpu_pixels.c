/* The ends of the CPU backend: pixels into the first map, gradients out to pixels, maps out as plain arrays. */
#include <string.h>

#include "base/half.h"
#include "graph/backend_cpu.h"

/* Rows that a thread takes at a time. */
#define ROWS_EACH 16

typedef struct pixel_job {
    const imp_preprocessing *preprocessing;
    const imp_map *map;
    const float *in;
    float *out;
    size_t plane; /* floats from one plane of in or out to the next */
    int replicate, accumulate;
} pixel_job;

static void run_rows(imp_context *context, const imp_map *map, imp_piece_work *work, pixel_job *job) {
    imp_cut cut = {
        .work = work,
        .job = job,
        .pictures = map->batch,
        .blocks = 1,
        .blocks_each = 1,
        .rows = map->view.height,
        .rows_each = ROWS_EACH,
    };

    imp_cut_run(context, &cut);
}

/* [batch, 3]: the plane of a picture's channel. */
static size_t plane_offset(const pixel_job *job, int picture, int channel) {
    return ((size_t)picture * 3 + (size_t)channel) * job->plane;
}

static void put_element(imp_element element, void *to, size_t index, float value) {
    if (element == IMP_ELEMENT_F32)
        ((float *)to)[index] = value;
    else
        ((uint16_t *)to)[index] = imp_f32_to_bf16(value);
}

static float get_element(imp_element element, const void *from, size_t index) {
    return element == IMP_ELEMENT_F32 ? ((const float *)from)[index] : imp_bf16_to_f32(((const uint16_t *)from)[index]);
}

/* Bytes of a pixel's block. */
static size_t pixel_bytes(const imp_map *map) {
    return IMP_BLOCK * imp_element_bytes(map->element);
}

/* One row of pixels. */
static void load_row(const pixel_job *job, int picture, int y) {
    const imp_view *view = &job->map->view;
    const imp_preprocessing *how = job->preprocessing;
    const float *planes[3];

    for (int c = 0; c < 3; c++)
        planes[c] = job->in + plane_offset(job, picture, how->order[c]) + (size_t)y * (size_t)view->width;
    for (int x = 0; x < view->width; x++) {
        void *pixel = imp_map_pixel(job->map, picture, 0, y, x);

        memset(pixel, 0, pixel_bytes(job->map));
        for (int c = 0; c < 3; c++)
            put_element(job->map->element, pixel, (size_t)c, (planes[c][x] - how->mean[c]) * how->scale[c]);
    }
}

/* The halo left and right of a row: zeros, or its first and last pixel again. */
static void fill_sides(const pixel_job *job, int picture, int y) {
    size_t bytes = pixel_bytes(job->map);
    int last = job->map->view.width - 1;

    for (int i = 1; i <= job->map->halo; i++) {
        void *left = imp_map_pixel(job->map, picture, 0, y, -i),
             *right = imp_map_pixel(job->map, picture, 0, y, last + i);

        if (job->replicate) {
            memcpy(left, imp_map_pixel(job->map, picture, 0, y, 0), bytes);
            memcpy(right, imp_map_pixel(job->map, picture, 0, y, last), bytes);
        } else {
            memset(left, 0, bytes);
            memset(right, 0, bytes);
        }
    }
}

static void load_piece(void *user, const imp_piece *piece) {
    const pixel_job *job = user;
    int halo = job->map->halo, height = job->map->view.height;
    size_t row_bytes = job->map->view.row * imp_element_bytes(job->map->element);

    for (int y = piece->row_begin; y < piece->row_end; y++) {
        int above = y == 0 ? halo : 0, below = y == height - 1 ? halo : 0;

        load_row(job, piece->picture, y);
        fill_sides(job, piece->picture, y);
        for (int i = 1; i <= above + below; i++) {
            const void *row = imp_map_pixel(job->map, piece->picture, 0, y, -halo);
            void *to = imp_map_pixel(job->map, piece->picture, 0, i <= above ? y - i : y + i - above, -halo);

            if (job->replicate)
                memcpy(to, row, row_bytes);
            else
                memset(to, 0, row_bytes);
        }
    }
}

void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         size_t plane, const imp_map *map, int replicate) {
    pixel_job job = {.preprocessing = preprocessing, .map = map, .in = pixels, .plane = plane, .replicate = replicate};

    run_rows(context, map, load_piece, &job);
}

/* The places along one axis whose gradient belongs to position i: itself, and at an edge the halo that was copied
   from it. */
static int first_place(int i, int halo) {
    return i == 0 ? -halo : i;
}

static int last_place(int i, int size, int halo) {
    return i == size - 1 ? size - 1 + halo : i;
}

static void store_piece(void *user, const imp_piece *piece) {
    const pixel_job *job = user;
    const imp_preprocessing *how = job->preprocessing;
    imp_view view = imp_map_view(job->map, piece->picture);
    int halo = job->replicate ? job->map->halo : 0;

    for (int y = piece->row_begin; y < piece->row_end; y++) {
        size_t row = (size_t)y * (size_t)view.width;
        float *out[3];

        for (int c = 0; c < 3; c++) out[c] = job->out + plane_offset(job, piece->picture, how->order[c]) + row;
        for (int x = 0; x < view.width; x++) {
            float sum[3] = {0, 0, 0};

            for (int from_y = first_place(y, halo); from_y <= last_place(y, view.height, halo); from_y++)
                for (int from_x = first_place(x, halo); from_x <= last_place(x, view.width, halo); from_x++) {
                    const void *at = imp_map_pixel(job->map, piece->picture, 0, from_y, from_x);

                    for (int c = 0; c < 3; c++) sum[c] += get_element(job->map->element, at, (size_t)c);
                }
            for (int c = 0; c < 3; c++) {
                float before = job->accumulate ? out[c][x] : 0;

                out[c][x] = before + sum[c] * how->scale[c];
            }
        }
    }
}

void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int replicate, int accumulate, float *pixels, size_t plane) {
    pixel_job job = {.preprocessing = preprocessing,
                     .map = gradient,
                     .out = pixels,
                     .plane = plane,
                     .replicate = replicate,
                     .accumulate = accumulate};

    run_rows(context, gradient, store_piece, &job);
}

void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out) {
    const imp_view *view = &map->view;

    (void)context;
    for (int c = 0; c < view->channels; c++)
        for (int y = 0; y < view->height; y++)
            for (int x = 0; x < view->width; x++)
                *out++ = get_element(map->element, imp_map_pixel(map, 0, c / IMP_BLOCK, y, x), (size_t)(c % IMP_BLOCK));
}
