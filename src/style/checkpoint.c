/* Checkpoints: all of a training that its next steps follow from, in one safetensors file. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "style/trainee.h"
#include "style/training.h"

#define FORMAT "impasto-checkpoint"
#define VERSION "1" /* of what the tensors and the metadata mean */
#define STEPS "steps"

/* The tensors of a parameter. */
enum { WEIGHT, FIRST, SECOND, AVERAGE, PARTS };
static const char *const part_names[PARTS] = {"weight", "first", "second", "average"};

/* The arrays of parameter i: weights, both moments, average; NULL where it has none. */
static void list_parts(imp_training *training, int i, float *parts[PARTS]) {
    imp_trained *trained = &training->trained[i];
    parts[WEIGHT] = training->learner.parameters[i].data;
    parts[FIRST] = parts[SECOND] = NULL;
    if (trained->adam) imp_adam_state(trained->adam, &parts[FIRST], &parts[SECOND], NULL);
    parts[AVERAGE] = trained->average;
}

static void name_part(const imp_training *training, int i, int part, char name[IMP_TENSOR_NAME_LIMIT + 1]) {
    snprintf(name, IMP_TENSOR_NAME_LIMIT + 1, "%s/%s", part_names[part], training->learner.parameters[i].name);
}

/* ---- Saving ------------------------------------------------------------------------------------------------------ */

/* What a file is made of. */
typedef struct contents {
    imp_tensor_source *sources; /* [PARTS * parameters + 1] */
    char (*names)[IMP_TENSOR_NAME_LIMIT + 1];
    float *steps; /* [parameters] that each parameter's Adam took: whole numbers below 2^24, which a float holds */
    int64_t parameters;
    int count;
    char *styles, *paintings;
} contents;

static void release_contents(imp_context *context, contents *what) {
    imp_release(context, what->sources);
    imp_release(context, what->names);
    imp_release(context, what->steps);
    imp_release(context, what->styles);
    imp_release(context, what->paintings);
}

static int allocate_contents(imp_training *training, contents *what) {
    size_t count = (size_t)training->learner.parameter_count;
    what->parameters = training->learner.parameter_count;
    what->sources = imp_allocate_zero(training->context, PARTS * count + 1, sizeof *what->sources);
    if (!what->sources) return IMP_ERR_MEMORY;
    what->names = imp_allocate_zero(training->context, PARTS * count + 1, sizeof *what->names);
    if (!what->names) return IMP_ERR_MEMORY;
    what->steps = imp_allocate_zero(training->context, count, sizeof *what->steps);
    if (!what->steps) return IMP_ERR_MEMORY;
    what->styles = imp_recipe_join_styles(training->context, training->recipe, 0);
    if (!what->styles) return IMP_ERR_MEMORY;
    what->paintings = imp_recipe_join_styles(training->context, training->recipe, 1);
    return what->paintings ? IMP_OK : IMP_ERR_MEMORY;
}

static int gather(imp_training *training, contents *what) {
    int status = allocate_contents(training, what);
    for (int i = 0; i < training->learner.parameter_count && !status; i++) {
        const imp_learner_parameter *parameter = &training->learner.parameters[i];
        float *parts[PARTS];
        int64_t steps = 0;
        list_parts(training, i, parts);
        if (training->trained[i].adam) imp_adam_state(training->trained[i].adam, NULL, NULL, &steps);
        what->steps[i] = (float)steps;
        for (int part = 0; part < PARTS; part++) {
            if (!parts[part]) continue;
            name_part(training, i, part, what->names[what->count]);
            what->sources[what->count] =
                (imp_tensor_source){what->names[what->count], parameter->dimensions, parameter->shape, parts[part]};
            what->count++;
        }
    }
    if (!status) what->sources[what->count++] = (imp_tensor_source){STEPS, 1, &what->parameters, what->steps};
    return status;
}

int imp_training_save(imp_training *training, const char *path) {
    if (!training) return IMP_ERR_ARGUMENT;
    if (!path) return imp_fail(training->context, IMP_ERR_ARGUMENT, "imp_training_save: path is NULL");
    contents what = {0};
    char step[32], teacher[IMP_CHECKSUM_LENGTH];
    int status = gather(training, &what);
    snprintf(step, sizeof step, "%" PRId64, training->step);
    imp_checksum_print(training->learner.teacher, teacher);
    /* The writer only reads these. */
    const imp_key_value metadata[] = {
        {(char *)"format", (char *)FORMAT},
        {(char *)"version", (char *)VERSION},
        {(char *)"architecture", (char *)(uintptr_t)training->learner.architecture},
        {(char *)"step", step},
        {(char *)"styles", what.styles},
        {(char *)"paintings", what.paintings},
        {(char *)"recipe", training->recipe->text},
        {(char *)"loss_network", teacher}, /* the last, for learners that are bound to none */
    };
    int count = (int)(sizeof metadata / sizeof *metadata) - (training->learner.teacher == 0);
    if (!status)
        status = imp_safetensors_write(training->context, path, what.sources, what.count, IMP_F32, metadata, count);
    release_contents(training->context, &what);
    return status;
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

/* The metadata's text is that one; missing: where there is none, as in checkpoints of before there was such a key. */
static int is_said(const imp_tensors *tensors, const char *key, const char *text, int missing) {
    const char *said = imp_tensors_metadata(tensors, key);
    return said ? strcmp(said, text) == 0 : missing;
}

/* What was learnt, and from whom. */
static int check_lesson(imp_training *training, const imp_tensors *tensors) {
    char teacher[IMP_CHECKSUM_LENGTH];
    char *names = imp_recipe_join_styles(training->context, training->recipe, 0);
    char *paintings = imp_recipe_join_styles(training->context, training->recipe, 1);
    int known = names && paintings;
    int same = known && is_said(tensors, "styles", names, 0),
        paints = known && is_said(tensors, "paintings", paintings, 1);
    imp_release(training->context, names);
    imp_release(training->context, paintings);
    if (!known) return IMP_ERR_MEMORY;
    if (!same)
        return imp_fail(training->context, IMP_ERR_ARGUMENT,
                        "a checkpoint of other styles than the recipe has, or in another order: go on with its own "
                        "recipe");
    if (!paints)
        return imp_fail(training->context, IMP_ERR_ARGUMENT,
                        "a checkpoint of styles with other pictures than the recipe has: go on with its own recipe");
    imp_checksum_print(training->learner.teacher, teacher);
    if (training->learner.teacher == 0 || is_said(tensors, "loss_network", teacher, 1)) return IMP_OK;
    return imp_fail(training->context, IMP_ERR_ARGUMENT,
                    "a checkpoint that learnt from another loss network than \"%.200s\" of the recipe",
                    training->recipe->teacher.model);
}

static int check_words(imp_training *training, const imp_tensors *tensors) {
    imp_context *context = training->context;
    const char *format = imp_tensors_metadata(tensors, "format"), *version = imp_tensors_metadata(tensors, "version");
    const char *architecture = imp_tensors_metadata(tensors, "architecture");
    if (!format || strcmp(format, FORMAT)) return imp_fail(context, IMP_ERR_FORMAT, "not a checkpoint of a training");
    if (!version || strcmp(version, VERSION))
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "a checkpoint of version \"%.20s\"; this Impasto reads " VERSION,
                        version ? version : "unknown");
    if (!imp_safetensors_is_whole(tensors))
        return imp_fail(context, IMP_ERR_FORMAT, "damaged: its checksum is wrong; take an earlier one");
    if (!architecture || strcmp(architecture, training->learner.architecture))
        return imp_fail(context, IMP_ERR_ARGUMENT, "a checkpoint of %.60s, and the recipe trains %.60s",
                        architecture ? architecture : "an unknown network", training->learner.architecture);
    return check_lesson(training, tensors);
}

static int read_step(imp_training *training, const imp_tensors *tensors, int64_t *step) {
    const char *text = imp_tensors_metadata(tensors, "step");
    int64_t steps = training->recipe->steps;
    *step = -1;
    if (text && text[0] && strlen(text) < 19 && !text[strspn(text, "0123456789")]) *step = strtoll(text, NULL, 10);
    if (*step < 0) return imp_fail(training->context, IMP_ERR_FORMAT, "its metadata says no step");
    if (*step <= steps) return IMP_OK;
    return imp_fail(training->context, IMP_ERR_ARGUMENT,
                    "a checkpoint of step %" PRId64 ", and the recipe's stages end at %" PRId64, *step, steps);
}

static int has_shape(const imp_named_tensor *tensor, int dimensions, const int64_t *shape) {
    if (tensor->dtype != IMP_F32 || tensor->dimensions != dimensions) return 0;
    for (int k = 0; k < dimensions; k++)
        if (tensor->shape[k] != shape[k]) return 0;
    return 1;
}

/* The tensor of that name and shape, into out; its values are finite and not below least. */
static int take(imp_training *training, imp_tensors *tensors, const char *name, int dimensions, const int64_t *shape,
                float least, float *out) {
    const imp_named_tensor *tensor = imp_tensors_find(tensors, name);
    if (!tensor)
        return imp_fail(training->context, IMP_ERR_ARGUMENT,
                        "a checkpoint without %.200s: it is of another network, or of stages that train less", name);
    if (!has_shape(tensor, dimensions, shape))
        return imp_fail(training->context, IMP_ERR_ARGUMENT, "%.200s has another shape in the checkpoint", name);
    int status = imp_tensors_to_f32(training->context, tensors, tensor, out);
    for (size_t k = 0; k < tensor->count && !status; k++)
        if (!isfinite(out[k]) || out[k] < least)
            status = imp_fail(training->context, IMP_ERR_FORMAT, "%.200s has a value that is not finite%s", name,
                              least < 0   ? ""
                              : least > 0 ? " or not above 0"
                                          : " or below 0");
    return status;
}

/* The least value that a part of a parameter may have. */
static float least_of(const imp_learner_parameter *parameter, int part) {
    if (part == SECOND) return 0;
    if (part == FIRST || parameter->values == IMP_VALUES_ANY) return -FLT_MAX;
    return parameter->values == IMP_VALUES_FROM_0 ? 0 : FLT_TRUE_MIN;
}

/* A part of parameter i, into scratch or its place. */
static int take_part(imp_training *training, imp_tensors *tensors, int i, int part, float *scratch) {
    const imp_learner_parameter *parameter = &training->learner.parameters[i];
    char name[IMP_TENSOR_NAME_LIMIT + 1];
    float *parts[PARTS];
    list_parts(training, i, parts);
    if (!parts[part]) return IMP_OK;
    float *out = scratch ? scratch : parts[part];
    name_part(training, i, part, name);
    if (part == AVERAGE && !imp_tensors_find(tensors, name)) {
        /* The recipe asked for none until now: it begins with the weights, which are in their place by then. */
        memcpy(out, parts[WEIGHT], training->lengths[i] * sizeof *out);
        return IMP_OK;
    }
    return take(training, tensors, name, parameter->dimensions, parameter->shape, least_of(parameter, part), out);
}

/* Everything, into its place; scratch, where it is not NULL, takes all of it instead: that is how it is checked. */
static int take_all(imp_training *training, imp_tensors *tensors, float *steps, float *scratch) {
    const int64_t count = training->learner.parameter_count;
    int status = take(training, tensors, STEPS, 1, &count, 0, steps);
    for (int i = 0; i < training->learner.parameter_count && !status; i++) {
        if (steps[i] > IMP_RECIPE_MOST_STEPS)
            return imp_fail(training->context, IMP_ERR_FORMAT, "\"" STEPS "\" has a value out of range");
        for (int part = 0; part < PARTS && !status; part++) status = take_part(training, tensors, i, part, scratch);
        if (training->trained[i].adam && !scratch && !status)
            imp_adam_set_steps(training->trained[i].adam, (int64_t)steps[i]);
    }
    return status;
}

static int load_tensors(imp_training *training, imp_tensors *tensors, float *steps) {
    int64_t step;
    size_t longest = 1;
    int status = check_words(training, tensors);
    if (!status) status = read_step(training, tensors, &step);
    if (status) return status;
    for (int i = 0; i < training->learner.parameter_count; i++)
        if (training->lengths[i] > longest) longest = training->lengths[i];
    float *scratch = imp_allocate_zero(training->context, longest, sizeof *scratch);
    if (!scratch) return IMP_ERR_MEMORY;
    status = take_all(training, tensors, steps, scratch);
    imp_release(training->context, scratch);
    if (!status) status = take_all(training, tensors, steps, NULL);
    if (status) return status;
    training->step = training->begin_step = step;
    training->begin = imp_seconds();
    training->stale = 1;
    return IMP_OK;
}

int imp_training_load(imp_training *training, const char *path) {
    if (!training) return IMP_ERR_ARGUMENT;
    imp_context *context = training->context;
    if (!path) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_training_load: path is NULL");
    imp_tensors tensors;
    int status = imp_tensors_read(context, path, &tensors);
    if (status) return status;
    float *steps = imp_allocate_zero(context, (size_t)training->learner.parameter_count, sizeof *steps);
    status = steps ? load_tensors(training, &tensors, steps) : IMP_ERR_MEMORY;
    imp_release(context, steps);
    imp_tensors_release(context, &tensors);
    return status ? imp_fail_prefix(context, status, "%s: ", path) : IMP_OK;
}
