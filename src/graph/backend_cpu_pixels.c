/* The ends of the CPU backend: pixels into the first map, gradients out to pixels, maps out as plain arrays. */
#include <string.h>

#include "graph/backend_cpu.h"

/* Rows that a thread takes at a time. */
#define ROWS_EACH 16

typedef struct pixel_job {
    const imp_preprocessing *preprocessing;
    const imp_map *map;
    const float *in;
    float *out;
    int replicate;
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

/* [batch, 3, height, width]: the plane of a picture's channel. */
static size_t plane_offset(const imp_view *view, int picture, int channel) {
    return ((size_t)picture * 3 + (size_t)channel) * (size_t)view->height * (size_t)view->width;
}

/* One row of pixels; at is pixel (y, 0) of the map. */
static void load_row(const pixel_job *job, const imp_view *view, int picture, int y, float *at) {
    const imp_preprocessing *how = job->preprocessing;
    const float *planes[3];

    for (int c = 0; c < 3; c++)
        planes[c] = job->in + plane_offset(view, picture, how->order[c]) + (size_t)y * (size_t)view->width;
    for (size_t x = 0; x < (size_t)view->width; x++) {
        float *pixel = at + x * IMP_BLOCK;

        memset(pixel, 0, IMP_BLOCK * sizeof(float));
        for (int c = 0; c < 3; c++) pixel[c] = (planes[c][x] - how->mean[c]) * how->scale[c];
    }
}

/* The halo left and right of a row: zeros, or its first and last pixel again. */
static void fill_sides(const pixel_job *job, float *at) {
    size_t last = (size_t)job->map->view.width - 1;

    for (size_t i = 1; i <= (size_t)job->map->halo; i++) {
        float *left = at - i * IMP_BLOCK, *right = at + (last + i) * IMP_BLOCK;

        if (job->replicate) {
            memcpy(left, at, IMP_BLOCK * sizeof(float));
            memcpy(right, at + last * IMP_BLOCK, IMP_BLOCK * sizeof(float));
        } else {
            memset(left, 0, IMP_BLOCK * sizeof(float));
            memset(right, 0, IMP_BLOCK * sizeof(float));
        }
    }
}

static void load_piece(void *user, const imp_piece *piece) {
    const pixel_job *job = user;
    imp_view view = imp_map_view(job->map, piece->picture);
    size_t side = (size_t)job->map->halo * IMP_BLOCK, row_bytes = view.row * sizeof(float);

    for (int y = piece->row_begin; y < piece->row_end; y++) {
        float *at = view.at + (size_t)y * view.row;
        int copies = y == 0 ? job->map->halo : 0, below = y == view.height - 1 ? job->map->halo : 0;

        load_row(job, &view, piece->picture, y, at);
        fill_sides(job, at);
        for (int i = 1; i <= copies + below; i++) {
            float *row = at - side; /* with its halo */
            float *to = i <= copies ? row - (size_t)i * view.row : row + (size_t)(i - copies) * view.row;

            if (job->replicate)
                memcpy(to, row, row_bytes);
            else
                memset(to, 0, row_bytes);
        }
    }
}

void imp_cpu_load_pixels(imp_context *context, const imp_preprocessing *preprocessing, const float *pixels,
                         const imp_map *map, int replicate) {
    pixel_job job = {.preprocessing = preprocessing, .map = map, .in = pixels, .replicate = replicate};

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

        for (int c = 0; c < 3; c++) out[c] = job->out + plane_offset(&view, piece->picture, how->order[c]) + row;
        for (int x = 0; x < view.width; x++) {
            float sum[3] = {0, 0, 0};

            for (int from_y = first_place(y, halo); from_y <= last_place(y, view.height, halo); from_y++)
                for (int from_x = first_place(x, halo); from_x <= last_place(x, view.width, halo); from_x++) {
                    const float *at = view.at + (ptrdiff_t)from_y * (ptrdiff_t)view.row + (ptrdiff_t)from_x * IMP_BLOCK;

                    for (int c = 0; c < 3; c++) sum[c] += at[c];
                }
            for (int c = 0; c < 3; c++) out[c][x] = sum[c] * how->scale[c];
        }
    }
}

void imp_cpu_store_pixel_gradient(imp_context *context, const imp_preprocessing *preprocessing, const imp_map *gradient,
                                  int replicate, float *pixels) {
    pixel_job job = {.preprocessing = preprocessing, .map = gradient, .out = pixels, .replicate = replicate};

    run_rows(context, gradient, store_piece, &job);
}

void imp_cpu_read_map(imp_context *context, const imp_map *map, float *out) {
    const imp_view *view = &map->view;

    (void)context;
    for (int c = 0; c < view->channels; c++)
        for (int y = 0; y < view->height; y++) {
            const float *row = view->at + (size_t)(c / IMP_BLOCK) * view->plane + (size_t)y * view->row + c % IMP_BLOCK;

            for (int x = 0; x < view->width; x++) *out++ = row[(size_t)x * IMP_BLOCK];
        }
}
