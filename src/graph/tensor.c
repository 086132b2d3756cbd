/* Sizes and strides of feature maps. */
#include "graph/tensor.h"

#include <stdint.h>

#include "base/memory.h"

int imp_map_layout(imp_map *map, int batch, int channels, int height, int width, int halo) {
    size_t floats;

    *map = (imp_map){.batch = batch, .halo = halo};
    map->view.channels = channels;
    map->view.height = height;
    map->view.width = width;
    return imp_multiply((size_t)width + 2 * (size_t)halo, IMP_BLOCK, &map->view.row) &&
           imp_multiply(map->view.row, (size_t)height + 2 * (size_t)halo, &map->view.plane) &&
           imp_multiply(map->view.plane, (size_t)imp_blocks(channels), &map->picture) &&
           imp_multiply(map->picture, (size_t)batch, &floats) && floats <= SIZE_MAX / sizeof(float);
}

size_t imp_map_floats(const imp_map *map) {
    return map->picture * (size_t)map->batch;
}

void imp_map_place(imp_map *map, float *memory) {
    map->view.at = memory + (size_t)map->halo * (map->view.row + IMP_BLOCK);
}

imp_view imp_map_view(const imp_map *map, int picture) {
    imp_view view = map->view;

    view.at += map->picture * (size_t)picture;
    return view;
}

imp_map imp_map_picture(const imp_map *map, int picture) {
    imp_map one = *map;

    one.view = imp_map_view(map, picture);
    one.batch = 1;
    return one;
}

imp_map imp_map_extended(const imp_map *map) {
    imp_map whole = *map;

    if (whole.view.at) whole.view.at -= (size_t)map->halo * (map->view.row + IMP_BLOCK);
    whole.view.height += 2 * map->halo;
    whole.view.width += 2 * map->halo;
    whole.halo = 0;
    return whole;
}

int imp_map_same_shape(const imp_map *a, const imp_map *b) {
    return a->batch == b->batch && a->view.channels == b->view.channels && a->view.height == b->view.height &&
           a->view.width == b->view.width;
}
