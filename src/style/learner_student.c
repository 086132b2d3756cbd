/* A student learns a teacher's features: the maps of its readouts become those of the teacher's, and so do their Gram
 * matrices (models/thin.h). */
#include <stdio.h>
#include <string.h>

#include "graph/packed.h"
#include "models/thin.h"
#include "style/directions.h"
#include "style/moments.h"
#include "style/student_start.h"
#include "style/trainee.h"

#define SAMPLE_CROPS 96 /* whose features tell the directions: a million pixels and more at the first layers */

#define READOUT_START 0.01f /* of the usual random weights */

/* The teacher's pools halve a side four times, and round down what a student's strides round up. */
#define CROP_MULTIPLE 16

_Static_assert(IMP_THIN_READOUTS <= IMP_TRAINEE_MORE, "the readouts are states");

enum { LOSS_TOTAL, LOSS_FEATURES, LOSS_GRAM, LOSS_COUNT };
static const char *const loss_names[LOSS_COUNT] = {"total", "features", "gram"};

/* A layer at which both are compared. */
typedef struct lesson {
    double feature_weight, gram_weight;
    int channels;
    float *by_second; /* [batch, channels, channels] */
} lesson;

typedef struct student_learner {
    imp_context *context;
    const imp_recipe *recipe;
    imp_trainee trainee;
    imp_network teacher;              /* VGG19 with readouts */
    uint32_t checksum;                /* of VGG19 */
    float *packed[IMP_THIN_READOUTS]; /* the readouts' weights, as the network's packed copies have them */
    lesson lessons[IMP_THIN_READOUTS];
    imp_plan *example, *pupil;
    imp_map_target *targets[IMP_THIN_READOUTS];
    imp_tap_gradient *terms; /* [IMP_THIN_READOUTS, batch] */
} student_learner;

/* ---- The teacher ------------------------------------------------------------------------------------------------- */

/* The teacher's layer that reads this one. */
static int readout_behind(const student_learner *learner, const char *layer) {
    char name[IMP_NAME_LENGTH];
    snprintf(name, sizeof name, "%.20s.readout", layer);
    return imp_network_find_tap(&learner->teacher, name);
}

/* Its weights [directions, channels, 1, 1]. */
static imp_parameter *readout_of(const student_learner *learner, const char *layer) {
    const imp_network *teacher = &learner->teacher;
    return &teacher->parameters[teacher->layers[readout_behind(learner, layer)].weight];
}

/* VGG19's weights times unit: since its ReLUs let a factor through, that is a factor of the first kernels and all biases. */
static int take_vgg_weights(student_learner *learner, const imp_model *vgg, float unit) {
    imp_network *teacher = &learner->teacher;
    const int first = teacher->layers[1].weight;
    for (int i = 0; i < teacher->parameter_count; i++) {
        imp_parameter *to = &teacher->parameters[i];
        const imp_parameter *from = i < vgg->network.parameter_count ? &vgg->network.parameters[i] : NULL;
        size_t bytes = imp_parameter_count(to) * sizeof(float);
        to->data = imp_allocator_take(&teacher->allocator, bytes);
        if (!to->data) return imp_fail(learner->context, IMP_ERR_MEMORY, "out of memory: weights of the teacher");
        if (from && strcmp(from->name, to->name) == 0)
            memcpy(to->data, from->data, bytes);
        else
            memset(to->data, 0, bytes); /* of a readout: its directions come later, and it has no bias */
        size_t scaled = i == first || to->dimensions == 1 ? imp_parameter_count(to) : 0;
        for (size_t k = 0; k < scaled; k++) to->data[k] *= unit;
    }
    for (int i = 0; i < IMP_THIN_READOUTS; i++) {
        const imp_parameter *weight = readout_of(learner, imp_thin_readouts[i].layer);
        learner->packed[i] = imp_allocate_zero(learner->context, imp_parameter_count(weight), sizeof(float));
        if (!learner->packed[i]) return IMP_ERR_MEMORY;
    }
    return IMP_OK;
}

static int make_teacher(student_learner *learner, const imp_training_source *source) {
    imp_model *vgg;
    int status = imp_recipe_open_teacher(learner->context, learner->recipe, source, &vgg);
    if (!status && strcmp(vgg->network.architecture, "vgg19") != 0)
        status = imp_fail(learner->context, IMP_ERR_ARGUMENT, "features are learnt from vgg19, not from %s",
                          vgg->network.architecture);
    if (!status) status = imp_thin_build_teacher(learner->context, &learner->teacher);
    if (!status) {
        imp_preprocessing *preprocessing = &learner->trainee.model->preprocessing;
        float unit = 1;
        *preprocessing = vgg->preprocessing; /* both see pixels in the same way */
        /* Maps that come out of batch norms are of the size 1, and weights that make VGG19's hundreds of them would take a
           step at a time as small as those of 1. Such a student learns features as the losses see them, also where it starts
           from a model file, which has the norms folded. */
        if (imp_architecture_find_option(learner->trainee.model->architecture, IMP_OPTION_NORMS) >= 0) {
            unit = preprocessing->feature_scale;
            preprocessing->feature_scale = 1;
        }
        learner->teacher.preprocessing = preprocessing;
        learner->checksum = imp_network_checksum(&vgg->network);
        status = take_vgg_weights(learner, vgg, unit);
    }
    imp_model_free(vgg);
    return status;
}

/* ---- Its readouts ------------------------------------------------------------------------------------------------ */

/* The teacher's readout behind a layer: its scale times the leading directions. */
static int set_readout(student_learner *learner, const imp_thin_readout *readout, const imp_moments *all) {
    double share;
    const imp_layer *layer = &learner->teacher.layers[readout_behind(learner, readout->layer)];
    const imp_parameter *weight = readout_of(learner, readout->layer);
    int status = imp_leading_directions(learner->context, all->of[layer->input], readout->channels, readout->directions,
                                        weight->data, &share);
    if (status) return status;
    for (size_t i = 0; i < imp_parameter_count(weight); i++) weight->data[i] *= imp_thin_scale(readout);
    imp_log(learner->context, IMP_LOG_INFO, "%s: %d of %d directions hold %.2f %% of the Gram matrix", readout->layer,
            readout->directions, readout->channels, 100 * share);
    return IMP_OK;
}

/* Packs the teacher's weights anew where its readouts are not those that are packed: a load changes them, a step does not,
   and all of VGG19 costs a good part of one. */
static int refresh_teacher(student_learner *learner) {
    int differ = 0, status = IMP_OK;
    for (int i = 0; i < IMP_THIN_READOUTS; i++) {
        const imp_parameter *weight = readout_of(learner, imp_thin_readouts[i].layer);
        differ |= memcmp(learner->packed[i], weight->data, imp_parameter_count(weight) * sizeof(float)) != 0;
    }
    if (differ) status = imp_network_refresh(learner->context, &learner->teacher);
    for (int i = 0; i < IMP_THIN_READOUTS && !status; i++) {
        const imp_parameter *weight = readout_of(learner, imp_thin_readouts[i].layer);
        memcpy(learner->packed[i], weight->data, imp_parameter_count(weight) * sizeof(float));
    }
    return status;
}

/* ---- The student's first weights: the teacher's, with most channels left out ------------------------------------- */

/* How the student's input of a layer tells all channels of the teacher's: [channels, kept]. */
typedef struct kept_channels {
    int count, *kept; /* the teacher's channels that the student has */
    float *others;
} kept_channels;

static void release_kept(student_learner *learner, kept_channels *channels) {
    imp_release(learner->context, channels->kept);
    imp_release(learner->context, channels->others);
    *channels = (kept_channels){0};
}

/* For a map of the teacher whose channels `kept` are the student's. */
static int tell_channels(student_learner *learner, const imp_moments *all, int layer, kept_channels *channels) {
    int n = learner->teacher.layers[layer].channels;
    imp_release(learner->context, channels->others);
    channels->others = imp_allocate_zero(learner->context, (size_t)n, (size_t)channels->count * sizeof(float));
    if (!channels->others) return IMP_ERR_MEMORY;
    return imp_tell_channels(learner->context, all->of[layer], n, channels->kept, channels->count, channels->others);
}

/* A convolution of the trunk after the teacher's of this layer; before: what it reads, NULL for pixels. The teacher's
   channels that it keeps come into after. */
static int start_convolution(student_learner *learner, const imp_moments *all, const imp_layer *from,
                             const imp_layer *to, const kept_channels *before, int relu, kept_channels *after) {
    const imp_parameter *weight = &learner->teacher.parameters[from->weight];
    const float *bias = learner->teacher.parameters[from->bias].data;
    float *out = learner->trainee.parameters[to->weight].data, *out_bias = learner->trainee.parameters[to->bias].data;
    int n = (int)weight->shape[1], kernel = from->kernel * from->kernel;
    size_t row = (size_t)(n * kernel);
    *after = (kept_channels){.count = to->channels};
    after->kept = imp_allocate_zero(learner->context, (size_t)to->channels, sizeof(int));
    if (!after->kept) return IMP_ERR_MEMORY;
    int status = imp_choose_channels(learner->context, all->of[relu], from->channels, to->channels, after->kept);
    if (status) return status;
    for (int o = 0; o < to->channels; o++) {
        out_bias[o] = bias[after->kept[o]];
        if (!before) memcpy(out + (size_t)o * row, weight->data + (size_t)after->kept[o] * row, row * sizeof(float));
    }
    if (before)
        imp_keep_weights(weight->data, n, kernel, after->kept, to->channels, before->others, before->count, out);
    return IMP_OK;
}

/* The student's readout behind a layer: what the teacher's makes of the channels that are told. */
static void start_readout(student_learner *learner, const char *layer, const kept_channels *channels) {
    const imp_network *student = &learner->trainee.model->network;
    const imp_layer *to = &student->layers[imp_network_find_tap(student, layer)];
    const imp_parameter *weight = readout_of(learner, layer);
    imp_keep_weights(weight->data, (int)weight->shape[1], 1, NULL, to->channels, channels->others, channels->count,
                     learner->trainee.parameters[to->weight].data);
    memset(learner->trainee.parameters[to->bias].data, 0, (size_t)to->channels * sizeof(float));
}

/* Readouts of layers that the student does not have in common with its teacher say next to nothing at first: what they said of
   random maps would be ten times the teacher's energy, and a hundred times in Gram matrices. Not 0, from which no loss of
   Gram matrices leads away. */
static void hush_readouts(student_learner *learner) {
    const imp_network *student = &learner->trainee.model->network;
    for (int i = 0; i < IMP_THIN_READOUTS; i++) {
        const imp_layer *layer = &student->layers[imp_network_find_tap(student, imp_thin_readouts[i].layer)];
        const imp_parameter *weight = &student->parameters[layer->weight];
        for (size_t k = 0; k < imp_parameter_count(weight); k++) weight->data[k] *= READOUT_START;
    }
}

/* Layer by layer, as far as the student has them: each convolution of the teacher reads the ReLU or pool before it. */
static int start_trunk(student_learner *learner, const imp_moments *all) {
    const imp_network *teacher = &learner->teacher, *student = &learner->trainee.model->network;
    kept_channels before = {0}, after = {0};
    int status = IMP_OK;
    hush_readouts(learner);
    for (int i = 1; i < teacher->layer_count && !status; i++) {
        const imp_layer *from = &teacher->layers[i];
        char name[IMP_NAME_LENGTH];
        if (from->kind == IMP_OPERATION_POOL && all->of[i]) status = tell_channels(learner, all, i, &before);
        if (from->kind != IMP_OPERATION_CONVOLUTION || strncmp(from->name, "conv", 4) != 0 || strchr(from->name, '.'))
            continue;
        snprintf(name, sizeof name, "trunk%.20s", from->name + strlen("conv"));
        int found = imp_network_find_tap(student, name);
        if (found < 0) break; /* other layers begin at random */
        const imp_layer *to = &student->layers[student->layers[found].input];
        status = start_convolution(learner, all, from, to, from->input ? &before : NULL, i + 1, &after);
        release_kept(learner, &before);
        before = after;
        if (!status) status = tell_channels(learner, all, i + 1, &before);
        if (!status && imp_thin_readout_of(from->name)) start_readout(learner, from->name, &before);
    }
    release_kept(learner, &before);
    return status;
}

static int begin(student_learner *learner, const imp_training_source *source) {
    imp_moments all;
    int status = imp_moments_measure(learner->context, &learner->teacher, learner->recipe, learner->trainee.element,
                                     source, SAMPLE_CROPS, &all);
    for (int i = 0; i < IMP_THIN_READOUTS && !status; i++) status = set_readout(learner, &imp_thin_readouts[i], &all);
    if (!status && !learner->recipe->network.start[0]) status = start_trunk(learner, &all);
    imp_moments_release(learner->context, &all);
    return status ? status : refresh_teacher(learner);
}

/* ---- Lessons ----------------------------------------------------------------------------------------------------- */

static int take_weights(student_learner *learner, const imp_recipe_numbers *names, const char *what, int is_gram) {
    int layers[IMP_THIN_READOUTS], count = names->count;
    double weights[IMP_THIN_READOUTS];
    const imp_network *network = &learner->trainee.model->network;
    int status = imp_recipe_find_layers(learner->context, network, names, what, layers, weights, IMP_THIN_READOUTS);
    for (int k = 0; k < count && !status; k++) {
        const imp_thin_readout *readout = imp_thin_readout_of(network->layers[layers[k]].name);
        if (!readout)
            return imp_fail(learner->context, IMP_ERR_ARGUMENT, "losses: %s of \"%s\" is no readout of %s",
                            network->layers[layers[k]].name, what, network->architecture);
        lesson *one = &learner->lessons[readout - imp_thin_readouts];
        if (is_gram)
            one->gram_weight = weights[k];
        else
            one->feature_weight = weights[k];
    }
    return status;
}

static int make_lessons(student_learner *learner) {
    const imp_recipe *recipe = learner->recipe;
    size_t batch = (size_t)recipe->batch;
    int status = take_weights(learner, &recipe->losses.features, "features", 0);
    if (!status && recipe->losses.style.count > 0) status = take_weights(learner, &recipe->losses.style, "style", 1);
    for (int i = 0; i < IMP_THIN_READOUTS && !status; i++) {
        lesson *one = &learner->lessons[i];
        size_t channels = (size_t)imp_thin_readouts[i].directions;
        one->channels = (int)channels;
        one->by_second = imp_allocate_zero(learner->context, channels * channels, batch * sizeof(float));
        status = one->by_second ? IMP_OK : IMP_ERR_MEMORY;
        for (size_t k = 0; k < batch && !status && one->gram_weight > 0; k++)
            learner->terms[(size_t)i * batch + k].by_second = one->by_second + k * channels * channels;
    }
    return status;
}

static int make_plans(student_learner *learner) {
    const imp_network *student = &learner->trainee.model->network;
    imp_tap taps[IMP_THIN_READOUTS];
    for (int i = 0; i < IMP_THIN_READOUTS; i++)
        taps[i] = (imp_tap){readout_behind(learner, imp_thin_readouts[i].layer), IMP_TAP_STATISTICS | IMP_TAP_MAP};
    imp_plan_options options =
        imp_recipe_plan_options(learner->recipe, learner->trainee.element, taps, IMP_THIN_READOUTS);
    int status = imp_plan_create(learner->context, &learner->teacher, &options, &learner->example);
    for (int i = 0; i < IMP_THIN_READOUTS; i++)
        taps[i].layer = imp_network_find_tap(student, imp_thin_readouts[i].layer);
    options.backward = options.training = 1;
    return status ? status : imp_plan_create(learner->context, student, &options, &learner->pupil);
}

/* Sum of squares of a map, from its second moments. */
static double energy(const imp_statistics *statistics) {
    double sum = 0;
    for (int i = 0; i < statistics->channels; i++)
        sum += (double)statistics->second[(size_t)i * (size_t)statistics->channels + (size_t)i];
    return sum;
}

/* sum over pictures |S - T|^2 / |T|^2, for S of the student and T of the teacher: the batch's at once, so that a picture of
   nothing does not weigh without bound. */
static int compare_maps(student_learner *learner, int index, double *losses) {
    int batch = learner->recipe->batch, status = imp_plan_check_target(learner->pupil, index, learner->targets[index]);
    double all = 0, difference = 0, values;
    for (int i = 0; i < batch; i++) {
        imp_statistics of_teacher = imp_plan_statistics(learner->example, index, i);
        all += energy(&of_teacher);
    }
    double weight = all > 0 ? learner->lessons[index].feature_weight / all : 0;
    for (int i = 0; i < batch && !status; i++) {
        imp_tap_gradient *term = &learner->terms[index * batch + i];
        difference += imp_plan_map_loss(learner->pupil, index, i, learner->targets[index], &values);
        term->target = learner->targets[index];
        term->map_weight = (float)(2 * weight);
    }
    losses[LOSS_FEATURES] += weight * difference;
    return status;
}

/* mean over pictures of |S S^T - T T^T|^2 / |T T^T|^2, whose gradient by S is 4 (S S^T - T T^T) S / |T T^T|^2. */
static void compare_grams(student_learner *learner, int index, int picture, double *losses) {
    lesson *one = &learner->lessons[index];
    imp_statistics of_student = imp_plan_statistics(learner->pupil, index, picture);
    imp_statistics of_teacher = imp_plan_statistics(learner->example, index, picture);
    size_t values = (size_t)one->channels * (size_t)one->channels;
    float *by_second = one->by_second + (size_t)picture * values;
    double size = 0, difference = 0, weight = one->gram_weight / learner->recipe->batch;
    for (size_t i = 0; i < values; i++) {
        double of = (double)of_teacher.second[i], gap = (double)of_student.second[i] - of;
        size += of * of;
        difference += gap * gap;
    }
    double share = size > 0 ? weight / size : 0; /* black pictures have no features to compare with */
    double slope = 4 * learner->recipe->losses.style_weight * share;
    for (size_t i = 0; i < values; i++)
        by_second[i] = (float)(slope * ((double)of_student.second[i] - (double)of_teacher.second[i]));
    losses[LOSS_GRAM] += share * difference;
}

static int compare(student_learner *learner, double *losses) {
    int status = IMP_OK;
    for (int i = 0; i < IMP_THIN_READOUTS && !status; i++) {
        status = imp_plan_copy_map(learner->example, i, &learner->targets[i]);
        if (!status) status = compare_maps(learner, i, losses);
        for (int k = 0; k < learner->recipe->batch && !status && learner->lessons[i].gram_weight > 0; k++)
            compare_grams(learner, i, k, losses);
    }
    losses[LOSS_TOTAL] = losses[LOSS_FEATURES] + learner->recipe->losses.style_weight * losses[LOSS_GRAM];
    return status;
}

/* ---- The rest of a learner --------------------------------------------------------------------------------------- */

static int evaluate(void *user, int64_t number, const float *crops, double *losses, float *const *gradients) {
    student_learner *learner = user;
    int wanted = imp_trainee_want(&learner->trainee, learner->pupil, gradients);
    (void)number;
    for (int i = 0; i < LOSS_COUNT; i++) losses[i] = 0;
    imp_map_targets_free(learner->context, learner->targets, IMP_THIN_READOUTS);
    imp_plan_forward(learner->example, crops);
    imp_plan_forward(learner->pupil, crops);
    int status = compare(learner, losses);
    if (status || !wanted) return status;
    imp_trainee_look(&learner->trainee, learner->pupil);
    return imp_plan_backward(learner->pupil, learner->terms, NULL);
}

static void follow(void *user) {
    student_learner *learner = user;
    imp_trainee_follow(&learner->trainee);
}

static int refresh(void *user) {
    student_learner *learner = user;
    int status = imp_trainee_refresh(&learner->trainee);
    return status ? status : refresh_teacher(learner);
}

static int write(void *user, const char *path, imp_storage storage) {
    student_learner *learner = user;
    return imp_trainee_write(&learner->trainee, path, storage);
}

static void release(void *user) {
    student_learner *learner = user;
    imp_map_targets_free(learner->context, learner->targets, IMP_THIN_READOUTS);
    imp_plan_free(learner->example);
    imp_plan_free(learner->pupil);
    for (int i = 0; i < IMP_THIN_READOUTS; i++) {
        imp_release(learner->context, learner->lessons[i].by_second);
        imp_release(learner->context, learner->packed[i]);
    }
    imp_release(learner->context, learner->terms);
    imp_network_release(&learner->teacher);
    imp_trainee_release(&learner->trainee);
    imp_release(learner->context, learner);
}

/* The teacher's own filters stay as they are. Its readouts are states: a training that goes on has to go on to the same
   directions, whatever crops it would find them by. */
static void mark_states(student_learner *learner) {
    const imp_network *student = &learner->trainee.model->network;
    const imp_layer *own = &student->layers[student->layers[imp_network_find_tap(student, IMP_THIN_OWN)].input];
    imp_learner_parameter *parameters = learner->trainee.parameters;
    parameters[own->weight].state = parameters[own->bias].state = 1;
    for (int i = 0; i < IMP_THIN_READOUTS; i++) {
        const imp_parameter *weight = readout_of(learner, imp_thin_readouts[i].layer);
        imp_trainee_add_state(&learner->trainee, weight->name, weight->dimensions, weight->shape, weight->data);
    }
}

static int check_recipe(imp_context *context, const imp_recipe *recipe) {
    if (imp_recipe_element(context, recipe->network.precision) !=
        imp_recipe_element(context, recipe->teacher.precision))
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "network and loss_network must have the same \"precision\": their maps are compared");
    return imp_recipe_check_crop(context, recipe, CROP_MULTIPLE);
}

static int check_student(student_learner *learner) {
    const imp_network *student = &learner->trainee.model->network;
    int complete = imp_network_find_tap(student, IMP_THIN_OWN) >= 0;
    for (int i = 0; i < IMP_THIN_READOUTS; i++)
        complete = complete && imp_network_find_tap(student, imp_thin_readouts[i].layer) >= 0;
    if (complete) return IMP_OK;
    return imp_fail(learner->context, IMP_ERR_ARGUMENT,
                    "%s is no network that features are taught to: thin and "
                    "mobilenetv3 are",
                    student->architecture);
}

int imp_student_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                               imp_learner *learner) {
    student_learner *made;
    int status = check_recipe(context, recipe);
    if (status) return status;
    made = imp_allocate_zero(context, 1, sizeof *made);
    if (!made) return IMP_ERR_MEMORY;
    made->context = context;
    made->recipe = recipe;
    made->teacher.allocator = imp_context_allocator(context);
    status = imp_trainee_create(context, recipe, source, &made->trainee);
    if (!status) status = check_student(made);
    if (!status)
        made->terms = imp_allocate_zero(context, (size_t)recipe->batch, IMP_THIN_READOUTS * sizeof *made->terms);
    if (!status && !made->terms) status = IMP_ERR_MEMORY;
    if (!status) status = make_teacher(made, source);
    if (!status) status = begin(made, source);
    if (!status) status = make_lessons(made);
    if (!status) status = make_plans(made);
    if (status) {
        release(made);
        return status;
    }
    mark_states(made);
    *learner = (imp_learner){.user = made,
                             .architecture = made->trainee.model->network.architecture,
                             .parameters = made->trainee.parameters,
                             .parameter_count = made->trainee.parameter_count,
                             .losses = loss_names,
                             .loss_count = LOSS_COUNT,
                             .evaluate = evaluate,
                             .follow = follow,
                             .refresh = refresh,
                             .write = write,
                             .release = release,
                             .teacher = made->checksum};
    return IMP_OK;
}
