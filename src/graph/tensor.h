/* Feature maps of a batch in the blocked layout of kernels/kernels.h: sizes, strides, and views of one picture. */
#ifndef IMP_GRAPH_TENSOR_H
#define IMP_GRAPH_TENSOR_H

#include "kernels/kernels.h"

/* [batch, channels, height, width], blocked, each plane with a halo on its four sides. */
typedef struct imp_map {
    imp_view view;  /* of the first picture; view.at is NULL until memory is given */
    size_t picture; /* elements from one picture to the next */
    int batch, halo;
    imp_element element;
} imp_map;

/* Fills in shape and strides, without memory; 0 when the size overflows size_t. */
int imp_map_layout(imp_map *map, imp_element element, int batch, int channels, int height, int width, int halo);

/* Memory of all pictures with their halos, in floats. */
size_t imp_map_floats(const imp_map *map);

/* Channel 0 of a block's pixel; y and x may be inside the halo. */
void *imp_map_pixel(const imp_map *map, int picture, int block, int y, int x);

/* Gives the map its memory of imp_map_floats floats. */
void imp_map_place(imp_map *map, float *memory);

/* One picture of the map: as a view, and as a map of batch 1. */
imp_view imp_map_view(const imp_map *map, int picture);
imp_map imp_map_picture(const imp_map *map, int picture);

/* The same memory of all pictures, seen as rows [begin, end) alone, without a halo. */
imp_map imp_map_rows(const imp_map *map, int begin, int end);

/* The same, with the halo: above and below it lies in the rows that were left out. */
imp_map imp_map_band(const imp_map *map, int begin, int end);

/* The same memory with so many pixels of its halo seen as a part of the area. */
imp_map imp_map_extended(const imp_map *map, int pixels);

/* The same memory of all pictures, seen as so many channels alone, from the beginning of a block on. */
imp_map imp_map_blocks(const imp_map *map, int begin, int channels);

int imp_map_same_shape(const imp_map *a, const imp_map *b); /* and element; halos may differ */

#endif
