/* Memory by liveness: when each region of the arena is needed, and first-fit placement so that regions never needed
   at once share memory. */
#include <string.h>

#include "graph/operation.h"

/* Moments: node i runs forward at i; in backward, which goes from the last node to the first, its tap's gradient is
 * added at tap_moment(i) and its own backward runs at backward_moment(i). */
static int tap_moment(const imp_plan *plan, int node) {
    return plan->node_count + 2 * (plan->node_count - 1 - node);
}

static int backward_moment(const imp_plan *plan, int node) {
    return tap_moment(plan, node) + 1;
}

static int last_moment(const imp_plan *plan) {
    return 3 * plan->node_count;
}

/* When what a forward pass found out is no longer asked for: of a part at once, window by window. */
static int end_of_results(const imp_plan *plan) {
    return plan->is_part ? plan->node_count - 1 : last_moment(plan);
}

static void extend(int *end, int moment) {
    if (moment > *end) *end = moment;
}

/* The last moment at which a node's value is read. */
static int value_end(const imp_plan *plan, int index) {
    const imp_node *node = &plan->nodes[index];
    int end = index;

    for (int i = index + 1; i < plan->node_count; i++) {
        const imp_operation *reader = plan->nodes[i].operation;

        if (plan->nodes[i].input != index && plan->nodes[i].second != index) continue;
        extend(&end, i);
        if (!plan->options.backward) continue;
        /* The mask is applied together with a reader's contribution, whichever is the last one. */
        if (node->relu || (reader->backward_reads_inputs && reader->backward_reads_inputs(plan, &plan->nodes[i])))
            extend(&end, backward_moment(plan, i));
    }
    if (node->tap >= 0 && plan->options.backward && (plan->taps[node->tap].use & (IMP_TAP_STATISTICS | IMP_TAP_MAP)))
        extend(&end, tap_moment(plan, index));
    /* Where the halo is a copy of pixels inside, the mask is applied once more when its gradient is added to theirs. */
    if (node->relu && node->padding != IMP_PADDING_ZERO && plan->options.backward)
        extend(&end, backward_moment(plan, index));
    if (node->tap >= 0 && (plan->taps[node->tap].use & (IMP_TAP_MAP | IMP_TAP_PLANES)))
        extend(&end, end_of_results(plan));
    return end;
}

/* Sizes are rounded up so that every region begins on a cache line; 0: overflow. */
static int set_region(imp_node *node, imp_region_kind kind, size_t floats, int begin, int end) {
    imp_region *region = &node->regions[kind];

    if (floats == 0 || floats > SIZE_MAX / sizeof(float) - IMP_BLOCK) return 0;
    *region = (imp_region){
        .floats = imp_round_up(floats, IMP_BLOCK),
        .begin = begin,
        .end = end,
    };
    return 1;
}

/* Floats of a tap's results: sums and second moments of all pictures; 0: overflow. */
static size_t statistics_floats(const imp_plan *plan, const imp_node *node) {
    size_t channels = (size_t)node->value.view.channels, floats;

    if (!imp_multiply(channels, channels + 1, &floats) || !imp_multiply(floats, (size_t)plan->options.batch, &floats))
        return 0;
    return floats;
}

static int set_tap_regions(imp_plan *plan, int index) {
    imp_node *node = &plan->nodes[index];
    const imp_backend *backend = plan->backend;
    double channels = node->value.view.channels;
    double pixels = 1.0 * plan->options.batch * node->value.view.height * node->value.view.width;

    if (!(plan->taps[node->tap].use & IMP_TAP_STATISTICS)) return 1;
    node->work[IMP_WORK_STATISTICS].operations = channels * (channels + 1) * pixels;
    if (!set_region(node, IMP_REGION_STATISTICS, statistics_floats(plan, node), index, end_of_results(plan)) ||
        !set_region(node, IMP_REGION_PARTIALS, backend->statistics_scratch(&node->value), index, index))
        return 0;
    if (!plan->options.backward) return 1;
    node->work[IMP_WORK_TAP_GRADIENT].operations = 2 * channels * channels * pixels;
    return set_region(node, IMP_REGION_TAP_WEIGHTS,
                      backend->statistics_gradient_scratch(plan->context, &node->value, plan->any_threads),
                      tap_moment(plan, index), tap_moment(plan, index));
}

static int set_scratch(imp_plan *plan, int index) {
    imp_node *node = &plan->nodes[index];
    int moments[] = {index, backward_moment(plan, index)};

    for (int backward = 0; backward <= (plan->options.backward != 0) && node->operation->scratch; backward++) {
        size_t floats = node->operation->scratch(plan, node, backward);

        if (floats && !set_region(node, backward ? IMP_REGION_BACKWARD_SCRATCH : IMP_REGION_SCRATCH, floats,
                                  moments[backward], moments[backward]))
            return 0;
    }
    if (node->operation->state) {
        size_t floats = node->operation->state(plan, node);

        if (floats && !set_region(node, IMP_REGION_STATE, floats, index, plan->options.backward ? moments[1] : index))
            return 0;
    }
    return 1;
}

static int set_regions(imp_plan *plan) {
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];
        int first_contribution =
            node->last_consumer < 0 ? tap_moment(plan, i) : backward_moment(plan, node->last_consumer);

        if (node->operation == &imp_operation_kept) continue;
        if (!set_region(node, IMP_REGION_VALUE, imp_map_floats(&node->value), i, value_end(plan, i))) return 0;
        if (plan->options.backward && !set_region(node, IMP_REGION_GRADIENT, imp_map_floats(&node->gradient),
                                                  first_contribution, backward_moment(plan, i)))
            return 0;
        if (node->tap >= 0 && !set_tap_regions(plan, i)) return 0;
        if (!set_scratch(plan, i)) return 0;
    }
    return 1;
}

/* The largest region that has no place yet; NULL: none is left. */
static imp_region *next_region(imp_region *regions, int count) {
    imp_region *largest = NULL;

    for (int i = 0; i < count; i++) {
        imp_region *region = &regions[i];

        if (region->floats && !region->placed && (!largest || region->floats > largest->floats)) largest = region;
    }
    return largest;
}

/* A placed region that is needed at the same time and overlaps this one where it lies now; NULL: none. */
static const imp_region *find_conflict(const imp_region *regions, int count, const imp_region *region) {
    for (int i = 0; i < count; i++) {
        const imp_region *other = &regions[i];

        if (other->placed && other->begin <= region->end && region->begin <= other->end &&
            other->offset < region->offset + region->floats && region->offset < other->offset + other->floats)
            return other;
    }
    return NULL;
}

/* Greedy by size, each at the lowest free offset (Pisarchyk and Lee, arXiv 2001.03288): for a chain of layers that
   halve the map it is as good as optimal, because small regions fill the holes between large ones. */
size_t imp_regions_place(imp_region *regions, int count) {
    size_t limit = SIZE_MAX / sizeof(float), all = 0;
    imp_region *region;

    while ((region = next_region(regions, count)) != NULL) {
        const imp_region *conflict;

        if (region->floats > limit) return 0;
        while ((conflict = find_conflict(regions, count, region)) != NULL) {
            region->offset = conflict->offset + conflict->floats;
            if (region->offset > limit - region->floats) return 0;
        }
        region->placed = 1;
        if (region->offset + region->floats > all) all = region->offset + region->floats;
    }
    return all;
}

/* The regions of all nodes, gathered for placing, and back. */
static int place_regions(imp_plan *plan) {
    size_t bytes = sizeof plan->nodes->regions;
    imp_region *regions = imp_allocate_zero(plan->context, (size_t)plan->node_count, bytes);

    if (!regions) return IMP_ERR_MEMORY;
    for (int i = 0; i < plan->node_count; i++) memcpy(regions + i * IMP_REGION_KINDS, plan->nodes[i].regions, bytes);
    plan->arena_floats = imp_regions_place(regions, plan->node_count * IMP_REGION_KINDS);
    for (int i = 0; i < plan->node_count; i++) memcpy(plan->nodes[i].regions, regions + i * IMP_REGION_KINDS, bytes);
    imp_release(plan->context, regions);
    return IMP_OK;
}

int imp_plan_lay_out(imp_plan *plan) {
    int fits = set_regions(plan), status = fits ? place_regions(plan) : IMP_OK;

    if (status != IMP_OK || (fits && plan->arena_floats)) return status;
    return imp_fail(plan->context, IMP_ERR_MEMORY, "out of memory: %d pictures of %dx%d need more than any memory",
                    plan->options.batch, plan->options.width, plan->options.height);
}
