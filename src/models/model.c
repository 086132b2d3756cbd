/* Model files of Impasto: safetensors with metadata that says what the network is and what its input must be. */
#include "models/model.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "formats/safetensors.h"

#define FORMAT "impasto"
#define VERSION "1"                          /* of the metadata's meaning */
#define METADATA_COUNT (8 + IMP_MAX_OPTIONS) /* keys written by save, the checksum not counted */
#define MOST_FEATURE_SCALE 1e6               /* beyond it the features' squares leave the range of f32 */
#define SHAPE_TEXT 128

static int has_shape(const imp_named_tensor *tensor, const imp_parameter *parameter) {
    if (tensor->dimensions != parameter->dimensions) return 0;
    for (int i = 0; i < tensor->dimensions; i++)
        if (tensor->shape[i] != parameter->shape[i]) return 0;
    return 1;
}

static const char *shape_words(const int64_t *shape, int dimensions, char text[SHAPE_TEXT]) {
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < dimensions && used < SHAPE_TEXT; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT - used, "%s%lld", i ? " x " : "", (long long)shape[i]);
    return text;
}

/* Values in the order of the architecture's list. */
static int take_options(imp_context *context, const imp_architecture *architecture, const int *options, int *values) {
    for (int i = 0; i < imp_architecture_option_count(architecture); i++) {
        const imp_architecture_option *option = &architecture->options[i];

        values[i] = options ? options[i] : option->initial;
        if (values[i] < option->least || values[i] > option->most)
            return imp_fail(context, IMP_ERR_ARGUMENT, "%s: %s is %d; it must be from %d to %d", architecture->name,
                            option->name, values[i], option->least, option->most);
    }
    return IMP_OK;
}

int imp_model_make(imp_context *context, const imp_architecture *architecture, const int *options, imp_model **model) {
    imp_allocator allocator = imp_context_allocator(context);
    int status;

    *model = imp_allocator_take(&allocator, sizeof **model);
    if (!*model) return imp_fail(context, IMP_ERR_MEMORY, "out of memory: making a model");
    memset(*model, 0, sizeof **model);
    (*model)->architecture = architecture;
    status = take_options(context, architecture, options, (*model)->options);
    if (status == IMP_OK) status = architecture->build(context, (*model)->options, &(*model)->network);
    if (status == IMP_OK) return IMP_OK;
    imp_allocator_give(&allocator, *model);
    *model = NULL;
    return status;
}

int imp_model_style_count(const imp_model *model) {
    int option = imp_architecture_find_option(model->architecture, IMP_OPTION_STYLES);

    return option < 0 ? 0 : model->options[option];
}

void imp_model_free(imp_model *model) {
    imp_allocator allocator;

    if (!model) return;
    allocator = model->network.allocator;
    imp_allocator_give(&allocator, model->origin);
    imp_allocator_give(&allocator, model->licence);
    imp_allocator_give(&allocator, model->styles);
    imp_allocator_give(&allocator, model->style_names);
    imp_network_release(&model->network);
    imp_allocator_give(&allocator, model);
}

int imp_model_set_preprocessing(imp_context *context, imp_model *model, const char *name) {
    const imp_preprocessing *found = imp_preprocessing_find(name);

    if (!found)
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "the preprocessing \"%.50s\" is not known; there are \"caffe\", \"torchvision\" and \"signed\"",
                        name);
    model->preprocessing = *found;
    model->network.preprocessing = &model->preprocessing;
    return IMP_OK;
}

static int set_text(imp_context *context, imp_model *model, char **place, const char *text) {
    size_t bytes = strlen(text) + 1;

    *place = imp_allocator_take(&model->network.allocator, bytes);
    if (!*place) return imp_fail(context, IMP_ERR_MEMORY, "out of memory: making a model");
    memcpy(*place, text, bytes);
    return IMP_OK;
}

int imp_model_set_words(imp_context *context, imp_model *model, const char *origin, const char *licence) {
    int status = set_text(context, model, &model->origin, origin);

    return status == IMP_OK ? set_text(context, model, &model->licence, licence) : status;
}

/* The names one by one, with their characters behind the pointers. */
static int list_styles(imp_context *context, imp_model *model, int count) {
    size_t bytes = (size_t)count * sizeof *model->style_names + strlen(model->styles) + 1;
    char *text;

    model->style_names = imp_allocator_take(&model->network.allocator, bytes);
    if (!model->style_names) return imp_fail(context, IMP_ERR_MEMORY, "out of memory: the names of %d styles", count);
    text = (char *)(model->style_names + count);
    strcpy(text, model->styles);
    for (int i = 0; i < count; i++) {
        model->style_names[i] = text;
        text += strcspn(text, "\n");
        *text++ = 0;
    }
    return IMP_OK;
}

int imp_model_set_styles(imp_context *context, imp_model *model, const char *names) {
    int count = 0, status;

    for (const char *name = names; *name; count++) {
        size_t length = strcspn(name, "\n");

        if (length == 0 || length > IMP_STYLE_NAME_LIMIT)
            return imp_fail(context, IMP_ERR_FORMAT, "the name of style %d is empty or longer than %d bytes", count + 1,
                            IMP_STYLE_NAME_LIMIT);
        name += length + (name[length] == '\n');
    }
    if (count != imp_model_style_count(model))
        return imp_fail(context, IMP_ERR_FORMAT, "%d names for %d styles", count, imp_model_style_count(model));
    status = set_text(context, model, &model->styles, names);
    return status == IMP_OK ? list_styles(context, model, count) : status;
}

int imp_model_make_data(imp_context *context, imp_model *model, int parameter) {
    imp_parameter *one = &model->network.parameters[parameter];
    size_t bytes = imp_parameter_count(one) * sizeof(float);

    one->data = imp_allocator_take(&model->network.allocator, bytes);
    if (one->data) return IMP_OK;
    return imp_fail(context, IMP_ERR_MEMORY, "out of memory: %zu bytes for the weights of %s", bytes, one->name);
}

int imp_model_check_finite(imp_context *context, const imp_parameter *parameter, const char *name) {
    size_t count = imp_parameter_count(parameter);

    for (size_t i = 0; i < count; i++)
        if (!isfinite(parameter->data[i]))
            return imp_fail(context, IMP_ERR_FORMAT, "%s has a value that is infinite or not a number", name);
    return IMP_OK;
}

int imp_model_take(imp_context *context, imp_model *model, int parameter, imp_tensors *tensors,
                   const imp_named_tensor *tensor) {
    imp_parameter *one = &model->network.parameters[parameter];
    char is[SHAPE_TEXT], needed[SHAPE_TEXT];
    int status;

    if (!has_shape(tensor, one))
        return imp_fail(context, IMP_ERR_FORMAT, "%s is of the shape %s, but %s needs %s", tensor->name,
                        shape_words(tensor->shape, tensor->dimensions, is), model->network.architecture,
                        shape_words(one->shape, one->dimensions, needed));
    status = imp_model_make_data(context, model, parameter);
    if (status == IMP_OK) status = imp_tensors_to_f32(context, tensors, tensor, one->data);
    one->dtype = imp_dtype_name(tensor->dtype);
    return status == IMP_OK ? imp_model_check_finite(context, one, tensor->name) : status;
}

int imp_model_is_own(const imp_tensors *tensors) {
    const char *format = imp_tensors_metadata(tensors, "format");

    return format && strcmp(format, FORMAT) == 0;
}

static int check_checksum(imp_context *context, const imp_tensors *tensors) {
    if (imp_safetensors_is_whole(tensors)) return IMP_OK;
    return imp_fail(context, IMP_ERR_FORMAT,
                    "damaged: the checksum of its weights is wrong; import or download it again");
}

static void option_key(const imp_architecture_option *option, char key[IMP_NAME_LENGTH]) {
    snprintf(key, IMP_NAME_LENGTH, "option.%s", option->name);
}

static int take_metadata(imp_context *context, imp_model *model, const imp_tensors *tensors) {
    const char *preprocessing = imp_tensors_metadata(tensors, "preprocessing");
    const char *scale = imp_tensors_metadata(tensors, "feature_scale");
    const char *origin = imp_tensors_metadata(tensors, "origin"), *licence = imp_tensors_metadata(tensors, "licence");
    const char *styles = imp_tensors_metadata(tensors, "styles");
    double value;
    int status;

    if (!preprocessing) return imp_fail(context, IMP_ERR_FORMAT, "its metadata lacks \"preprocessing\"");
    status = imp_model_set_preprocessing(context, model, preprocessing);
    if (status != IMP_OK) return imp_fail_prefix(context, IMP_ERR_FORMAT, "its metadata: ");
    if (scale) {
        if (!imp_safetensors_read_number(scale, &value) || !(value > 0 && value <= MOST_FEATURE_SCALE))
            return imp_fail(context, IMP_ERR_FORMAT,
                            "its metadata: feature_scale \"%.50s\" is not above 0 and at most %g", scale,
                            MOST_FEATURE_SCALE);
        model->preprocessing.feature_scale = (float)value;
    }
    status = imp_model_set_words(context, model, origin ? origin : "unknown", licence ? licence : "unknown");
    if (status != IMP_OK || imp_model_style_count(model) == 0) return status;
    if (!styles) return imp_fail(context, IMP_ERR_FORMAT, "its metadata lacks \"styles\"");
    status = imp_model_set_styles(context, model, styles);
    return status == IMP_OK ? IMP_OK : imp_fail_prefix(context, status, "its metadata: ");
}

/* The architecture's options, each under its own name. */
static int read_options(imp_context *context, const imp_architecture *architecture, const imp_tensors *tensors,
                        int *options) {
    for (int i = 0; i < imp_architecture_option_count(architecture); i++) {
        const imp_architecture_option *option = &architecture->options[i];
        char key[IMP_NAME_LENGTH];
        const char *text;
        double value;

        option_key(option, key);
        text = imp_tensors_metadata(tensors, key);
        if (!text || !imp_safetensors_read_number(text, &value) || !(value >= option->least) ||
            !(value <= option->most) || value != floor(value))
            return imp_fail(context, IMP_ERR_FORMAT, "its metadata: %s \"%.50s\" is no whole number from %d to %d", key,
                            text ? text : "", option->least, option->most);
        options[i] = (int)value;
    }
    return IMP_OK;
}

static int take_parameters(imp_context *context, imp_model *model, imp_tensors *tensors) {
    int status = IMP_OK;

    for (int i = 0; i < model->network.parameter_count && status == IMP_OK; i++) {
        const char *name = model->network.parameters[i].name;
        const imp_named_tensor *tensor = imp_tensors_find(tensors, name);
        if (!tensor) return imp_fail(context, IMP_ERR_FORMAT, "%s of %s is missing", name, model->network.architecture);
        status = imp_model_take(context, model, i, tensors, tensor);
    }
    return status;
}

/* A batch norm's, whose root is taken. */
static int check_variances(imp_context *context, const imp_network *network) {
    for (int i = 0; i < network->layer_count; i++) {
        const imp_layer *layer = &network->layers[i];

        for (int c = 0; layer->kind == IMP_OPERATION_BATCH_NORM && c < layer->channels; c++)
            if (network->parameters[layer->variance].data[c] < 0)
                return imp_fail(context, IMP_ERR_FORMAT, "%s has a variance below 0",
                                network->parameters[layer->variance].name);
    }
    return IMP_OK;
}

int imp_model_from_tensors(imp_context *context, imp_tensors *tensors, const imp_architecture *known,
                           imp_model **model) {
    const char *version = imp_tensors_metadata(tensors, "version");
    const char *name = imp_tensors_metadata(tensors, "architecture");
    const imp_architecture *architecture = name ? imp_architecture_find(known, name) : NULL;
    int status, options[IMP_MAX_OPTIONS];

    *model = NULL;
    if (!version || strcmp(version, VERSION) != 0)
        return imp_fail(context, IMP_ERR_UNSUPPORTED,
                        "a model file of version \"%.20s\"; this Impasto reads version " VERSION,
                        version ? version : "unknown");
    if (!name) return imp_fail(context, IMP_ERR_FORMAT, "its metadata lacks \"architecture\"");
    if (!architecture)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "the architecture \"%.50s\" is not known to this Impasto", name);
    status = check_checksum(context, tensors);
    if (status == IMP_OK) status = read_options(context, architecture, tensors, options);
    if (status == IMP_OK) status = imp_model_make(context, architecture, options, model);
    if (status != IMP_OK) return status;
    status = take_metadata(context, *model, tensors);
    if (status == IMP_OK) status = take_parameters(context, *model, tensors);
    if (status == IMP_OK) status = check_variances(context, &(*model)->network);
    if (status == IMP_OK) return IMP_OK;
    imp_model_free(*model);
    *model = NULL;
    return status;
}

int imp_model_open_known(imp_context *context, const char *path, const imp_architecture *known, imp_model **model) {
    imp_tensors tensors;
    int status;

    *model = NULL;
    status = imp_tensors_read(context, path, &tensors);
    if (status != IMP_OK) return status;
    if (imp_model_is_own(&tensors))
        status = imp_model_from_tensors(context, &tensors, known, model);
    else
        status =
            imp_fail(context, IMP_ERR_FORMAT,
                     "not a model file of Impasto, but another program's weights: bring them in with \"impasto model "
                     "import\"");
    imp_tensors_release(context, &tensors);
    return status == IMP_OK ? IMP_OK : imp_fail_prefix(context, status, "%s: ", path);
}

int imp_model_open(imp_context *context, const char *path, imp_model **model) {
    if (model) *model = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!path || !model) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_model_open: path or model is NULL");
    return imp_model_open_known(context, path, imp_architectures, model);
}

/* The writer only reads these. */
static void add_metadata(imp_key_value *metadata, int *count, const char *key, const char *value) {
    metadata[(*count)++] = (imp_key_value){(char *)(uintptr_t)key, (char *)(uintptr_t)value};
}

static int save_sources(imp_context *context, const imp_model *model, const char *path, imp_dtype dtype,
                        imp_tensor_source *sources) {
    const imp_network *network = &model->network;
    char scale[IMP_NUMBER_LENGTH], keys[IMP_MAX_OPTIONS][IMP_NAME_LENGTH], values[IMP_MAX_OPTIONS][IMP_NUMBER_LENGTH];
    imp_key_value metadata[METADATA_COUNT];
    int count = 0;

    if (!imp_safetensors_write_number(model->preprocessing.feature_scale, scale))
        return imp_fail(context, IMP_ERR_MEMORY, "%s: out of memory: writing the header", path);
    add_metadata(metadata, &count, "format", FORMAT);
    add_metadata(metadata, &count, "version", VERSION);
    add_metadata(metadata, &count, "architecture", network->architecture);
    add_metadata(metadata, &count, "preprocessing", model->preprocessing.name);
    add_metadata(metadata, &count, "feature_scale", scale);
    add_metadata(metadata, &count, "origin", model->origin);
    add_metadata(metadata, &count, "licence", model->licence);
    if (model->styles) add_metadata(metadata, &count, "styles", model->styles);
    for (int i = 0; i < imp_architecture_option_count(model->architecture); i++) {
        option_key(&model->architecture->options[i], keys[i]);
        snprintf(values[i], IMP_NUMBER_LENGTH, "%d", model->options[i]);
        add_metadata(metadata, &count, keys[i], values[i]);
    }
    for (int i = 0; i < network->parameter_count; i++)
        sources[i] = (imp_tensor_source){
            .name = network->parameters[i].name,
            .dimensions = network->parameters[i].dimensions,
            .shape = network->parameters[i].shape,
            .data = network->parameters[i].data,
        };
    return imp_safetensors_write(context, path, sources, network->parameter_count, dtype, metadata, count);
}

int imp_model_save(imp_context *context, const imp_model *model, const char *path, imp_storage storage) {
    static const imp_dtype dtypes[] = {
        [IMP_STORAGE_F32] = IMP_F32,
        [IMP_STORAGE_F16] = IMP_F16,
        [IMP_STORAGE_BF16] = IMP_BF16,
    };
    imp_tensor_source *sources;
    int status;

    if (!context) return IMP_ERR_ARGUMENT;
    if (!model || !path) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_model_save: model or path is NULL");
    if ((unsigned)storage >= sizeof dtypes / sizeof *dtypes)
        return imp_fail(context, IMP_ERR_ARGUMENT, "imp_model_save: %d is no imp_storage", (int)storage);
    sources = imp_allocate_zero(context, (size_t)model->network.parameter_count, sizeof *sources);
    if (!sources) return imp_fail_prefix(context, IMP_ERR_MEMORY, "%s: ", path);
    status = save_sources(context, model, path, dtypes[storage], sources);
    imp_release(context, sources);
    return status;
}
