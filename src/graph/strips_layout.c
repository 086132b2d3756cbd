/* Choosing strips: every way to cut the network at its pools, with windows as large as memory allows, by the work that it
   takes. */
#include "graph/strips_layout.h"

#include "graph/operation.h"

/* Window heights that are tried for a part: the whole, then from a half down, six for each halving. */
#define MAX_HEIGHTS 96
/* Sizes below that of the lowest windows that are asked for where even they take too much. */
#define LEAST_ATTEMPTS 16
/* Halvings of what is asked for, until the pieces of a layout fit together: to a thousandth of the memory. */
#define FIT_ATTEMPTS 10

/* A part with windows of one height. */
typedef struct height_choice {
    int own;
    size_t floats;            /* of its arena */
    uint64_t beside;          /* bytes of the plan without its arena, and of weights that are missing */
    double forward, backward; /* operations of a window */
} height_choice;

/* All ways to run the layers from one boundary to another. */
typedef struct part_choice {
    imp_strip_part part;
    height_choice heights[MAX_HEIGHTS]; /* from the largest on */
    int count;
} part_choice;

typedef struct chooser {
    imp_context *context;
    const imp_network *network;
    const imp_plan_options *options;
    int boundaries[IMP_MAX_PARTS + 1]; /* layers: pixels, some pools, the deepest tap */
    int segments;                      /* boundaries between them */
    imp_plan_part kind;
    imp_tap *taps;
    int *indices;
    uint64_t results[2];                             /* bytes of results and targets, with one window and with more */
    part_choice parts[IMP_MAX_PARTS][IMP_MAX_PARTS]; /* [first segment][last segment] */
} chooser;

/* ---- The chain of layers ----------------------------------------------------------------------------------------- */

static int deepest_tap(const imp_plan_options *options) {
    int deepest = 0;

    for (int i = 0; i < options->tap_count; i++)
        if (options->taps[i].layer > deepest) deepest = options->taps[i].layer;
    return deepest;
}

static int reaches(const imp_network *network, int from, int layer) {
    while (from > layer) from = network->layers[from].input;
    return from == layer;
}

/* Whether windows give the same as the whole: one chain of layers whose convolutions keep the size. */
static int can_be_cut(const imp_network *network, const imp_plan_options *options) {
    int deepest = deepest_tap(options);

    for (int i = 0; i < options->tap_count; i++)
        if (!reaches(network, deepest, options->taps[i].layer)) return 0;
    for (int i = deepest; i > 0; i = network->layers[i].input) {
        const imp_layer *layer = &network->layers[i];

        if (!imp_operation_find(layer->kind)->any_windows) return 0;
        if (layer->kind == IMP_OPERATION_CONVOLUTION &&
            (layer->stride != 1 || layer->padding_mode != IMP_PADDING_ZERO || imp_layer_dilation(layer) != 1 ||
             layer->kernel % 2 == 0 || layer->padding != layer->kernel / 2))
            return 0;
    }
    return 1;
}

/* Pools on the way to the deepest tap, as many of the first as there is room for, between the pixels and the tap. */
static void find_boundaries(chooser *made) {
    const imp_layer *layers = made->network->layers;
    int deepest = deepest_tap(made->options), pools = 0, skip;

    for (int i = layers[deepest].input; i > 0; i = layers[i].input) pools += layers[i].kind == IMP_OPERATION_POOL;
    skip = pools > IMP_MAX_PARTS - 1 ? pools - (IMP_MAX_PARTS - 1) : 0;
    made->segments = pools - skip + 1;
    made->boundaries[made->segments] = deepest;
    for (int i = layers[deepest].input, place = made->segments; i > 0; i = layers[i].input)
        if (layers[i].kind == IMP_OPERATION_POOL && skip-- <= 0) made->boundaries[--place] = i;
    made->boundaries[0] = 0;
}

/* ---- One part ---------------------------------------------------------------------------------------------------- */

imp_plan_options imp_strip_part_options(const imp_plan_options *options, const imp_strip_part *part, int is_last,
                                        imp_tap *taps, int *indices) {
    imp_plan_options own = *options;
    int has_output = is_last;

    own.height = part->window;
    own.width = part->width;
    own.input_layer = part->first;
    own.taps = taps;
    own.tap_count = 0;
    for (int i = 0; i < options->tap_count; i++) {
        int layer = options->taps[i].layer;

        if (layer > part->last || (layer <= part->first && part->first > 0)) continue;
        taps[own.tap_count] = options->taps[i];
        if (layer == part->last && !is_last) {
            taps[own.tap_count].use |= IMP_TAP_OUTPUT;
            has_output = 1;
        }
        indices[own.tap_count++] = i;
    }
    if (has_output) return own;
    taps[own.tap_count] = (imp_tap){part->last, IMP_TAP_OUTPUT};
    indices[own.tap_count++] = -1;
    return own;
}

imp_strip_window imp_strip_window_at(const imp_strip_part *part, int index) {
    int begin = index * part->own, end = index == part->windows - 1 ? part->height : begin + part->own;
    int first = begin - part->halo, last = part->height - part->window;

    if (first > last) first = last;
    if (first < 0) first = 0;
    return (imp_strip_window){first, begin - first, end - first};
}

/* Everything but the windows. */
static void measure_part(const chooser *made, int from, int to, imp_strip_part *part) {
    const imp_layer *layers = made->network->layers;
    int halo = 0;

    *part = (imp_strip_part){
        .first = made->boundaries[from],
        .last = made->boundaries[to],
        .height = made->options->height,
        .width = made->options->width,
        .unit = 1,
    };
    for (int i = part->first; i > 0; i = layers[i].input)
        if (layers[i].kind == IMP_OPERATION_POOL) {
            part->height /= 2;
            part->width /= 2;
        }
    for (int i = part->last; i > part->first; i = layers[i].input) {
        if (layers[i].kind == IMP_OPERATION_POOL) {
            part->unit *= 2;
            halo *= 2;
        } else if (layers[i].kind == IMP_OPERATION_CONVOLUTION) {
            halo += layers[i].padding;
        }
    }
    part->halo = (halo + part->unit - 1) / part->unit * part->unit;
}

/* A window begins at whole units, and the last one ends where the picture does: all are as high as that takes. */
static void set_windows(imp_strip_part *part, int own) {
    int left_over = part->height % part->unit;

    part->own = own;
    part->window = own + 2 * part->halo + left_over;
    part->windows = (part->height - left_over + own - 1) / own;
    if (part->window < part->height) return;
    part->own = part->window = part->height;
    part->windows = 1;
}

static int compile_height(chooser *made, part_choice *choice, int is_last, int own) {
    height_choice *height = &choice->heights[choice->count];
    imp_plan *plan;
    int status;

    set_windows(&choice->part, own);
    imp_plan_options options = imp_strip_part_options(made->options, &choice->part, is_last, made->taps, made->indices);
    status = imp_plan_compile(made->context, made->network, &options, made->kind, &plan);
    if (status == IMP_OK && choice->part.windows > 1) imp_plan_set_window(plan, choice->part.halo, choice->part.own);
    if (status == IMP_OK) {
        *height = (height_choice){
            .own = own,
            .floats = plan->arena_floats,
            .beside = plan->bytes - plan->arena_floats * sizeof(float) + imp_plan_missing_weights(plan),
            .forward = imp_plan_operations(plan, 0),
            .backward = imp_plan_operations(plan, 1) - imp_plan_operations(plan, 0),
        };
        choice->count++;
        choice->part.input = plan->nodes[0].value;
        choice->part.input_gradient = plan->nodes[0].gradient;
    }
    imp_plan_free(plan);
    return status;
}

/* The maps of the part's whole input, shaped as the plan's: a plan that could be compiled fits size_t, and its input at
   the full height is a small part of the picture's planes. */
static int shape_input(const chooser *made, imp_strip_part *part) {
    const imp_view shape = part->input.view;
    const imp_plan_options *options = made->options;

    if (part->first == 0) return IMP_OK;
    if (imp_map_layout(&part->input, options->element, options->batch, shape.channels, part->height, part->width,
                       part->input.halo) &&
        imp_map_layout(&part->input_gradient, options->element, options->batch, shape.channels, part->height,
                       part->width, part->input_gradient.halo))
        return IMP_OK;
    return imp_fail(made->context, IMP_ERR_MEMORY, "out of memory: %d pictures of %dx%d need more than any memory",
                    options->batch, options->width, options->height);
}

/* At first the whole height, and with all_heights lower ones down to a unit. */
static int list_heights(chooser *made, int from, int to, int all_heights) {
    part_choice *choice = &made->parts[from][to - 1];
    imp_strip_part *part = &choice->part;
    int is_last = to == made->segments, before = 0, status;

    measure_part(made, from, to, part);
    choice->count = 0;
    status = compile_height(made, choice, is_last, part->height);
    /* Counts of windows grow by an eighth: a finer choice would save little. */
    for (int count = 2; all_heights && status == IMP_OK && choice->count < MAX_HEIGHTS; count += (count + 7) / 8) {
        int units = part->height / part->unit, own = (units + count - 1) / count * part->unit;

        if (own == 0) break;
        if (own == before) continue;
        before = own;
        set_windows(part, own);
        if (part->windows > 1) status = compile_height(made, choice, is_last, own);
        if (own == part->unit) break;
    }
    return status == IMP_OK ? shape_input(made, part) : status;
}

/* ---- A whole layout ---------------------------------------------------------------------------------------------- */

/* Moments: part i runs forward at i, backward at moments - 1 - i. */
static int moments_of(const chooser *made, int count) {
    return made->options->backward ? 2 * count : count;
}

/* Whether the part's maps of the forward pass are still there in backward: it is the last, in one window. */
static int is_kept(const imp_strips_layout *layout, int part) {
    return part == layout->part_count - 1 && layout->parts[part].windows == 1;
}

/* The regions of a part's things, IMP_REGIONS_OF_PART each. */
enum { FORWARD, BACKWARD, INPUT, INPUT_GRADIENT, REGIONS_OF_PART };

static void set_region(imp_region *region, size_t floats, int begin, int end) {
    *region = (imp_region){.floats = imp_round_up(floats, IMP_BLOCK), .begin = begin, .end = end};
}

/* The maps between parts, at the moments at which they are needed; nothing else. */
static void set_map_regions(const chooser *made, const imp_strips_layout *layout, imp_region *regions) {
    int moments = moments_of(made, layout->part_count), backward = made->options->backward;

    for (int i = 0; i < layout->part_count * REGIONS_OF_PART; i++) regions[i] = (imp_region){0};
    for (int i = 1; i < layout->part_count; i++) {
        const imp_strip_part *part = &layout->parts[i];
        imp_region *own = regions + i * REGIONS_OF_PART;

        set_region(&own[INPUT], imp_map_floats(&part->input), i - 1, backward ? moments - 1 - i : i);
        if (backward)
            set_region(&own[INPUT_GRADIENT], imp_map_floats(&part->input_gradient), moments - 1 - i, moments - i);
    }
}

static size_t live_at(const imp_region *regions, int count, int moment) {
    size_t floats = 0;

    for (int i = 0; i < count; i++)
        if (regions[i].begin <= moment && moment <= regions[i].end) floats += regions[i].floats;
    return floats;
}

/* Operations of a part over all its windows. */
static double operations_of(const chooser *made, const imp_strips_layout *layout, int part,
                            const height_choice *height) {
    double window = height->forward;

    if (made->options->backward) window += height->backward + (is_kept(layout, part) ? 0 : height->forward);
    return window * layout->parts[part].windows;
}

static const part_choice *choice_of(const chooser *made, int segment, int end) {
    return &made->parts[segment][end - 1];
}

/* Whether cuts, a set of bits, has a boundary behind the segment. */
static int is_cut(const chooser *made, unsigned cuts, int segment) {
    return segment == made->segments - 1 || (cuts >> segment & 1);
}

/* Places all in the arena; 0: overflow. */
static int place(const chooser *made, imp_strips_layout *layout, const size_t *arenas, imp_region *regions) {
    int count = layout->part_count, moments = moments_of(made, count), backward = made->options->backward;

    for (int i = 0; i < count; i++) {
        imp_region *own = regions + i * REGIONS_OF_PART;
        int kept = backward && is_kept(layout, i);

        set_region(&own[FORWARD], arenas[i], i, kept ? moments - 1 - i : i);
        if (backward && !kept) set_region(&own[BACKWARD], arenas[i], moments - 1 - i, moments - 1 - i);
    }
    layout->arena_floats = imp_regions_place(regions, count * REGIONS_OF_PART);
    for (int i = 0; i < count; i++) {
        const imp_region *own = regions + i * REGIONS_OF_PART;

        layout->parts[i].forward = own[FORWARD].offset;
        layout->parts[i].backward = own[is_kept(layout, i) ? FORWARD : BACKWARD].offset;
        layout->parts[i].input_at = own[INPUT].offset;
        layout->parts[i].input_gradient_at = own[INPUT_GRADIENT].offset;
    }
    return layout->arena_floats > 0;
}

/* The layout with these cuts whose windows are the highest that fit memory one by one; 0: the lowest ones. Returns 0 when
   nothing comes of it. */
static int lay_out(const chooser *made, unsigned cuts, uint64_t memory, imp_strips_layout *layout) {
    const part_choice *choices[IMP_MAX_PARTS];
    imp_region regions[IMP_MAX_PARTS * REGIONS_OF_PART];
    size_t arenas[IMP_MAX_PARTS];
    int count = 0;

    *layout = (imp_strips_layout){.kind = made->kind};
    for (int segment = 0, from = 0; segment < made->segments; segment++) {
        if (!is_cut(made, cuts, segment)) continue;
        choices[count] = choice_of(made, from, segment + 1);
        layout->parts[count] = choices[count]->part;
        from = segment + 1;
        count++;
    }
    layout->part_count = count;
    layout->bytes = made->results[1];
    set_map_regions(made, layout, regions);
    for (int i = 0; i < count; i++) {
        size_t forward = live_at(regions, count * REGIONS_OF_PART, i);
        size_t backward = live_at(regions, count * REGIONS_OF_PART, moments_of(made, count) - 1 - i);
        size_t live = forward > backward ? forward : backward;
        const height_choice *height = choices[i]->heights;
        int left = choices[i]->count;

        while (left > 1 && (live + height->floats) * sizeof(float) + layout->bytes > memory) left--, height++;
        set_windows(&layout->parts[i], height->own);
        arenas[i] = height->floats;
        layout->bytes += height->beside;
        layout->operations += operations_of(made, layout, i, height);
        layout->forward += height->forward * layout->parts[i].windows;
    }
    if (!place(made, layout, arenas, regions)) return 0;
    if (count == 1 && layout->parts[0].windows == 1) layout->bytes -= made->results[1] - made->results[0];
    layout->bytes += layout->arena_floats * sizeof(float);
    return 1;
}

/* A layout with these cuts that takes no more than memory, or else the least, and what was asked for. Mostly that of the
   lowest windows; but in those convolutions may go a way that takes more. */
static int find_least(const chooser *made, unsigned cuts, uint64_t memory, imp_strips_layout *layout, uint64_t *asked) {
    imp_strips_layout tried;
    uint64_t lowest;

    *asked = 0;
    if (!lay_out(made, cuts, 0, layout)) return 0;
    lowest = layout->bytes;
    for (uint64_t i = 1; i < LEAST_ATTEMPTS && layout->bytes > memory; i++) {
        uint64_t wanted = lowest / LEAST_ATTEMPTS * i;

        if (!lay_out(made, cuts, wanted, &tried)) return 0;
        if (tried.bytes < layout->bytes) *layout = tried, *asked = wanted;
    }
    return 1;
}

/* The layout with these cuts whose windows are the highest that fit memory together; where none do, the one that takes the
   least. What fits piece by piece leaves gaps when it is placed, so that the most to ask for is found by halving. */
static int fit(const chooser *made, unsigned cuts, uint64_t memory, imp_strips_layout *layout) {
    uint64_t fits, too_much = memory;
    imp_strips_layout tried;

    if (!lay_out(made, cuts, memory, layout)) return 0;
    if (layout->bytes <= memory) return 1;
    if (!find_least(made, cuts, memory, layout, &fits)) return 0;
    for (int i = 0; i < FIT_ATTEMPTS && layout->bytes <= memory && fits < too_much; i++) {
        uint64_t middle = fits + (too_much - fits) / 2;

        if (!lay_out(made, cuts, middle, &tried)) return 0;
        if (tried.bytes <= memory)
            fits = middle, *layout = tried;
        else
            too_much = middle;
    }
    return 1;
}

static int is_better(const imp_strips_layout *one, const imp_strips_layout *other, uint64_t memory) {
    if (other->part_count == 0) return 1;
    if (one->bytes > memory || other->bytes > memory) return one->bytes < other->bytes;
    return one->operations < other->operations || (one->operations == other->operations && one->bytes < other->bytes);
}

imp_strip_result imp_strip_result_of(const imp_plan *whole, int tap) {
    const imp_map *map = &whole->nodes[whole->tap_nodes[tap]].value;
    size_t channels = (size_t)map->view.channels;
    imp_strip_result result = {.statistics = 0};

    /* Cannot overflow: the same map with its halo did not. */
    imp_map_layout(&result.map, map->element, map->batch, map->view.channels, map->view.height, map->view.width, 0);
    if (whole->taps[tap].use & IMP_TAP_STATISTICS) result.statistics = (size_t)map->batch * channels * (channels + 1);
    return result;
}

static void measure_results(chooser *made, const imp_plan *whole) {
    uint64_t targets = 0, statistics = 0;

    for (int i = 0; i < whole->options.tap_count; i++) {
        imp_strip_result result = imp_strip_result_of(whole, i);

        statistics += result.statistics;
        if (whole->taps[i].use & IMP_TAP_MAP)
            targets += sizeof(imp_map_target) + imp_map_floats(&result.map) * sizeof(float);
    }
    made->results[0] = targets + statistics * sizeof(float);
    made->results[1] = targets + statistics * (sizeof(float) + sizeof(double));
}

static int choose(chooser *made, uint64_t memory, imp_strips_layout *layout) {
    imp_strips_layout tried;
    imp_plan *plan;
    int status = imp_plan_compile(made->context, made->network, made->options, IMP_PLAN_WHOLE, &plan);

    if (status == IMP_OK) measure_results(made, plan);
    imp_plan_free(plan);
    if (status != IMP_OK) return status;
    made->segments = 1; /* everything kept: the usual case is tried without the others */
    made->boundaries[1] = deepest_tap(made->options);
    status = list_heights(made, 0, 1, 0);
    if (status != IMP_OK) return status;
    if (lay_out(made, 0, UINT64_MAX, layout) && (memory == 0 || layout->bytes <= memory)) return IMP_OK;
    layout->is_uncut = !can_be_cut(made->network, made->options);
    if (layout->is_uncut) return IMP_OK;
    find_boundaries(made);
    for (int from = 0; from < made->segments && status == IMP_OK; from++)
        for (int to = from + 1; to <= made->segments && status == IMP_OK; to++)
            status = list_heights(made, from, to, 1);
    for (unsigned cuts = 0; cuts < 1u << (made->segments - 1) && status == IMP_OK; cuts++)
        if (fit(made, cuts, memory, &tried) && is_better(&tried, layout, memory)) *layout = tried;
    return status;
}

int imp_strips_choose(imp_context *context, const imp_network *network, const imp_plan_options *options,
                      uint64_t memory, imp_strips_layout *layout) {
    chooser *made = imp_allocate_zero(context, 1, sizeof *made);
    int status = IMP_ERR_MEMORY;

    if (!made) return IMP_ERR_MEMORY;
    *made = (chooser){.context = context, .network = network, .options = options};
    made->kind = memory ? IMP_PLAN_LIMITED : IMP_PLAN_PART;
    made->taps = imp_allocate_zero(context, (size_t)options->tap_count + 1, sizeof *made->taps);
    made->indices = imp_allocate_zero(context, (size_t)options->tap_count + 1, sizeof *made->indices);
    *layout = (imp_strips_layout){0};
    if (made->taps && made->indices) status = choose(made, memory, layout);
    imp_release(context, made->taps);
    imp_release(context, made->indices);
    imp_release(context, made);
    return status;
}
