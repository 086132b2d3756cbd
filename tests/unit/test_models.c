/* Models: the architectures, and files of Impasto's own: saved, opened, described, refused. */
#include <math.h>

#include "failing_allocator.h"
#include "formats/safetensors.h"
#include "model_files.h"
#include "models/vgg.h"

static void refuse_open(int status, const char *words) {
    imp_model *model = (imp_model *)&model;

    refuse(imp_model_open_known(context, path, tiny_known, &model), status, words);
    assert_memory_equal(imp_error(context), path, strlen(path));
    assert_null(model);
}

static void test_vgg_architectures(void **state) {
    static const char *const layers[] = {"conv1_1", "conv1_2", "pool1",   "conv2_1", "conv2_2", "pool2",   "conv3_1",
                                         "conv3_2", "conv3_3", "conv3_4", "pool3",   "conv4_1", "conv4_2", "conv4_3",
                                         "conv4_4", "pool4",   "conv5_1", "conv5_2", "conv5_3", "conv5_4", "pool5"};
    static const struct {
        const char *name;
        int convolutions, layers;
        uint64_t parameters;
    } nets[] = {{"vgg16", 13, 1 + 26 + 5, 14714688}, {"vgg19", 16, 1 + 32 + 5, 20024384}}; /* as torchvision counts */
    (void)state;
    for (int n = 0; n < COUNT(nets); n++) {
        const imp_architecture *architecture = imp_architecture_find(imp_architectures, nets[n].name);
        imp_model_info info = {.size = sizeof info};
        imp_model *model;
        int shown = 0;
        assert_non_null(architecture);
        assert_int_equal(imp_model_make(context, architecture, NULL, &model), IMP_OK);
        assert_int_equal(model->network.layer_count, nets[n].layers);
        assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
        assert_int_equal(info.tensor_count, 2 * nets[n].convolutions);
        assert_int_equal(info.parameter_count, nets[n].parameters);
        for (int i = 0; i < COUNT(layers); i++) {
            int tap = imp_network_find_tap(&model->network, layers[i]);
            if (tap < 0) continue; /* vgg16 has no conv3_4 */
            assert_string_equal(imp_model_layer_name(model, shown++), layers[i]);
            assert_int_equal(model->network.layers[tap].kind,
                             layers[i][0] == 'p' ? IMP_OPERATION_POOL : IMP_OPERATION_RELU);
        }
        assert_int_equal(shown, nets[n].convolutions + 5);
        assert_null(imp_model_layer_name(model, shown));
        assert_null(imp_model_layer_name(model, -1));
        for (int i = 1; i < model->network.layer_count; i++) assert_int_equal(model->network.layers[i].input, i - 1);
        imp_model_free(model);
    }
    assert_null(imp_architecture_find(imp_architectures, "vgg11"));
}

static void test_resnets(void **state) {
    static const struct {
        const char *name;
        int convolutions;
        uint64_t parameters;
        const char *layers[8];
        int channels[8];
    } nets[] = {
        /* Weights as torchvision counts them without the classifier, and a bias where it has a batch norm of two. */
        {"resnet18", 20, 11176512 - 4800, {"conv1", "layer1.0", "layer2.1", "layer4.1"}, {64, 64, 128, 512}},
        {"resnet50", 53, 23508032 - 26560, {"conv1", "layer1.0", "layer2.3", "layer4.2"}, {64, 256, 512, 2048}},
    };
    (void)state;
    for (int n = 0; n < COUNT(nets); n++) {
        const imp_architecture *architecture = imp_architecture_find(imp_architectures, nets[n].name);
        imp_model_info info = {.size = sizeof info};
        imp_model *model;
        assert_int_equal(imp_model_make(context, architecture, NULL, &model), IMP_OK);
        assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
        assert_int_equal(info.tensor_count, 2 * nets[n].convolutions);
        assert_int_equal(info.parameter_count, nets[n].parameters);
        for (int i = 0; nets[n].layers[i]; i++) {
            int tap = imp_network_find_tap(&model->network, nets[n].layers[i]), shown = 0;
            assert_in_range(tap, 1, model->network.layer_count - 1);
            assert_int_equal(model->network.layers[tap].kind, IMP_OPERATION_RELU);
            assert_int_equal(model->network.layers[tap].channels, nets[n].channels[i]);
            while (strcmp(imp_model_layer_name(model, shown), nets[n].layers[i]) != 0) shown++;
        }
        imp_model_free(model);
    }
}

static imp_model *import_tiny(void) {
    file_maker maker;
    imp_model *model;

    make_tiny(&maker, "features.", tiny_numbers);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    assert_int_equal(imp_model_import_known(context, path, "caffe", tiny_known, &model), IMP_OK);
    return model;
}

static void test_saved_and_opened(void **state) {
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    imp_model *model = import_tiny();
    (void)state;
    for (int storage = 0; storage < 3; storage++) {
        imp_model_info info = {.size = sizeof info};
        imp_tensor_info tensor = {.size = sizeof tensor};
        imp_model *opened;
        assert_int_equal(imp_model_save(context, model, other, (imp_storage)storage), IMP_OK);
        for (int import = 0; import < 2; import++) { /* a file of Impasto's may be imported too */
            if (import)
                assert_int_equal(imp_model_import_known(context, other, NULL, tiny_known, &opened), IMP_OK);
            else
                assert_int_equal(imp_model_open_known(context, other, tiny_known, &opened), IMP_OK);
            if (storage != IMP_STORAGE_BF16) expect_tiny(opened); /* the tiny_values are exact in f16 */
            assert_int_equal(imp_model_get_info(opened, &info), IMP_OK);
            assert_string_equal(info.preprocessing, "caffe");
            assert_string_equal(info.origin, model->origin);
            assert_string_equal(info.licence, model->licence);
            assert_true(info.feature_scale == 1.0f / 255);
            assert_int_equal(imp_model_get_tensor(opened, 1, &tensor), IMP_OK);
            assert_string_equal(tensor.name, "conv1_1.bias");
            assert_string_equal(tensor.dtype, dtypes[storage]);
            assert_int_equal(tensor.dimensions, 1);
            assert_int_equal(tensor.shape[0], 4);
            imp_model_free(opened);
        }
    }
    imp_model_free(model);
}

static void test_tensor_figures(void **state) {
    imp_model *model = import_tiny();
    imp_tensor_info tensor = {.size = sizeof tensor};
    double sum = 0, least = 1e9, most = -1e9;
    (void)state;
    for (int i = 112; i < 328; i++) {
        sum += tiny_values[i];
        least = fmin(least, tiny_values[i]);
        most = fmax(most, tiny_values[i]);
    }
    assert_int_equal(imp_model_get_tensor(model, 2, &tensor), IMP_OK);
    assert_true(fabs(tensor.mean - sum / 216) < 1e-12); /* sums of 216 tiny_values in double precision */
    assert_true(tensor.minimum == least && tensor.maximum == most);
    assert_int_equal(imp_model_get_tensor(model, 6, &tensor), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_get_tensor(model, -1, &tensor), IMP_ERR_ARGUMENT);
    tensor.size = 1;
    assert_int_equal(imp_model_get_tensor(model, 0, &tensor), IMP_ERR_ARGUMENT);
    /* Callers compiled when the structs ended earlier: what lies behind must not be written. */
    tensor.size = offsetof(imp_tensor_info, mean);
    tensor.mean = 77;
    assert_int_equal(imp_model_get_tensor(model, 2, &tensor), IMP_OK);
    assert_true(tensor.size == offsetof(imp_tensor_info, mean) && tensor.mean == 77 && tensor.dimensions == 4);
    imp_model_info info = {.size = offsetof(imp_model_info, tensor_count), .tensor_count = 77};
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_true(info.tensor_count == 77 && strcmp(info.architecture, "tiny") == 0);
    imp_model_free(model);
}

static void test_save_refuses(void **state) {
    imp_model *model = import_tiny(), *opened;
    (void)state;
    assert_int_equal(imp_model_save(context, model, other, IMP_STORAGE_F32), IMP_OK);
    model->network.parameters[2].data[7] = -65520; /* the least that rounds to infinity in f16 */
    refuse(imp_model_save(context, model, other, IMP_STORAGE_F16), IMP_ERR_NUMERIC,
           "conv2_1.weight: the value -65520 does not fit into F16");
    refuse(imp_model_save(context, model, "/no/such/folder/x", IMP_STORAGE_F32), IMP_ERR_IO, "/no/such/folder/x");
    refuse(imp_model_save(context, model, folder, IMP_STORAGE_F32), IMP_ERR_IO, "is a folder");
    refuse(imp_model_save(context, model, other, (imp_storage)3), IMP_ERR_ARGUMENT, "3 is no imp_storage");
    refuse(imp_model_save(context, NULL, other, IMP_STORAGE_F32), IMP_ERR_ARGUMENT, "NULL");
    imp_model_free(model);
    assert_int_equal(imp_model_open_known(context, other, tiny_known, &opened), IMP_OK); /* as it was */
    expect_tiny(opened);
    imp_model_free(opened);
}

#define METADATA 6

/* Writes the tiny network with its metadata, one of it changed (to NULL: left out), or with tensors lacking. */
static void write_own(const char *key, const char *value, int first, int count, const float *data) {
    const char *pairs[METADATA][2] = {{"format", "impasto"},      {"version", "1"},       {"architecture", "tiny"},
                                      {"preprocessing", "caffe"}, {"feature_scale", "2"}, {"licence", "CC0"}};
    imp_key_value metadata[METADATA];
    imp_tensor_source sources[6];
    int used = 0;

    for (int i = 0; i < METADATA; i++) {
        const char *shown = key && strcmp(key, pairs[i][0]) == 0 ? value : pairs[i][1];
        if (shown) metadata[used++] = (imp_key_value){(char *)(uintptr_t)pairs[i][0], (char *)(uintptr_t)shown};
    }
    for (int i = 0; i < 6; i++)
        sources[i] = (imp_tensor_source){tiny_names[i], i % 2 ? 1 : 4, tiny_shapes[i], data + tiny_offsets[i]};
    assert_int_equal(imp_safetensors_write(context, path, sources + first, count, IMP_F32, metadata, used), IMP_OK);
}

static void test_open_reads_its_metadata(void **state) {
    imp_model_info info = {.size = sizeof info};
    imp_model *model;
    (void)state;
    write_own(NULL, NULL, 0, 6, tiny_values);
    assert_int_equal(imp_model_open_known(context, path, tiny_known, &model), IMP_OK);
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_true(info.feature_scale == 2);
    assert_string_equal(info.licence, "CC0");
    assert_string_equal(info.origin, "unknown");
    imp_model_free(model);
    refuse(imp_model_import_known(context, path, "torchvision", tiny_known, &model), IMP_ERR_ARGUMENT,
           "\"caffe\", not");
}

static void test_open_refuses(void **state) {
    static const struct {
        const char *key, *value;
        int status;
        const char *words;
    } cases[] = {
        {"format", "other", IMP_ERR_FORMAT, "impasto model import"},
        {"format", NULL, IMP_ERR_FORMAT, "impasto model import"},
        {"version", "2", IMP_ERR_UNSUPPORTED, "version \"2\""},
        {"version", NULL, IMP_ERR_UNSUPPORTED, "version"},
        {"architecture", "resnet50", IMP_ERR_UNSUPPORTED, "\"resnet50\" is not known"},
        {"architecture", NULL, IMP_ERR_FORMAT, "lacks \"architecture\""},
        {"preprocessing", "keras", IMP_ERR_FORMAT, "\"keras\" is not known"},
        {"preprocessing", NULL, IMP_ERR_FORMAT, "lacks \"preprocessing\""},
        {"feature_scale", "0", IMP_ERR_FORMAT, "feature_scale \"0\""},
        {"feature_scale", "-1", IMP_ERR_FORMAT, "feature_scale"},
        {"feature_scale", "nan", IMP_ERR_FORMAT, "feature_scale"},
        {"feature_scale", "1e999", IMP_ERR_FORMAT, "feature_scale"},
        {"feature_scale", "1e7", IMP_ERR_FORMAT, "feature_scale"},
        {"feature_scale", "", IMP_ERR_FORMAT, "feature_scale"},
    };
    float lame[TINY_VALUES];
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        write_own(cases[i].key, cases[i].value, 0, 6, tiny_values);
        refuse_open(cases[i].status, cases[i].words);
    }
    write_own(NULL, NULL, 0, 5, tiny_values);
    refuse_open(IMP_ERR_FORMAT, "conv2_2.bias of tiny is missing");
    write_own(NULL, NULL, 1, 5, tiny_values);
    refuse_open(IMP_ERR_FORMAT, "conv1_1.weight of tiny is missing");
    write_own("architecture", "wide", 0, 6, tiny_values);
    refuse_open(IMP_ERR_FORMAT, "conv1_1.weight is of the shape 4 x 3 x 3 x 3, but wide needs 64 x 3 x 3 x 3");
    memcpy(lame, tiny_values, sizeof lame);
    lame[400] = NAN;
    write_own(NULL, NULL, 0, 6, lame);
    refuse_open(IMP_ERR_FORMAT, "conv2_2.weight has a value that is infinite or not a number");
    lame[400] = -INFINITY;
    write_own(NULL, NULL, 0, 6, lame);
    refuse_open(IMP_ERR_FORMAT, "conv2_2.weight has a value that is infinite or not a number");
}

static void test_a_wrong_bit_is_found(void **state) {
    FILE *file;
    int byte;
    (void)state;
    write_own(NULL, NULL, 0, 6, tiny_values);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -100, SEEK_END), 0);
    byte = fgetc(file);
    assert_int_equal(fseek(file, -100, SEEK_END), 0);
    assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
    assert_int_equal(fclose(file), 0);
    refuse_open(IMP_ERR_FORMAT, "damaged: the checksum of its weights is wrong");
}

static int build_large(imp_context *own, const int *options, imp_network *network) {
    static const imp_vgg large = {"large", 2, {2, 2}, {64, 128}};
    (void)options;
    return imp_vgg_build(own, &large, network);
}

/* Beside the model itself, the file is held once and nothing of the weights' size more. */
static void test_open_holds_the_file_once(void **state) {
    static const imp_architecture larger[] = {{.name = "large", .build = build_large}, {.name = NULL}};
    imp_context_info before = {.size = sizeof before}, after = {.size = sizeof after};
    imp_model *model, *opened;
    imp_context *own;
    (void)state;
    assert_int_equal(imp_model_make(context, larger, NULL, &model), IMP_OK);
    for (int i = 0; i < model->network.parameter_count; i++) {
        const imp_parameter *parameter = &model->network.parameters[i];
        size_t count = (size_t)parameter->shape[0] * (i % 2 ? 1 : (size_t)parameter->shape[1] * 9);
        assert_int_equal(imp_model_make_data(context, model, i), IMP_OK);
        memset(parameter->data, 0, count * sizeof(float));
    }
    assert_int_equal(imp_model_set_preprocessing(context, model, "caffe"), IMP_OK);
    assert_int_equal(imp_model_set_words(context, model, "", ""), IMP_OK);
    assert_int_equal(imp_model_save(context, model, other, IMP_STORAGE_F32), IMP_OK);
    imp_model_free(model);
    assert_int_equal(imp_context_create(NULL, &own), IMP_OK);
    assert_int_equal(imp_context_get_info(own, &before), IMP_OK);
    assert_int_equal(imp_model_open_known(own, other, larger, &opened), IMP_OK);
    assert_int_equal(imp_context_get_info(own, &after), IMP_OK);
    assert_true(after.memory_peak - before.memory_now < 260160 * 4 + 32768); /* 260160 weights; names and the header */
    assert_int_equal(after.memory_now, before.memory_now);
    imp_context_free(own);
    imp_model_free(opened); /* which outlives its context */
}

static int open_own(imp_context *own, void *user) {
    imp_model *model;
    int status = imp_model_open_known(own, path, tiny_known, &model);

    (void)user;
    imp_model_free(model);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    write_own(NULL, NULL, 0, 6, tiny_values);
    assert_int_equal(imp_test_every_allocation(open_own, NULL), 0);
}

static void test_null_arguments(void **state) {
    imp_model *model;
    imp_model_info info = {.size = 1};
    (void)state;
    assert_int_equal(imp_model_open(NULL, "x", &model), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_open(context, NULL, &model), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_open(context, "x", NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_import(NULL, "x", NULL, &model), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_import(context, NULL, NULL, &model), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_import(context, "x", NULL, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_model_get_info(NULL, &info), IMP_ERR_ARGUMENT);
    assert_null(imp_model_layer_name(NULL, 0));
    imp_model_free(NULL);
    refuse(imp_model_open(context, folder, &model), IMP_ERR_IO, "is a folder");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vgg_architectures),
        cmocka_unit_test(test_resnets),
        cmocka_unit_test(test_saved_and_opened),
        cmocka_unit_test(test_tensor_figures),
        cmocka_unit_test(test_save_refuses),
        cmocka_unit_test(test_open_reads_its_metadata),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_a_wrong_bit_is_found),
        cmocka_unit_test(test_open_holds_the_file_once),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_null_arguments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
