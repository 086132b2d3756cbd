/* How strips are laid out: which parts, which windows, and where everything lies in one arena. */
#ifndef IMP_GRAPH_STRIPS_LAYOUT_H
#define IMP_GRAPH_STRIPS_LAYOUT_H

#include "graph/compiled.h"
#include "graph/strips.h"

/* Layers after first (the pixels: from 0 on) up to last, run in windows of rows. Rows are those of the part's input. */
typedef struct imp_strip_part {
    int first, last;
    int height, width; /* of the input */
    int unit;          /* rows that the part's pools make one of: where windows may begin and own rows end */
    int halo;          /* rows that an own row depends on, on either side, in whole units */
    int own;           /* rows of a window's own; the last window also has what is left over */
    int window;        /* rows of a window */
    int windows;
    imp_map input;          /* of the whole picture, where the input is a map; placed in the arena */
    imp_map input_gradient; /* the same, of the loss */
    size_t forward, backward, input_at, input_gradient_at; /* offsets in the arena: the plan's own arena in either pass,
                                                               and the maps */
} imp_strip_part;

typedef struct imp_strips_layout {
    imp_strip_part parts[IMP_MAX_PARTS];
    int part_count;
    imp_plan_part kind; /* of the parts' plans */
    size_t arena_floats;
    uint64_t bytes;             /* of everything */
    double operations, forward; /* of them, those of a forward pass alone */
    int is_uncut;               /* the network is not of a kind that can be cut: with less memory there is no way */
} imp_strips_layout;

/* The cheapest layout of at most memory bytes (0: no limit), or the smallest. */
int imp_strips_choose(imp_context *context, const imp_network *network, const imp_plan_options *options,
                      uint64_t memory, imp_strips_layout *layout);

/* The shape of a tap's map of the whole picture, without a halo, and floats of its statistics; strips.c keeps them. */
typedef struct imp_strip_result {
    imp_map map;
    size_t statistics;
} imp_strip_result;
imp_strip_result imp_strip_result_of(const imp_plan *whole, int tap);

/* The options of a part's plan; taps has room for options->tap_count + 1, and indices too: which tap of the whole each
   one is, -1 for the part's output. */
imp_plan_options imp_strip_part_options(const imp_plan_options *options, const imp_strip_part *part, int is_last,
                                        imp_tap *taps, int *indices);

/* Own rows of a window and where the window begins. */
typedef struct imp_strip_window {
    int first, own_begin, own_end; /* in the part's input; own ones counted from first on */
} imp_strip_window;
imp_strip_window imp_strip_window_at(const imp_strip_part *part, int index);

#endif
