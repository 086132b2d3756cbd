/* Backward: from the gradients by the taps' statistics and maps to the gradient by the pixels, or by the parameters.
 *
 * A map's gradient is a sum of contributions: of the nodes that read the map, then of its own tap. The first one
 * writes, the others add, and the last one applies the mask of the ReLU, so that no pass over memory serves the
 * mask alone. */
#include <string.h>

#include "base/clock.h"
#include "graph/operation.h"

static int has_statistics(const imp_tap_gradient *gradient) {
    return gradient->by_second || gradient->by_sum;
}

static int has_map(const imp_tap_gradient *gradient) {
    return gradient->target && gradient->map_weight != 0;
}

static int has_planes(const imp_tap_gradient *gradient) {
    return gradient->planes != NULL;
}

/* Whether any picture of the batch has such a gradient at the tap; gradients: the tap's own, [batch]. */
static int any(const imp_plan *plan, const imp_tap_gradient *gradients, int (*has)(const imp_tap_gradient *)) {
    for (int i = 0; i < plan->options.batch; i++)
        if (has(&gradients[i])) return 1;
    return 0;
}

static int check_gradients(const imp_plan *plan, const imp_tap_gradient *gradients) {
    for (int i = 0; i < plan->options.tap_count * plan->options.batch; i++) {
        int tap = i / plan->options.batch;
        int status = has_map(&gradients[i]) ? imp_plan_check_target(plan, tap, gradients[i].target) : IMP_OK;

        if (status != IMP_OK) return status;
        if (has_statistics(&gradients[i]) && !(plan->taps[tap].use & IMP_TAP_STATISTICS))
            return imp_fail(plan->context, IMP_ERR_STATE, "layer %s: its statistics were not asked for",
                            plan->network->layers[plan->taps[tap].layer].name);
        if (has_planes(&gradients[i]) && !(plan->taps[tap].use & IMP_TAP_PLANES))
            return imp_fail(plan->context, IMP_ERR_STATE, "layer %s: its planes were not asked for",
                            plan->network->layers[plan->taps[tap].layer].name);
    }
    return IMP_OK;
}

/* Whether what follows the part gives this node a gradient. */
static int is_output(const imp_plan *plan, const imp_node *node) {
    return plan->output_gradient.view.at && node == &plan->nodes[plan->node_count - 1];
}

/* A gradient is wanted where the pixels lie before it, or a parameter whose gradient is. */
static void find_wanted(imp_plan *plan) {
    for (int i = 0; i < plan->node_count; i++) {
        imp_node *node = &plan->nodes[i];

        node->wanted = plan->options.training ? imp_plan_trains(plan, node) : node->input < 0;
        if (node->input >= 0) node->wanted |= plan->nodes[node->input].wanted;
        if (node->second >= 0) node->wanted |= plan->nodes[node->second].wanted;
    }
}

static void expect_contribution(imp_plan *plan, int input) {
    if (input >= 0 && plan->nodes[input].wanted) plan->nodes[input].pending++;
}

/* Counts the contributions that each node's gradient will get; nodes that get none are skipped. */
static void count_contributions(imp_plan *plan, const imp_tap_gradient *gradients) {
    find_wanted(plan);
    for (int i = 0; i < plan->node_count; i++) plan->nodes[i].pending = plan->nodes[i].written = 0;
    for (int i = plan->node_count - 1; i >= 0; i--) {
        imp_node *node = &plan->nodes[i];

        if (node->tap >= 0 && node->wanted) {
            const imp_tap_gradient *own = &gradients[node->tap * plan->options.batch];

            node->pending += any(plan, own, has_statistics) + any(plan, own, has_map) + any(plan, own, has_planes);
        }
        if (is_output(plan, node)) node->pending++;
        if (!node->pending) continue;
        expect_contribution(plan, node->input);
        expect_contribution(plan, node->second);
    }
}

/* In a window every contribution is masked by itself, because those of the taps are to some of the rows only. */
static imp_contribution next_contribution(const imp_plan *plan, imp_node *node) {
    imp_contribution contribution = {.accumulate = node->written};

    node->written = 1;
    node->pending--;
    if (node->relu && (node->pending == 0 || plan->has_windows)) contribution.mask = &node->value;
    return contribution;
}

/* A tap's contribution is to the plan's own rows; the others are zero where it is the first. */
static imp_contribution next_tap_contribution(const imp_plan *plan, imp_node *node) {
    imp_contribution contribution = next_contribution(plan, node);

    if (contribution.accumulate || !plan->has_windows) return contribution;
    plan->backend->clear(plan->context, &node->gradient);
    contribution.accumulate = 1;
    return contribution;
}

/* A picture that has no gradient where others of the batch have one still takes its turn: it
   adds zeros and is masked. */
static void add_nothing(imp_plan *plan, const imp_map *value, const imp_map *gradient, const imp_contribution *how,
                        const imp_map *mask) {
    plan->backend->scaled_difference(plan->context, 0.0f, value, value, gradient, how->accumulate, mask);
}

static void add_statistics_gradient(imp_plan *plan, imp_node *node, const imp_tap_gradient *gradients) {
    imp_contribution how = next_tap_contribution(plan, node);
    imp_map values = imp_plan_own(plan, node, &node->value, 0), sum = imp_plan_own(plan, node, &node->gradient, 0);
    float *scratch = imp_node_region(plan, node, IMP_REGION_TAP_WEIGHTS);

    for (int i = 0; i < plan->options.batch; i++) {
        imp_map value = imp_map_picture(&values, i), gradient = imp_map_picture(&sum, i);
        const imp_map *mask = how.mask ? &value : NULL;

        if (has_statistics(&gradients[i]))
            plan->backend->statistics_gradient(plan->context, &value, gradients[i].by_second, gradients[i].by_sum,
                                               scratch, &gradient, how.accumulate, mask);
        else
            add_nothing(plan, &value, &gradient, &how, mask);
    }
}

static void add_map_gradient(imp_plan *plan, imp_node *node, const imp_tap_gradient *gradients) {
    imp_contribution how = next_tap_contribution(plan, node);
    imp_map values = imp_plan_own(plan, node, &node->value, 0), sum = imp_plan_own(plan, node, &node->gradient, 0);

    for (int i = 0; i < plan->options.batch; i++) {
        imp_map value = imp_map_picture(&values, i), gradient = imp_map_picture(&sum, i);
        const imp_map *mask = how.mask ? &value : NULL;

        if (has_map(&gradients[i])) {
            imp_map targets = imp_plan_own(plan, node, &gradients[i].target->map, plan->first_row);
            imp_map target = imp_map_picture(&targets, i);

            plan->backend->scaled_difference(plan->context, gradients[i].map_weight, &value, &target, &gradient,
                                             how.accumulate, mask);
        } else {
            add_nothing(plan, &value, &gradient, &how, mask);
        }
    }
}

/* A picture without a gradient here adds zeros, which planes of NULL stand for. */
static void add_planes_gradient(imp_plan *plan, imp_node *node, const imp_tap_gradient *gradients) {
    imp_contribution how = next_contribution(plan, node);

    for (int i = 0; i < plan->options.batch; i++) {
        imp_map value = imp_map_picture(&node->value, i), gradient = imp_map_picture(&node->gradient, i);

        plan->backend->add_planes(plan->context, gradients[i].planes, &gradient, how.accumulate,
                                  how.mask ? &value : NULL);
    }
}

static void add_output_gradient(imp_plan *plan, imp_node *node) {
    imp_contribution how = next_tap_contribution(plan, node);
    imp_map from = imp_plan_own(plan, node, &plan->output_gradient, plan->first_row);
    imp_map values = imp_plan_own(plan, node, &node->value, 0), to = imp_plan_own(plan, node, &node->gradient, 0);

    plan->backend->pass(plan->context, &from, &to, how.accumulate, how.mask ? &values : NULL);
}

static void add_tap(imp_plan *plan, imp_node *node, const imp_tap_gradient *gradients) {
    double start = imp_seconds();
    int statistics = any(plan, gradients, has_statistics), map = any(plan, gradients, has_map);
    int planes = any(plan, gradients, has_planes);

    if (statistics) add_statistics_gradient(plan, node, gradients);
    if (map) add_map_gradient(plan, node, gradients);
    if (planes) add_planes_gradient(plan, node, gradients);
    if (statistics || map || planes) imp_work_record_add(&node->work[IMP_WORK_TAP_GRADIENT], start);
}

/* Rows above and below those that the node's gradient is about to be written to: further up they count as zeros. */
static void clear_what_is_not_needed(imp_plan *plan, imp_node *node) {
    int begin = imp_plan_needed_begin(plan, node), end = imp_plan_needed_end(plan, node);

    if (begin > 0) {
        imp_map above = imp_map_band(&node->gradient, 0, begin);

        plan->backend->clear(plan->context, &above);
    }
    if (end < node->gradient.view.height) {
        imp_map below = imp_map_band(&node->gradient, end, node->gradient.view.height);

        plan->backend->clear(plan->context, &below);
    }
}

static void contribute(imp_plan *plan, imp_node *node, int second) {
    imp_node *input = &plan->nodes[second ? node->second : node->input];
    imp_contribution how;

    if (!input->wanted) return;
    how = next_contribution(plan, input);
    if (!how.accumulate) clear_what_is_not_needed(plan, input);
    node->operation->backward(plan, node, second, &how);
}

static void run_backward(imp_plan *plan, imp_node *node) {
    double start = imp_seconds();

    /* What came to copies of pixels is theirs. */
    if (node->padding != IMP_PADDING_ZERO)
        plan->backend->fold_halo(plan->context, &node->gradient, node->value.halo, node->padding,
                                 node->relu ? &node->value : NULL);
    if (node->operation->parameter_gradients && imp_plan_trains(plan, node))
        node->operation->parameter_gradients(plan, node);
    if (node->input >= 0) contribute(plan, node, 0);
    if (node->second >= 0) contribute(plan, node, 1);
    if (node->input < 0 && node->operation->backward) node->operation->backward(plan, node, 0, NULL);
    imp_work_record_add(&node->work[IMP_WORK_BACKWARD], start);
}

int imp_plan_run_backward(imp_plan *plan, const imp_tap_gradient *gradients) {
    imp_node *input = &plan->nodes[0];

    count_contributions(plan, gradients);
    /* Windows overlap, and add up in the map that is kept. */
    if (input->operation == &imp_operation_kept) input->written = plan->has_windows;
    for (int i = plan->node_count - 1; i >= 0; i--) {
        imp_node *node = &plan->nodes[i];

        if (node->tap >= 0 && node->wanted) add_tap(plan, node, &gradients[node->tap * plan->options.batch]);
        if (is_output(plan, node)) add_output_gradient(plan, node);
        if (node->written && node->operation != &imp_operation_kept) run_backward(plan, node);
    }
    return input->written;
}

int imp_plan_backward(imp_plan *plan, const imp_tap_gradient *gradients, float *pixel_gradient) {
    size_t pixels = (size_t)plan->options.batch * (size_t)plan->options.height * (size_t)plan->options.width;
    int status;

    if (!plan->can_go_back)
        return imp_fail(plan->context, IMP_ERR_STATE,
                        "a backward pass needs a plan with backward, and a forward pass before each");
    if ((pixel_gradient != NULL) == (plan->options.training != 0))
        return imp_fail(plan->context, IMP_ERR_STATE,
                        "gradients by the pixels, or by the parameters of a plan that trains");
    status = check_gradients(plan, gradients);
    if (status != IMP_OK) return status;
    plan->pixel_gradient = pixel_gradient;
    plan->plane = (size_t)plan->options.height * (size_t)plan->options.width;
    plan->can_go_back = 0;
    if (!imp_plan_run_backward(plan, gradients) && pixel_gradient)
        memset(pixel_gradient, 0, 3 * pixels * sizeof *pixel_gradient);
    plan->pixel_gradient = NULL;
    return IMP_OK;
}
