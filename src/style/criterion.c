/* The criterion: the parts of all networks, and what is beside them. */
#include "style/criterion.h"

#include "base/memory.h"
#include "style/variation.h"

struct imp_criterion {
    imp_context *context;
    const imp_settings *settings;
    imp_loss_networks networks;
    int batch, width, height;
    imp_loss_part *parts[IMP_MAX_MODELS]; /* [networks.count] */
    float *own;                           /* of one of several parts: its gradient, [batch, 3, height, width] */
};

static size_t floats_of(const imp_criterion *criterion) {
    return 3 * (size_t)criterion->width * (size_t)criterion->height;
}

/* Bytes of all but what runs the networks. */
static uint64_t bytes_beside(const imp_criterion *criterion) {
    uint64_t bytes = sizeof *criterion;
    if (criterion->networks.count > 1)
        bytes += (uint64_t)criterion->batch * floats_of(criterion) * sizeof *criterion->own;
    for (int i = 0; i < criterion->networks.count; i++)
        bytes += imp_loss_part_bytes(criterion->context, &criterion->networks.each[i], criterion->settings,
                                     criterion->batch);
    return bytes;
}

/* What is left of memory for running the networks; 0 means no limit in both. */
static uint64_t memory_of_parts(const imp_criterion *criterion, uint64_t memory) {
    return imp_limit_left(memory, bytes_beside(criterion));
}

int imp_criterion_create(imp_context *context, imp_loss_networks networks, const imp_settings *settings, int batch,
                         int width, int height, imp_criterion **out) {
    *out = NULL;
    imp_criterion *criterion = imp_allocate_zero(context, 1, sizeof *criterion);
    if (!criterion) return IMP_ERR_MEMORY;
    *criterion = (imp_criterion){.context = context,
                                 .settings = settings,
                                 .networks = networks,
                                 .batch = batch,
                                 .width = width,
                                 .height = height};
    int status = IMP_OK;
    if (networks.count > 1) {
        criterion->own = imp_allocate_zero(context, (size_t)batch, floats_of(criterion) * sizeof *criterion->own);
        status = criterion->own ? IMP_OK : IMP_ERR_MEMORY;
    }
    for (int i = 0; i < networks.count && !status; i++)
        status = imp_loss_part_create(context, &networks.each[i], settings, batch, width, height, &criterion->parts[i]);
    if (status) {
        imp_criterion_free(criterion);
        return status;
    }
    *out = criterion;
    return IMP_OK;
}

static int measure_part(const imp_criterion *criterion, int index, uint64_t memory, imp_strips_cost *cost) {
    return imp_loss_part_measure(criterion->context, &criterion->networks.each[index], criterion->settings,
                                 criterion->batch, criterion->width, criterion->height, 0, memory, cost);
}

/* Shares memory out among the parts, which are all there at once: each may take what those before it have left, but for
   what the ones after it need at least. */
static int share(const imp_criterion *criterion, uint64_t memory, uint64_t shares[IMP_MAX_MODELS]) {
    int count = criterion->networks.count, status = IMP_OK;
    uint64_t left = memory_of_parts(criterion, memory), needed = 0, least[IMP_MAX_MODELS] = {0};
    imp_strips_cost cost;
    for (int i = 0; i < count; i++) shares[i] = left;
    if (count == 1 || left == 0) return IMP_OK;
    for (int i = 0; i < count && !status; i++) {
        status = measure_part(criterion, i, 1, &cost);
        least[i] = cost.bytes;
        needed += cost.bytes;
    }
    for (int i = 0; i < count && !status; i++) {
        needed -= least[i];
        shares[i] = imp_limit_left(left, needed);
        status = measure_part(criterion, i, shares[i], &cost);
        left = imp_limit_left(left, cost.bytes);
    }
    return status;
}

/* Adds what another part takes at the same time. */
static void add_cost(imp_strips_cost *sum, const imp_strips_cost *part) {
    sum->bytes += part->bytes;
    sum->operations += part->operations;
    sum->forward += part->forward;
    if (part->parts > sum->parts) sum->parts = part->parts;
    if (part->windows > sum->windows) sum->windows = part->windows;
    if (!sum->uncut) sum->uncut = part->uncut;
}

int imp_criterion_measure(imp_context *context, imp_loss_networks networks, const imp_settings *settings, int batch,
                          int width, int height, uint64_t memory, imp_strips_cost *cost) {
    const imp_criterion criterion = {.context = context,
                                     .settings = settings,
                                     .networks = networks,
                                     .batch = batch,
                                     .width = width,
                                     .height = height};
    uint64_t shares[IMP_MAX_MODELS];
    int status = share(&criterion, memory, shares);
    *cost = (imp_strips_cost){.bytes = bytes_beside(&criterion)};
    for (int i = 0; i < networks.count && !status; i++) {
        imp_strips_cost part;
        status = measure_part(&criterion, i, shares[i], &part);
        if (!status) add_cost(cost, &part);
    }
    return status;
}

int imp_criterion_measure_style(imp_context *context, imp_loss_networks networks, const imp_settings *settings,
                                int batch, int width, int height, int style_width, int style_height, uint64_t memory,
                                imp_strips_cost *cost) {
    const imp_criterion criterion = {.context = context,
                                     .settings = settings,
                                     .networks = networks,
                                     .batch = batch,
                                     .width = width,
                                     .height = height};
    uint64_t left = memory_of_parts(&criterion, memory), most = 0;
    int status = IMP_OK;
    *cost = (imp_strips_cost){0};
    for (int i = 0; i < networks.count && !status; i++) {
        imp_strips_cost part;
        status = imp_loss_part_measure(context, &networks.each[i], settings, batch, style_width, style_height, 1, left,
                                       &part);
        if (status) break;
        add_cost(cost, &part);
        if (part.bytes > most) most = part.bytes; /* one after the other */
    }
    cost->bytes = bytes_beside(&criterion) + most;
    return status;
}

int imp_criterion_add_style(imp_criterion *criterion, const float *style, int width, int height, double weight,
                            uint64_t memory) {
    uint64_t left = memory_of_parts(criterion, memory);
    int status = IMP_OK;
    for (int i = 0; i < criterion->networks.count && !status; i++)
        status = imp_loss_part_add_style(criterion->parts[i], style, width, height, weight, left);
    return status;
}

int imp_criterion_finish_styles(imp_criterion *criterion) {
    int status = IMP_OK;
    for (int i = 0; i < criterion->networks.count && !status; i++)
        status = imp_loss_part_finish_styles(criterion->parts[i]);
    return status;
}

int imp_criterion_set_content(imp_criterion *criterion, const float *content, uint64_t memory) {
    uint64_t shares[IMP_MAX_MODELS];
    int status = share(criterion, memory, shares);
    for (int i = 0; i < criterion->networks.count && !status; i++)
        status = imp_loss_part_set_content(criterion->parts[i], content, shares[i]);
    return status;
}

/* Losses of the networks, and their gradient. */
static int evaluate_parts(imp_criterion *criterion, const float *planes, double lead, imp_losses *losses,
                          float *gradient) {
    size_t count = (size_t)criterion->batch * floats_of(criterion);
    int status = imp_loss_part_evaluate(criterion->parts[0], planes, lead, losses, gradient);
    for (int i = 1; i < criterion->networks.count && !status; i++) {
        status = imp_loss_part_evaluate(criterion->parts[i], planes, lead, losses, criterion->own);
        for (size_t k = 0; k < count && !status; k++) gradient[k] += criterion->own[k];
    }
    return status;
}

int imp_criterion_evaluate(imp_criterion *criterion, const float *planes, double lead, imp_losses *losses,
                           float *gradient) {
    const imp_settings *settings = criterion->settings;
    for (int i = 0; i < criterion->batch; i++) losses[i] = (imp_losses){0};
    int status = evaluate_parts(criterion, planes, lead, losses, gradient);
    for (int i = 0; i < criterion->batch && !status; i++) {
        size_t at = (size_t)i * floats_of(criterion);
        if (settings->variation_weight > 0)
            status = imp_variation(criterion->context, planes + at, 3, criterion->height, criterion->width,
                                   settings->variation_weight, &losses[i].variation, gradient + at);
        losses[i].total = settings->content_weight * losses[i].content + settings->style_weight * losses[i].style +
                          settings->variation_weight * losses[i].variation;
        losses[i].objective = losses[i].total + (lead - 1) * settings->content_weight * losses[i].content;
    }
    return status;
}

int imp_criterion_profile(const imp_criterion *criterion, int index, imp_node_profile *profile) {
    for (int i = 0; i < criterion->networks.count; i++)
        for (int node = 0; imp_loss_part_profile(criterion->parts[i], node, profile); node++)
            if (index-- == 0) return 1;
    return 0;
}

void imp_criterion_free(imp_criterion *criterion) {
    if (!criterion) return;
    for (int i = 0; i < criterion->networks.count; i++) imp_loss_part_free(criterion->parts[i]);
    imp_release(criterion->context, criterion->own);
    imp_release(criterion->context, criterion);
}
