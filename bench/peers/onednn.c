/* VGG19 from conv1_1 to conv5_1 in oneDNN 2.6: the forward pass, and forward with backward to the pixels. table.py builds
 * it where libdnnl-dev is installed.
 *
 * usage: onednn winograd|direct|bf16 SIZE REPEATS
 * winograd and direct are in f32; bf16 is direct. Where a layer has no Winograd kernel it is direct there too. Prints one
 * JSON line: the least seconds of the repeats, and which kernel each layer got. The weights are random: their values do
 * not change the time. Threads: OMP_NUM_THREADS. */
#include "onednn.h"

#include <math.h>

enum { LAYERS = 13, MOST_STEPS = 4 * LAYERS, NAME = 64 };
static const int channels_of[LAYERS + 1] = {3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512};
static const int pool_before[LAYERS] = {[2] = 1, [4] = 1, [8] = 1, [12] = 1};

typedef struct net_step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[4];
    int count;
} net_step;

typedef struct net_steps {
    net_step at[MOST_STEPS];
    int count;
} net_steps;

typedef struct net_layer {
    int in, out, size;
    dnnl_memory_t source, output, pooling; /* pooling: which pixel of the pool before was the greatest */
    dnnl_memory_t source_gradient, output_gradient;
    dnnl_primitive_desc_t forward;
    char kernels[2][NAME]; /* forward, backward */
} net_layer;

static dnnl_data_type_t element = dnnl_f32;
static dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
static const dnnl_dims_t one = {1, 1}, two = {2, 2}, none = {0, 0};

/* Maps in blocks of 16 channels, as all AVX-512 kernels of oneDNN take them. */
static dnnl_memory_desc_t describe_map(int channels, int size, dnnl_format_tag_t tag) {
    return describe(4, (dnnl_dims_t){1, channels, size, size}, element, tag);
}

static dnnl_memory_t allocate(const dnnl_memory_desc_t *description) {
    dnnl_memory_t made;
    void *at;
    require(dnnl_memory_create(&made, description, engine, DNNL_MEMORY_ALLOCATE), "memory");
    require(dnnl_memory_get_data_handle(made, &at), "memory");
    memset(at, 0, dnnl_memory_desc_get_size(description)); /* so that no page is new when it is timed */
    return made;
}

/* Even values of up to largest, both signs. */
static dnnl_memory_t allocate_random(const dnnl_memory_desc_t *description, float largest) {
    dnnl_memory_t made = allocate(description);
    void *at;
    require(dnnl_memory_get_data_handle(made, &at), "memory");
    for (size_t i = 0; i < dnnl_memory_desc_get_size(description) / sizeof(float); i++)
        ((float *)at)[i] = largest * (2 * (float)rand() / (float)RAND_MAX - 1);
    return made;
}

static void execute(const net_step *step) {
    require(dnnl_primitive_execute(step->primitive, stream, step->count, step->arguments), "execution");
}

static net_step make_step(dnnl_primitive_desc_t description, int count, const dnnl_exec_arg_t *arguments) {
    net_step made = {.count = count};
    require(dnnl_primitive_create(&made.primitive, description), "primitive");
    memcpy(made.arguments, arguments, (size_t)count * sizeof *arguments);
    return made;
}

static void add(net_steps *steps, dnnl_primitive_desc_t description, int count, const dnnl_exec_arg_t *arguments) {
    steps->at[steps->count++] = make_step(description, count, arguments);
}

static dnnl_primitive_desc_t describe_primitive(const void *operation, const_dnnl_primitive_attr_t attributes,
                                                dnnl_primitive_desc_t forward, const char *what) {
    dnnl_primitive_desc_t made;
    require(dnnl_primitive_desc_create(&made, operation, attributes, engine, forward), what);
    return made;
}

static net_step reorder(dnnl_memory_t from, dnnl_memory_t to) {
    const dnnl_memory_desc_t *ends[2];
    dnnl_primitive_desc_t description;
    require(dnnl_memory_get_memory_desc(from, &ends[0]), "reorder");
    require(dnnl_memory_get_memory_desc(to, &ends[1]), "reorder");
    require(dnnl_reorder_primitive_desc_create(&description, ends[0], engine, ends[1], engine, NULL), "reorder");
    return make_step(description, 2, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

static const dnnl_memory_desc_t *wanted(dnnl_primitive_desc_t description, dnnl_query_t what) {
    return dnnl_primitive_desc_query_md(description, what, 0);
}

/* The layer's weights in the form that a kernel asked for. */
static dnnl_memory_t arrange(dnnl_memory_t plain, const dnnl_memory_desc_t *description) {
    dnnl_memory_t made = allocate(description);
    net_step step = reorder(plain, made);
    execute(&step);
    require(dnnl_stream_wait(stream), "reorder");
    return made;
}

static dnnl_memory_desc_t describe_weights(const net_layer *layer, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    return describe(4, (dnnl_dims_t){layer->out, layer->in, 3, 3}, type, tag);
}

/* With the algorithm that is asked for, else the direct one. */
static dnnl_primitive_desc_t describe_convolution(net_layer *layer, int backward) {
    dnnl_memory_desc_t source =
        describe_map(layer->in, layer->size, layer->in == 3 ? dnnl_format_tag_any : dnnl_nChw16c);
    dnnl_memory_desc_t output = describe_map(layer->out, layer->size, dnnl_nChw16c);
    dnnl_memory_desc_t weights = describe_weights(layer, element, dnnl_format_tag_any);
    dnnl_memory_desc_t bias = describe(1, (dnnl_dims_t){layer->out}, dnnl_f32, dnnl_x);
    dnnl_alg_kind_t tries[] = {algorithm, dnnl_convolution_direct};
    dnnl_primitive_desc_t made = NULL;
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t relu;
    const char *kernel;
    require(dnnl_primitive_attr_create(&attributes), "attributes");
    require(dnnl_post_ops_create(&relu), "attributes");
    require(dnnl_post_ops_append_eltwise(relu, 1, dnnl_eltwise_relu, 0, 0), "ReLU");
    if (!backward) require(dnnl_primitive_attr_set_post_ops(attributes, relu), "ReLU");
    for (int i = 0; i < 2 && !made; i++) {
        dnnl_convolution_desc_t operation;
        dnnl_status_t status =
            backward ? dnnl_convolution_backward_data_desc_init(&operation, tries[i], &source, &weights, &output, one,
                                                                one, one)
                     : dnnl_convolution_forward_desc_init(&operation, dnnl_forward_training, tries[i], &source,
                                                          &weights, &bias, &output, one, one, one);
        require(status, "convolution");
        if (dnnl_primitive_desc_create(&made, &operation, attributes, engine, backward ? layer->forward : NULL))
            made = NULL;
    }
    require(made ? dnnl_success : dnnl_unimplemented, "convolution");
    require(dnnl_primitive_desc_query(made, dnnl_query_impl_info_str, 0, &kernel), "kernel");
    snprintf(layer->kernels[backward], NAME, "%s", kernel);
    return made;
}

/* 2x2 max pooling of the layer before, both ways. */
static void add_pooling(const net_layer *before, net_layer *layer, net_steps *forward, net_step *backward) {
    dnnl_memory_desc_t large = describe_map(before->out, before->size, dnnl_nChw16c);
    dnnl_memory_desc_t small = describe_map(layer->in, layer->size, dnnl_nChw16c);
    dnnl_pooling_desc_t operation;
    require(dnnl_pooling_forward_desc_init(&operation, dnnl_forward_training, dnnl_pooling_max, &large, &small, two,
                                           two, none, none),
            "pooling");
    dnnl_primitive_desc_t there = describe_primitive(&operation, NULL, NULL, "pooling");
    require(dnnl_pooling_backward_desc_init(&operation, dnnl_pooling_max, &large, &small, two, two, none, none),
            "pooling");
    dnnl_primitive_desc_t back = describe_primitive(&operation, NULL, there, "gradient of pooling");
    layer->source = allocate(&small);
    layer->source_gradient = allocate(&small);
    layer->pooling = allocate(wanted(there, dnnl_query_workspace_md));
    add(forward, there, 3,
        (dnnl_exec_arg_t[]){
            {DNNL_ARG_SRC, before->output}, {DNNL_ARG_DST, layer->source}, {DNNL_ARG_WORKSPACE, layer->pooling}});
    *backward = make_step(back, 3,
                          (dnnl_exec_arg_t[]){{DNNL_ARG_DIFF_DST, layer->source_gradient},
                                              {DNNL_ARG_DIFF_SRC, before->output_gradient},
                                              {DNNL_ARG_WORKSPACE, layer->pooling}});
}

/* The pixels, and their gradient, come and go as planes of f32. */
static void add_pixels(net_layer *layer, dnnl_primitive_desc_t back, net_steps *forward, net_step *backward) {
    dnnl_memory_desc_t planes = describe(4, (dnnl_dims_t){1, layer->in, layer->size, layer->size}, dnnl_f32, dnnl_nchw);
    layer->source = allocate(wanted(layer->forward, dnnl_query_src_md));
    layer->source_gradient = allocate(wanted(back, dnnl_query_diff_src_md));
    forward->at[forward->count++] = reorder(allocate_random(&planes, 100), layer->source);
    *backward = reorder(layer->source_gradient, allocate(&planes));
}

static void add_convolution(net_layer *layer, dnnl_primitive_desc_t back, dnnl_memory_t plain, net_steps *forward,
                            net_step backward[2]) {
    dnnl_memory_desc_t map = describe_map(layer->out, layer->size, dnnl_nChw16c);
    dnnl_memory_desc_t bias = describe(1, (dnnl_dims_t){layer->out}, dnnl_f32, dnnl_x);
    dnnl_eltwise_desc_t operation;
    add(forward, layer->forward, 4,
        (dnnl_exec_arg_t[]){{DNNL_ARG_SRC, layer->source},
                            {DNNL_ARG_WEIGHTS, arrange(plain, wanted(layer->forward, dnnl_query_weights_md))},
                            {DNNL_ARG_BIAS, allocate(&bias)},
                            {DNNL_ARG_DST, layer->output}});
    backward[0] = make_step(back, 3,
                            (dnnl_exec_arg_t[]){{DNNL_ARG_DIFF_DST, layer->output_gradient},
                                                {DNNL_ARG_WEIGHTS, arrange(plain, wanted(back, dnnl_query_weights_md))},
                                                {DNNL_ARG_DIFF_SRC, layer->source_gradient}});
    require(dnnl_eltwise_forward_desc_init(&operation, dnnl_forward_training, dnnl_eltwise_relu_use_dst_for_bwd, &map,
                                           0, 0),
            "ReLU");
    dnnl_primitive_desc_t relu = describe_primitive(&operation, NULL, NULL, "ReLU");
    require(dnnl_eltwise_backward_desc_init(&operation, dnnl_eltwise_relu_use_dst_for_bwd, &map, &map, 0, 0), "ReLU");
    backward[1] = make_step(describe_primitive(&operation, NULL, relu, "gradient of ReLU"), 3,
                            (dnnl_exec_arg_t[]){{DNNL_ARG_DST, layer->output},
                                                {DNNL_ARG_DIFF_DST, layer->output_gradient},
                                                {DNNL_ARG_DIFF_SRC, layer->output_gradient}});
}

static void build(net_layer *layers, int size, net_steps *forward, net_steps *backward) {
    net_step reversed[MOST_STEPS]; /* backward from the pixels on */
    int count = 0;
    for (int i = 0; i < LAYERS; i++) {
        net_layer *layer = &layers[i], *before = i ? &layers[i - 1] : NULL;
        layer->in = channels_of[i], layer->out = channels_of[i + 1];
        layer->size = !i ? size : pool_before[i] ? before->size / 2 : before->size;
        layer->forward = describe_convolution(layer, 0);
        dnnl_primitive_desc_t back = describe_convolution(layer, 1);
        dnnl_memory_desc_t map = describe_map(layer->out, layer->size, dnnl_nChw16c);
        dnnl_memory_desc_t weights = describe_weights(layer, dnnl_f32, dnnl_oihw);
        layer->output = allocate(&map);
        layer->output_gradient = i == LAYERS - 1 && element == dnnl_f32 ? allocate_random(&map, 1) : allocate(&map);
        if (!i)
            add_pixels(layer, back, forward, &reversed[count++]);
        else if (pool_before[i])
            add_pooling(before, layer, forward, &reversed[count++]);
        else
            layer->source = before->output, layer->source_gradient = before->output_gradient;
        /* Maps keep their size from layer to layer (He et al., arXiv 1502.01852). */
        dnnl_memory_t plain = allocate_random(&weights, sqrtf(6 / (9.0f * (float)layer->in)));
        add_convolution(layer, back, plain, forward, &reversed[count]);
        count += 2;
        dnnl_memory_destroy(plain);
    }
    while (count) backward->at[backward->count++] = reversed[--count];
}

static double run(const net_steps *steps) {
    double begin = now();
    for (int i = 0; i < steps->count; i++) execute(&steps->at[i]);
    require(dnnl_stream_wait(stream), "execution");
    return now() - begin;
}

static void print_kernels(const net_layer *layers, int backward) {
    for (int i = 0; i < LAYERS; i++) printf("%s\"%s\"", i ? ", " : "", layers[i].kernels[backward]);
}

int main(int count, char **arguments) {
    static net_layer layers[LAYERS];
    static net_steps forward, backward;
    double least_forward = 0, least_both = 0;
    int size = count > 2 ? atoi(arguments[2]) : 0, repeats = count > 3 ? atoi(arguments[3]) : 0;
    if (count != 4 || size < 16 || repeats < 1) {
        fprintf(stderr, "usage: onednn winograd|direct|bf16 SIZE REPEATS\n");
        return 2;
    }
    if (!strcmp(arguments[1], "winograd")) algorithm = dnnl_convolution_winograd;
    if (!strcmp(arguments[1], "bf16")) element = dnnl_bf16;
    begin();
    build(layers, size, &forward, &backward);
    for (int i = -1; i < repeats; i++) { /* the first one is not counted */
        double there = run(&forward), both = there + run(&backward);
        if (i <= 0 || there < least_forward) least_forward = there;
        if (i <= 0 || both < least_both) least_both = both;
    }
    printf("{\"version\": \"oneDNN %d.%d.%d\", \"seconds\": {\"forward\": %.6f, \"both\": %.6f}, \"forward\": [",
           dnnl_version()->major, dnnl_version()->minor, dnnl_version()->patch, least_forward, least_both);
    print_kernels(layers, 0);
    printf("], \"backward\": [");
    print_kernels(layers, 1);
    printf("]}\n");
    return 0;
}
