/* Sizes and strides of feature maps. */
#include "graph/tensor.h"

#include <stdint.h>

#include "base/memory.h"

int imp_map_layout(imp_map *map, imp_element element, int batch, int channels, int height, int width, int halo) {
    size_t elements;
    int fits;

    *map = (imp_map){.batch = batch, .halo = halo, .element = element};
    map->view.channels = channels;
    map->view.height = height;
    map->view.width = width;
    fits = imp_multiply((size_t)width + 2 * (size_t)halo, IMP_BLOCK, &map->view.row) &&
           imp_multiply(map->view.row, (size_t)height + 2 * (size_t)halo, &map->view.plane) &&
           imp_multiply(map->view.plane, (size_t)imp_blocks(channels), &map->picture) &&
           imp_multiply(map->picture, (size_t)batch, &elements) && elements <= SIZE_MAX / sizeof(float);
    if (!fits) map->picture = 0; /* no floats */
    return fits;
}

size_t imp_map_floats(const imp_map *map) {
    size_t bytes = map->picture * (size_t)map->batch * imp_element_bytes(map->element);

    return (bytes + sizeof(float) - 1) / sizeof(float);
}

/* Elements from the first of the memory to pixel (0, 0), which the halo's rows and pixels come before. */
static size_t halo_elements(const imp_map *map) {
    return (size_t)map->halo * (map->view.row + IMP_BLOCK);
}

void imp_map_place(imp_map *map, float *memory) {
    map->view.at = (char *)memory + halo_elements(map) * imp_element_bytes(map->element);
}

void *imp_map_pixel(const imp_map *map, int picture, int block, int y, int x) {
    ptrdiff_t elements = (ptrdiff_t)picture * (ptrdiff_t)map->picture + (ptrdiff_t)block * (ptrdiff_t)map->view.plane +
                         (ptrdiff_t)y * (ptrdiff_t)map->view.row + (ptrdiff_t)x * IMP_BLOCK;

    return (char *)map->view.at + elements * (ptrdiff_t)imp_element_bytes(map->element);
}

imp_view imp_map_view(const imp_map *map, int picture) {
    imp_view view = map->view;

    if (view.at) view.at = imp_map_pixel(map, picture, 0, 0, 0);
    return view;
}

imp_map imp_map_picture(const imp_map *map, int picture) {
    imp_map one = *map;

    one.view = imp_map_view(map, picture);
    one.batch = 1;
    return one;
}

imp_map imp_map_band(const imp_map *map, int begin, int end) {
    imp_map band = *map;

    if (band.view.at) band.view.at = imp_map_pixel(map, 0, 0, begin, 0);
    band.view.height = end - begin;
    return band;
}

imp_map imp_map_rows(const imp_map *map, int begin, int end) {
    imp_map rows = imp_map_band(map, begin, end);

    rows.halo = 0;
    return rows;
}

imp_map imp_map_extended(const imp_map *map, int pixels) {
    imp_map larger = *map;

    if (larger.view.at) larger.view.at = imp_map_pixel(map, 0, 0, -pixels, -pixels);
    larger.view.height += 2 * pixels;
    larger.view.width += 2 * pixels;
    larger.halo -= pixels;
    return larger;
}

imp_map imp_map_blocks(const imp_map *map, int begin, int channels) {
    imp_map some = *map;

    if (some.view.at) some.view.at = imp_map_pixel(map, 0, begin, 0, 0);
    some.view.channels = channels;
    return some;
}

int imp_map_same_shape(const imp_map *a, const imp_map *b) {
    return a->element == b->element && a->batch == b->batch && a->view.channels == b->view.channels &&
           a->view.height == b->view.height && a->view.width == b->view.width;
}
