/* The convolutions of ../layers.h in oneDNN 2.6, forward and backward by the input, each with the fastest kernel and the
 * layout of maps that the library itself picks. table.py builds it where libdnnl-dev is installed.
 *
 * usage: onednn_layers f32|bf16 REPEATS
 * Prints one JSON line: the least milliseconds of the repeats. Threads: OMP_NUM_THREADS. */
#include "onednn.h"

#include "../layers.h"

enum { FORWARD, BACKWARD, WAYS };

/* The memory of an argument as the kernel wants it. Random values, so that none are denormal or all zero. */
static dnnl_memory_t take(dnnl_primitive_desc_t kernel, dnnl_query_t what) {
    const dnnl_memory_desc_t *description = dnnl_primitive_desc_query_md(kernel, what, 0);
    dnnl_memory_t made;
    unsigned char *at;
    require(dnnl_memory_create(&made, description, engine, DNNL_MEMORY_ALLOCATE), "memory");
    require(dnnl_memory_get_data_handle(made, (void **)&at), "memory");
    /* 0x3e..: 0.1 to 0.5 in f32 and, every other byte, in bf16. */
    for (size_t i = 0; i < dnnl_memory_desc_get_size(description); i++) at[i] = i % 2 ? 0x3e : (unsigned char)rand();
    return made;
}

static dnnl_primitive_desc_t describe_way(const bench_layer *layer, dnnl_data_type_t type, int way,
                                          dnnl_primitive_desc_t forward) {
    int out = bench_layer_out(layer), pad = layer->kernel / 2;
    dnnl_memory_desc_t source =
        describe(4, (dnnl_dims_t){1, layer->in, layer->size, layer->size}, type, dnnl_format_tag_any);
    dnnl_memory_desc_t output = describe(4, (dnnl_dims_t){1, layer->out, out, out}, type, dnnl_format_tag_any);
    dnnl_memory_desc_t whole =
        describe(4, (dnnl_dims_t){layer->out, layer->in, layer->kernel, layer->kernel}, type, dnnl_format_tag_any);
    dnnl_memory_desc_t grouped = describe(5,
                                          (dnnl_dims_t){layer->groups, layer->out / layer->groups,
                                                        layer->in / layer->groups, layer->kernel, layer->kernel},
                                          type, dnnl_format_tag_any);
    dnnl_memory_desc_t *weights = layer->groups > 1 ? &grouped : &whole;
    dnnl_memory_desc_t bias = describe(1, (dnnl_dims_t){layer->out}, dnnl_f32, dnnl_x);
    dnnl_dims_t strides = {layer->stride, layer->stride}, pads = {pad, pad};
    /* What is left over at the far side of a stride. */
    int rest = (out - 1) * layer->stride + layer->kernel - layer->size - pad;
    dnnl_dims_t ends = {rest, rest};
    dnnl_convolution_desc_t operation;
    dnnl_primitive_desc_t made;
    require(way == FORWARD
                ? dnnl_convolution_forward_desc_init(&operation, dnnl_forward_training, dnnl_convolution_auto, &source,
                                                     weights, &bias, &output, strides, pads, ends)
                : dnnl_convolution_backward_data_desc_init(&operation, dnnl_convolution_auto, &source, weights, &output,
                                                           strides, pads, ends),
            layer->name);
    require(dnnl_primitive_desc_create(&made, &operation, NULL, engine, forward), layer->name);
    return made;
}

/* The least seconds. */
static double time_way(dnnl_primitive_desc_t kernel, int way, int repeats) {
    dnnl_exec_arg_t there[] = {{DNNL_ARG_SRC, take(kernel, dnnl_query_src_md)},
                               {DNNL_ARG_WEIGHTS, take(kernel, dnnl_query_weights_md)},
                               {DNNL_ARG_DST, take(kernel, dnnl_query_dst_md)},
                               {DNNL_ARG_BIAS, NULL}};
    dnnl_exec_arg_t back[] = {
        {DNNL_ARG_DIFF_SRC, NULL}, {DNNL_ARG_WEIGHTS, there[1].memory}, {DNNL_ARG_DIFF_DST, NULL}};
    dnnl_exec_arg_t *arguments = way == FORWARD ? there : back;
    int count = way == FORWARD ? 4 : 3;
    dnnl_primitive_t primitive;
    double least = 0;
    if (way == FORWARD) {
        dnnl_memory_desc_t bias = describe(1, (dnnl_dims_t){1}, dnnl_f32, dnnl_x);
        const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(kernel, dnnl_query_weights_md, 1);
        require(dnnl_memory_create(&there[3].memory, wanted ? wanted : &bias, engine, DNNL_MEMORY_ALLOCATE), "bias");
    } else {
        back[0].memory = take(kernel, dnnl_query_diff_src_md);
        back[2].memory = take(kernel, dnnl_query_diff_dst_md);
    }
    require(dnnl_primitive_create(&primitive, kernel), "primitive");
    for (int i = -1; i < repeats; i++) { /* the first one is not counted */
        double begin = now();
        require(dnnl_primitive_execute(primitive, stream, count, arguments), "execution");
        require(dnnl_stream_wait(stream), "execution");
        double seconds = now() - begin;
        if (i <= 0 || seconds < least) least = seconds;
    }
    return least;
}

int main(int count, char **arguments) {
    int repeats = count == 3 ? atoi(arguments[2]) : 0;
    if (repeats < 1) {
        fprintf(stderr, "usage: onednn_layers f32|bf16 REPEATS\n");
        return 2;
    }
    dnnl_data_type_t type = strcmp(arguments[1], "bf16") ? dnnl_f32 : dnnl_bf16;
    begin();
    printf("{\"version\": \"oneDNN %d.%d.%d\", \"layers\": {", dnnl_version()->major, dnnl_version()->minor,
           dnnl_version()->patch);
    for (int i = 0; i < BENCH_LAYERS; i++) {
        dnnl_primitive_desc_t forward = describe_way(&bench_layers[i], type, FORWARD, NULL);
        double there = time_way(forward, FORWARD, repeats);
        double back = time_way(describe_way(&bench_layers[i], type, BACKWARD, forward), BACKWARD, repeats);
        printf("%s\"%s\": {\"forward\": %.4f, \"backward\": %.4f}", i ? ", " : "", bench_layers[i].name, there * 1e3,
               back * 1e3);
    }
    printf("}}\n");
    return 0;
}
