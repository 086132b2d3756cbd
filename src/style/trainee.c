/* The network that trains. */
#include "style/trainee.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "graph/packed.h"
#include "models/fold.h"
#include "style/settings.h"

imp_element imp_recipe_element(const imp_context *context, int precision) {
    if (precision == IMP_RECIPE_AUTO) return imp_fast_element(context);
    return precision == IMP_RECIPE_BF16 ? IMP_ELEMENT_BF16 : IMP_ELEMENT_F32;
}

static int open_model(imp_context *context, const imp_training_source *source, const char *name, imp_model **model) {
    int status = source->model(source->user, context, name, model);
    return status < 0 ? imp_fail(context, status, "the model \"%.200s\" cannot be had", name) : IMP_OK;
}

int imp_recipe_open_teacher(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                            imp_model **model) {
    int status;
    *model = NULL;
    status = open_model(context, source, recipe->teacher.model, model);
    if (status != IMP_OK || imp_model_style_count(*model) == 0) return status;
    return imp_fail(
        context, IMP_ERR_ARGUMENT,
        "\"loss_network\": %.60s is a network that paints, and losses look at one that sees pictures, such as "
        "vgg19",
        recipe->teacher.model);
}

static const char *architecture_name_at(const void *user, int index) {
    (void)user;
    return imp_architectures[index].name;
}

static int find_architecture(imp_context *context, const imp_recipe *recipe, const imp_architecture **architecture) {
    const char *name = recipe->network.architecture, *nearest;
    *architecture = imp_architecture_find(imp_architectures, name);
    if (*architecture) return IMP_OK;
    nearest = imp_nearest_name(name, architecture_name_at, NULL);
    return imp_fail(context, IMP_ERR_ARGUMENT, "there is no architecture \"%.60s\"%s%s%s", name,
                    nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

static const char *option_name_at(const void *user, int index) {
    const imp_architecture *architecture = user;
    return index < imp_architecture_option_count(architecture) ? architecture->options[index].name : NULL;
}

/* A value for each option of the architecture: the recipe's, the number of its styles, or the initial one. */
static int read_options(imp_context *context, const imp_recipe *recipe, const imp_architecture *architecture,
                        int *values) {
    int count = imp_architecture_option_count(architecture);
    for (int i = 0; i < count; i++) {
        int is_styles = strcmp(architecture->options[i].name, IMP_OPTION_STYLES) == 0;
        values[i] = is_styles ? recipe->style_count : architecture->options[i].initial;
    }
    for (int k = 0; k < recipe->network.options.count; k++) {
        const imp_recipe_number *given = &recipe->network.options.items[k];
        int i = 0;
        while (i < count && strcmp(architecture->options[i].name, given->name) != 0) i++;
        if (i == count || strcmp(given->name, IMP_OPTION_STYLES) == 0) {
            const char *nearest = imp_nearest_name(given->name, option_name_at, architecture);
            return imp_fail(context, IMP_ERR_ARGUMENT, "%s has no option \"%.60s\"%s%s%s", architecture->name,
                            given->name, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                            nearest ? "\"?" : "");
        }
        if (given->value != floor(given->value) || fabs(given->value) > 1e6)
            return imp_fail(context, IMP_ERR_ARGUMENT, "%s: %.60s is %g, no whole number", architecture->name,
                            given->name, given->value);
        values[i] = (int)given->value;
    }
    return IMP_OK;
}

static const char *word_of(const imp_recipe_style *style, int pictures) {
    return pictures ? style->picture : style->name;
}

char *imp_recipe_join_styles(imp_context *context, const imp_recipe *recipe, int pictures) {
    size_t bytes = 1, used = 0;
    for (int i = 0; i < recipe->style_count; i++) bytes += strlen(word_of(&recipe->styles[i], pictures)) + 1;
    char *words = imp_allocate_zero(context, bytes, 1);
    for (int i = 0; i < recipe->style_count && words; i++)
        used += (size_t)sprintf(words + used, "%s\n", word_of(&recipe->styles[i], pictures));
    return words;
}

static int name_styles(imp_context *context, const imp_recipe *recipe, imp_model *model) {
    char *names = imp_recipe_join_styles(context, recipe, 0);
    int status = names ? imp_model_set_styles(context, model, names) : IMP_ERR_MEMORY;
    imp_release(context, names);
    return status;
}

/* The weights of a model of the same shape. */
static int start_from(imp_context *context, const imp_training_source *source, const char *name, imp_model *model) {
    imp_model *start = NULL;
    int status = open_model(context, source, name, &start);
    for (int i = 0; i < model->network.parameter_count && !status; i++) {
        const imp_parameter *to = &model->network.parameters[i], *from;
        from = i < start->network.parameter_count ? &start->network.parameters[i] : NULL;
        if (!from || strcmp(from->name, to->name) != 0 || from->dimensions != to->dimensions ||
            memcmp(from->shape, to->shape, sizeof from->shape) != 0)
            status = imp_fail(context, IMP_ERR_ARGUMENT, "%.200s has no %s of the network's shape to start from", name,
                              to->name);
        else
            memcpy(to->data, from->data, imp_parameter_count(to) * sizeof(float));
    }
    imp_model_free(start);
    return status;
}

/* The part of a running mean or variance that a step renews: PyTorch's momentum. */
#define NORM_MOMENTUM 0.1f

static int list_norms(imp_trainee *trainee) {
    const imp_network *network = &trainee->model->network;
    size_t channels = 0;
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];
        if (layer->kind != IMP_OPERATION_BATCH_NORM) continue;
        trainee->parameters[layer->mean].state = trainee->parameters[layer->variance].state = 1;
        trainee->parameters[layer->variance].values = IMP_VALUES_FROM_0;
        channels += (size_t)layer->channels;
    }
    if (channels == 0) return IMP_OK;
    trainee->moments = imp_allocate_zero(trainee->context, channels, 2 * sizeof(float));
    return trainee->moments ? IMP_OK : IMP_ERR_MEMORY;
}

/* A norm that does not train keeps what it has. */
void imp_trainee_look(imp_trainee *trainee, const imp_plan *plan) {
    const imp_network *network = &trainee->model->network;
    float *seen = trainee->moments;
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];
        if (layer->kind != IMP_OPERATION_BATCH_NORM) continue;
        size_t channels = (size_t)layer->channels;
        if (!imp_plan_batch_moments(plan, i, seen, seen + channels)) {
            memcpy(seen, network->parameters[layer->mean].data, channels * sizeof *seen);
            memcpy(seen + channels, network->parameters[layer->variance].data, channels * sizeof *seen);
        }
        seen += 2 * channels;
    }
}

static const float *renew(const imp_parameter *kept, const float *seen) {
    size_t count = imp_parameter_count(kept);
    for (size_t i = 0; i < count; i++) kept->data[i] += NORM_MOMENTUM * (seen[i] - kept->data[i]);
    return seen + count;
}

void imp_trainee_follow(imp_trainee *trainee) {
    const imp_network *network = &trainee->model->network;
    const float *seen = trainee->moments;
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];
        if (layer->kind != IMP_OPERATION_BATCH_NORM) continue;
        seen = renew(&network->parameters[layer->mean], seen);
        seen = renew(&network->parameters[layer->variance], seen);
    }
}

int imp_trainee_write(const imp_trainee *trainee, const char *path, imp_storage storage) {
    imp_model *folded;
    int status = imp_model_fold_norms(trainee->context, trainee->model, &folded);
    if (!status) status = imp_model_save(trainee->context, folded ? folded : trainee->model, path, storage);
    imp_model_free(folded);
    return status;
}

static int list_parameters(imp_trainee *trainee) {
    const imp_network *network = &trainee->model->network;
    trainee->parameters = imp_allocate_zero(trainee->context, (size_t)network->parameter_count + IMP_TRAINEE_MORE,
                                            sizeof *trainee->parameters);
    if (!trainee->parameters) return IMP_ERR_MEMORY;
    trainee->parameter_count = network->parameter_count;
    for (int i = 0; i < network->parameter_count; i++) {
        const imp_parameter *parameter = &network->parameters[i];
        imp_learner_parameter *listed = &trainee->parameters[i];
        *listed = (imp_learner_parameter){
            .name = parameter->name, .dimensions = parameter->dimensions, .data = parameter->data};
        listed->decays = parameter->dimensions == 4; /* kernels; biases have one dimension, norms two at most */
        memcpy(listed->shape, parameter->shape, sizeof listed->shape);
    }
    return IMP_OK;
}

imp_learner_parameter *imp_trainee_add_state(imp_trainee *trainee, const char *name, int dimensions,
                                             const int64_t *shape, float *data) {
    imp_learner_parameter *added = &trainee->parameters[trainee->parameter_count++];
    *added = (imp_learner_parameter){.name = name, .dimensions = dimensions, .data = data, .state = 1};
    memcpy(added->shape, shape, (size_t)dimensions * sizeof *shape);
    return added;
}

int imp_trainee_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_trainee *trainee) {
    const imp_architecture *architecture;
    int options[IMP_MAX_OPTIONS];
    *trainee = (imp_trainee){.context = context, .element = imp_recipe_element(context, recipe->network.precision)};
    int status = find_architecture(context, recipe, &architecture);
    if (!status) status = read_options(context, recipe, architecture, options);
    if (!status) status = imp_model_make(context, architecture, options, &trainee->model);
    if (status) return status;
    status = imp_model_set_preprocessing(context, trainee->model, architecture->preprocessing);
    if (!status) status = imp_model_set_words(context, trainee->model, recipe->network.origin, recipe->network.licence);
    if (!status && imp_model_style_count(trainee->model) > 0) status = name_styles(context, recipe, trainee->model);
    if (!status) status = imp_model_initialize(context, trainee->model, recipe->seed);
    if (!status && recipe->network.start[0])
        status = start_from(context, source, recipe->network.start, trainee->model);
    if (!status) status = list_parameters(trainee);
    return status ? status : list_norms(trainee);
}

void imp_trainee_release(imp_trainee *trainee) {
    imp_release(trainee->context, trainee->parameters);
    imp_release(trainee->context, trainee->moments);
    imp_model_free(trainee->model);
    *trainee = (imp_trainee){.context = trainee->context};
}

int imp_trainee_refresh(imp_trainee *trainee) {
    return imp_network_refresh(trainee->context, &trainee->model->network);
}

imp_plan_options imp_recipe_plan_options(const imp_recipe *recipe, imp_element element, const imp_tap *taps,
                                         int count) {
    return (imp_plan_options){.batch = recipe->batch,
                              .height = recipe->data.crop,
                              .width = recipe->data.crop,
                              .taps = taps,
                              .tap_count = count,
                              .average_scale = 1,
                              .first_padding = IMP_PADDING_REPLICATE,
                              .element = element};
}

static const char *layer_name_at(const void *user, int index) {
    const imp_network *network = user;
    return index < network->layer_count ? network->layers[index].name : NULL;
}

int imp_recipe_find_layers(imp_context *context, const imp_network *network, const imp_recipe_numbers *names,
                           const char *what, int *layers, double *weights, int most) {
    if (names->count < 1 || names->count > most)
        return imp_fail(context, IMP_ERR_ARGUMENT, "losses: \"%s\" has %d layers; it must have 1 to %d", what,
                        names->count, most);
    for (int i = 0; i < names->count; i++) {
        const char *name = names->items[i].name;
        layers[i] = imp_network_find_tap(network, name);
        weights[i] = names->items[i].value;
        if (layers[i] < 0) {
            const char *nearest = imp_nearest_name(name, layer_name_at, network);
            return imp_fail(context, IMP_ERR_ARGUMENT, "losses: %s has no layer \"%.60s\"%s%s%s", network->architecture,
                            name, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
        }
        for (int k = 0; k < i; k++)
            if (layers[k] == layers[i])
                return imp_fail(context, IMP_ERR_ARGUMENT, "losses: the layer \"%.60s\" is there twice in \"%s\"", name,
                                what);
    }
    return IMP_OK;
}

int imp_recipe_check_crop(imp_context *context, const imp_recipe *recipe, int multiple) {
    if (recipe->data.crop % multiple == 0) return IMP_OK;
    return imp_fail(context, IMP_ERR_ARGUMENT, "\"crop\" in \"data\" is %d; %.60s needs a multiple of %d",
                    recipe->data.crop, recipe->network.architecture, multiple);
}

int imp_recipe_take_crops(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                          const char *set, uint64_t first, float *crops) {
    int side = recipe->data.crop;
    for (uint64_t i = 0; i < (uint64_t)recipe->batch; i++) {
        float *planes = crops + i * 3 * (size_t)side * (size_t)side;
        int status = source->crop(source->user, set, first + i, side, planes);
        if (status < 0)
            return imp_fail(context, status, "there is no crop %llu of \"%s\"", (unsigned long long)(first + i), set);
    }
    return IMP_OK;
}

void imp_map_targets_free(imp_context *context, imp_map_target **targets, int count) {
    for (int i = 0; i < count; i++) {
        imp_map_target_free(context, targets[i]);
        targets[i] = NULL;
    }
}

int imp_trainee_want(const imp_trainee *trainee, imp_plan *plan, float *const *gradients) {
    const imp_network *network = &trainee->model->network;
    int wanted = 0;
    for (int i = 0; i < network->parameter_count; i++) {
        if (gradients[i]) memset(gradients[i], 0, imp_parameter_count(&network->parameters[i]) * sizeof(float));
        imp_plan_set_parameter_gradient(plan, i, gradients[i]);
        wanted |= gradients[i] != NULL;
    }
    return wanted;
}
