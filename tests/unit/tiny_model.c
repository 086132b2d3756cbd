/* Small networks of the VGG family that stand for the real ones, and files with their weights. */
#include "tiny_model.h"

#include <stdio.h>
#include <string.h>

#include "models/resnet.h"
#include "models/vgg.h"
#include "unit.h"

static int build_tiny(imp_context *context, const int *options, imp_network *network) {
    static const imp_vgg tiny = {"tiny", 2, {1, 2}, {4, 6}};
    (void)options;
    return imp_vgg_build(context, &tiny, network);
}

/* As wide as a VGG at its first layer, where it is told whose weights they are. */
static int build_wide(imp_context *context, const int *options, imp_network *network) {
    static const imp_vgg wide = {"wide", 1, {1}, {64}};
    (void)options;
    return imp_vgg_build(context, &wide, network);
}

/* A stem, a block, and a block with a shortcut of another shape. */
static int build_slim(imp_context *context, const int *options, imp_network *network) {
    static const imp_resnet slim = {"slim", 0, {1, 1}, 4};
    (void)options;
    return imp_resnet_build(context, &slim, network);
}

const imp_architecture tiny_known[] = {{.name = "tiny", .imported = 1, .build = build_tiny},
                                       {.name = "wide", .imported = 1, .build = build_wide},
                                       {.name = "slim", .imported = 1, .normed = 1, .build = build_slim},
                                       {.name = NULL}};

float tiny_values[2 * TINY_VALUES];
const size_t tiny_offsets[TINY_TENSORS + 1] = {0, 108, 112, 328, 334, 658, 664};
const int64_t tiny_shapes[TINY_TENSORS][4] = {{4, 3, 3, 3}, {4}, {6, 4, 3, 3}, {6}, {6, 6, 3, 3}, {6}};
const char *const tiny_numbers[TINY_TENSORS] = {"0.weight", "0.bias", "3.weight", "3.bias", "5.weight", "5.bias"};
const char *const tiny_names[TINY_TENSORS] = {"conv1_1.weight", "conv1_1.bias",   "conv2_1.weight",
                                              "conv2_1.bias",   "conv2_2.weight", "conv2_2.bias"};

void tiny_fill(void) {
    for (int i = 0; i < 2 * TINY_VALUES; i++) tiny_values[i] = (float)(i * 7919 % 2003 - 1001) / 1024;
}

void add_tensor(file_maker *file, const char *name, const char *kind, size_t size, const void *data, int dimensions,
                const int64_t *shape) {
    tensor_spec *tensor = &file->tensors[file->count];
    int64_t step = 1;

    snprintf(file->names[file->count], sizeof file->names[0], "%s", name);
    snprintf(file->keys[file->count], sizeof file->keys[0], "%d", file->count);
    *tensor = (tensor_spec){.name = file->names[file->count], .kind = kind, .storage = file->keys[file->count]};
    tensor->dimensions = dimensions;
    for (int i = dimensions - 1; i >= 0; i--) {
        tensor->shape[i] = shape[i];
        tensor->stride[i] = step;
        step *= shape[i];
    }
    tensor->storage_count = step;
    file->storages[file->count++] = (storage_spec){tensor->storage, data, (size_t)step * size, (size_t)step};
}

void add_floats(file_maker *file, const char *prefix, const char *name, const float *data, int dimensions,
                const int64_t *shape) {
    char full[64];

    snprintf(full, sizeof full, "%s%s", prefix, name);
    add_tensor(file, full, "FloatStorage", sizeof(float), data, dimensions, shape);
}

static int write_file(const bytes *file, const char *path) {
    FILE *stream = fopen(path, "wb");
    int good;

    if (!stream) return -1;
    good = fwrite(file->at, 1, file->length, stream) == file->length;
    return fclose(stream) == 0 && good ? 0 : -1;
}

int write_torch(const file_maker *maker, const char *path, int old) {
    bytes pickle = {0}, file = {0};
    int status;

    pickle_state_dict(&pickle, maker->tensors, maker->count, "state_dict");
    if (old)
        torch_old(&file, &pickle, maker->storages, maker->count);
    else
        torch_zip(&file, &pickle, maker->storages, maker->count, "little", 0);
    status = write_file(&file, path);
    bytes_free(&file);
    bytes_free(&pickle);
    return status;
}

void make_tiny(file_maker *maker, const char *prefix, const char *const names[6]) {
    maker->count = 0;
    for (int i = 0; i < 6; i++)
        add_floats(maker, prefix, names[i], tiny_values + tiny_offsets[i], i % 2 ? 1 : 4, tiny_shapes[i]);
}

void make_quantised(file_maker *maker, const uint8_t indices[TINY_VALUES], const float *table, size_t table_count) {
    const int64_t table_shape[1] = {(int64_t)table_count};

    maker->count = 0;
    for (int i = 0; i < 6; i += 2) {
        char name[64];
        int length = snprintf(name, sizeof name, "block%c_conv%c", tiny_names[i][4], tiny_names[i][6]);
        snprintf(name + length, sizeof name - (size_t)length, "_W_q");
        add_tensor(maker, name, "ByteStorage", 1, indices + tiny_offsets[i], 4, tiny_shapes[i]);
        snprintf(name + length, sizeof name - (size_t)length, "_W_table");
        add_tensor(maker, name, "FloatStorage", sizeof(float), table, 1, table_shape);
        snprintf(name + length, sizeof name - (size_t)length, "_b");
        add_tensor(maker, name, "FloatStorage", sizeof(float), tiny_values + tiny_offsets[i + 1], 1,
                   tiny_shapes[i + 1]);
    }
}

void expect_tiny(const imp_model *model) {
    imp_model_info info = {.size = sizeof info};

    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_string_equal(info.architecture, "tiny");
    assert_int_equal(info.tensor_count, 6);
    assert_int_equal(info.parameter_count, 664);
    for (int i = 0; i < 6; i++) {
        const imp_parameter *parameter = &model->network.parameters[i];
        size_t count = tiny_offsets[i + 1] - tiny_offsets[i];
        assert_string_equal(parameter->name, tiny_names[i]);
        assert_int_equal(parameter->dimensions, i % 2 ? 1 : 4);
        assert_memory_equal(parameter->shape, tiny_shapes[i], (size_t)parameter->dimensions * sizeof(int64_t));
        assert_memory_equal(parameter->data, tiny_values + tiny_offsets[i], count * sizeof(float));
    }
}
