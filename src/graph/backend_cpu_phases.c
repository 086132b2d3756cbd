/* Convolution of a map that is read as if it were spread among zeros, as backward of a stride does: without the zeros.
 *
 * An output (y, x) has to do with every so many taps only, those that fall on pixels of the map. Which ones depends on its
 * phase, (y, x) modulo the spread. So the outputs of a phase are a convolution of stride 1 with a part of the kernel, and
 * those of all phases together take each tap once: a kernel of 3x3 and a stride of 2 make kernels of 1x1, 1x2, 2x1 and
 * 2x2. Where a phase has no taps its outputs are zero. */
#include "graph/backend_cpu.h"
#include "graph/packed.h"

/* Along a row or a column. */
typedef struct phase {
    imp_tap_part part; /* of the weights as they were before they were turned */
    int pad;
} phase;

static phase find_phase(const imp_map_convolution *map, int position) {
    int step = imp_tap_step(map->spread, map->dilation), place = position - map->pad;

    for (int tap = 0; tap < step && tap < map->kernel; tap++, place += map->dilation) {
        if (place % map->spread) continue;
        /* Turned, the last tap is the first. */
        return (phase){imp_tap_part_of(map->kernel, step, (map->kernel - 1 - tap) % step), -place / map->spread};
    }
    return (phase){{0}, 0};
}

/* Every so many pixels of every so many rows, from (y, x) on. */
static imp_view take_pixels(const imp_map *map, int picture, int spread, int y, int x) {
    imp_view view = imp_map_view(map, picture);

    view.at = imp_map_pixel(map, picture, 0, y, x);
    view.row *= (size_t)spread;
    view.height = imp_divide_up(view.height - y, spread);
    view.width = imp_divide_up(view.width - x, spread);
    return view;
}

static void convolve_phase(const imp_map_convolution *map, const imp_kernels *kernels, void *scratch,
                           const imp_piece *piece, int y, int x) {
    int depthwise = imp_convolution_is_depthwise(map), step = imp_tap_step(map->spread, map->dilation);
    phase row = find_phase(map, y), column = find_phase(map, x);
    imp_convolution convolution;
    imp_view mask;

    imp_cpu_view_convolution(map, piece->picture, scratch, &convolution, &mask);
    convolution.weights = (const char *)map->weights.packed +
                          imp_taps_before(map->kernel, step, row.part.first, column.part.first) *
                              imp_packed_tap_bytes(kernels, map->out.view.channels, map->in.view.channels, depthwise);
    convolution.kernel_height = row.part.count;
    convolution.kernel_width = column.part.count;
    convolution.pad_y = row.pad;
    convolution.pad_x = column.pad;
    convolution.dilation = map->dilation * step / map->spread;
    convolution.out = take_pixels(&map->out, piece->picture, map->spread, y, x);
    convolution.out_step = map->spread;
    if (map->mask) mask = take_pixels(map->mask, piece->picture, map->spread, y, x);
    (depthwise ? kernels->convolve_depthwise : kernels->convolve)(&convolution, piece->block_begin, piece->block_end,
                                                                  imp_divide_up(piece->row_begin - y, map->spread),
                                                                  imp_divide_up(piece->row_end - y, map->spread));
}

void imp_cpu_convolve_phases(const imp_map_convolution *map, const imp_kernels *kernels, void *scratch,
                             const imp_piece *piece) {
    for (int y = 0; y < imp_smaller(map->spread, map->out.view.height); y++)
        for (int x = 0; x < imp_smaller(map->spread, map->out.view.width); x++)
            convolve_phase(map, kernels, scratch, piece, y, x);
}
