/* Files of torch.save that must be read to the last bit. */
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "formats/tensors.h"
#include "torch_file.h"
#include "unit.h"

#define NAME "hostile.pth"
#define OPCODES(text) text, sizeof(text) - 1

static imp_context *context;

static int setup(void **state) {
    (void)state;
    context = make_context(1, TORCH_MEMORY);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    imp_context_free(context);
    return 0;
}

static void expect_values(const bytes *file, const char *name, const float *values, size_t count) {
    imp_tensors tensors;
    const imp_named_tensor *tensor;
    float *got = malloc(count * sizeof *got + 1);

    assert_non_null(got);
    assert_int_equal(imp_tensors_parse(context, file->at, file->length, NAME, &tensors), IMP_OK);
    tensor = imp_tensors_find(&tensors, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->count, count);
    assert_int_equal(imp_tensors_to_f32(context, &tensors, tensor, got), IMP_OK);
    for (size_t i = 0; i < count; i++) assert_true(got[i] == values[i]); /* conversions to f32 are exact here */
    imp_tensors_release(context, &tensors);
    free(got);
}

/* Both forms of the file, the zip one with and without zip64. */
static void expect_pickle(const bytes *pickle, const storage_spec *storages, int storage_count, const char *name,
                          const float *values, size_t count) {
    for (int form = 0; form < 3; form++) {
        bytes file = {0};
        if (form == 2)
            torch_old(&file, pickle, storages, storage_count);
        else
            torch_zip(&file, pickle, storages, storage_count, "little", form);
        expect_values(&file, name, values, count);
        bytes_free(&file);
    }
}

static void test_every_kind_of_number(void **state) {
    /* -2 and 96.5 or 96, as each kind has them, little-endian. */
    static const struct {
        const char *kind;
        size_t size;
        uint64_t bits[2];
        float values[2];
    } kinds[] = {
        {"DoubleStorage", 8, {0xc000000000000000, 0x4058200000000000}, {-2, 96.5f}},
        {"FloatStorage", 4, {0xc0000000, 0x42c10000}, {-2, 96.5f}},
        {"HalfStorage", 2, {0xc000, 0x5608}, {-2, 96.5f}},
        {"BFloat16Storage", 2, {0xc000, 0x42c1}, {-2, 96.5f}},
        {"LongStorage", 8, {(uint64_t)-2, 96}, {-2, 96}},
        {"IntStorage", 4, {(uint32_t)-2, 96}, {-2, 96}},
        {"ShortStorage", 2, {(uint16_t)-2, 96}, {-2, 96}},
        {"CharStorage", 1, {(uint8_t)-2, 96}, {-2, 96}},
        {"ByteStorage", 1, {254, 96}, {254, 96}},
        {"BoolStorage", 1, {1, 0}, {1, 0}},
    };
    (void)state;
    for (int k = 0; k < COUNT(kinds); k++) {
        tensor_spec tensor = {"a", kinds[k].kind, "0", 2, 0, 1, {2}, {1}};
        bytes pickle = {0}, numbers = {0}, swapped = {0}, file = {0};
        storage_spec storage;
        for (int i = 0; i < 2; i++) put_number(&numbers, kinds[k].bits[i], (int)kinds[k].size);
        for (size_t i = 0; i < numbers.length; i++)
            put(&swapped, &numbers.at[i / kinds[k].size * kinds[k].size + kinds[k].size - 1 - i % kinds[k].size], 1);
        storage = (storage_spec){"0", numbers.at, numbers.length, 2};
        pickle_state_dict(&pickle, &tensor, 1, NULL);
        expect_pickle(&pickle, &storage, 1, "a", kinds[k].values, 2);
        storage.data = swapped.at;
        torch_zip(&file, &pickle, &storage, 1, "big", 0);
        expect_values(&file, "a", kinds[k].values, 2);
        bytes_free(&file);
        bytes_free(&pickle);
        bytes_free(&numbers);
        bytes_free(&swapped);
    }
}

static void test_views_of_one_storage(void **state) {
    static const float numbers[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; /* as [3, 4] */
    static const tensor_spec tensors[] = {
        {"whole", "FloatStorage", "7", 12, 0, 2, {3, 4}, {4, 1}},
        {"transposed", "FloatStorage", "7", 12, 0, 2, {4, 3}, {1, 4}},
        {"slice", "FloatStorage", "7", 12, 5, 2, {2, 2}, {4, 2}},
        {"expanded", "FloatStorage", "7", 12, 3, 3, {2, 1, 3}, {0, 9, 0}},
        {"scalar", "FloatStorage", "7", 12, 11, 0, {0}, {0}},
        {"empty", "FloatStorage", "7", 12, 12, 2, {0, 3}, {3, 1}},
        {"column", "FloatStorage", "7", 12, 1, 4, {1, 3, 1, 1}, {99, 4, 99, 99}},
    };
    static const struct {
        size_t count;
        float values[12];
    } expected[COUNT(tensors)] = {
        {12, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
        {12, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
        {4, {5, 7, 9, 11}},
        {6, {3, 3, 3, 3, 3, 3}},
        {1, {11}},
        {0, {0}},
        {3, {1, 5, 9}},
    };
    static const char *const wrappers[] = {NULL, "state_dict", "model_state_dict"};
    storage_spec storage = {"7", numbers, sizeof numbers, 12};
    (void)state;
    for (int w = 0; w < COUNT(wrappers); w++) {
        bytes pickle = {0};
        pickle_state_dict(&pickle, tensors, COUNT(tensors), wrappers[w]);
        for (int i = 0; i < COUNT(tensors); i++)
            expect_pickle(&pickle, &storage, 1, tensors[i].name, expected[i].values, expected[i].count);
        bytes_free(&pickle);
    }
}

static void put_old_tensor(bytes *pickle, const char *view) {
    put_text(pickle, "ctorch._utils\n_rebuild_tensor\n((");
    pickle_string(pickle, "storage");
    pickle_global(pickle, "torch.cuda", "FloatStorage");
    put_text(pickle, "U\001kU\006cuda:0K\010");
    put_text(pickle, view);
    put(pickle, "tQK\0K\2\x85K\1\x85tR", 12);
}

/* PyTorch 0.1: _rebuild_tensor without gradients, and parts of storages as views; CUDA's
   names. A parameter around it. */
static void test_old_calls(void **state) {
    static const float numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float expected[2] = {4, 5}, whole[2] = {1, 2};
    storage_spec storage = {"k", numbers, sizeof numbers, 8};
    bytes pickle = {0};
    (void)state;
    put_text(&pickle, "\x80\2ccollections\nOrderedDict\n](]("); /* of a list of pairs */
    pickle_string(&pickle, "a");
    put_text(&pickle, "ctorch._utils\n_rebuild_parameter\n(");
    put_old_tensor(&pickle, "(U\001vK\003K\004t");
    put_text(&pickle, "\x88)tRe](");
    pickle_string(&pickle, "b");
    put_old_tensor(&pickle, "N");
    put_text(&pickle, "ee\x85R}U\011_metadataNsb.");
    expect_pickle(&pickle, &storage, 1, "a", expected, 2);
    expect_pickle(&pickle, &storage, 1, "b", whole, 2);
    bytes_free(&pickle);
}

/* Protocol 4: frames, short strings, names from the stack, a memo that counts by itself. */
static void test_protocol_4(void **state) {
    static const float numbers[2] = {1.5f, -3};
    static const char opcodes[] =
        "\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2"
        "\x94\x93\x94((\x8c\7storage\x94\x8c\5torch\x94\x8c\x0c"
        "FloatStorage\x94\x93\x94\x8c\1\x30\x94\x8c\3cpu\x94K\2t\x94QK\0K\2\x85K\1\x85\x89Nt\x94R\x94"
        "h\1\x8f(K\1K\2\x90h\1C\2ab\x8c\1cG\x40\0\0\0\0\0\0\0\x8c\1d]\x94(K\1K\2eu.";
    storage_spec storage = {"0", numbers, sizeof numbers, 2};
    bytes pickle = {0};
    (void)state;
    put(&pickle, opcodes, sizeof opcodes - 1);
    expect_pickle(&pickle, &storage, 1, "a", numbers, 2);
    bytes_free(&pickle);
}

/* A wrong byte among the numbers of an archive is found by its checksum. */
static void test_checksum_of_a_record(void **state) {
    static const float marked[2] = {1234.5f, 2};
    tensor_spec tensor = {"a", "FloatStorage", "0", 2, 0, 1, {2}, {1}};
    storage_spec storage = {"0", marked, sizeof marked, 2};
    bytes pickle = {0}, file = {0};
    imp_tensors tensors;
    float values[2];
    uint8_t *at;
    (void)state;
    pickle_state_dict(&pickle, &tensor, 1, NULL);
    torch_zip(&file, &pickle, &storage, 1, NULL, 0);
    at = memmem(file.at, file.length, marked, sizeof marked);
    assert_non_null(at);
    *at ^= 1;
    assert_int_equal(imp_tensors_parse(context, file.at, file.length, NAME, &tensors), IMP_OK);
    assert_int_equal(imp_tensors_to_f32(context, &tensors, &tensors.tensors[0], values), IMP_ERR_FORMAT);
    assert_non_null(strstr(imp_error(context), "checksum"));
    imp_tensors_release(context, &tensors);
    bytes_free(&file);
    bytes_free(&pickle);
}

static int read_all(imp_context *own, void *user) {
    const bytes *file = user;
    imp_tensors tensors;
    float values[4];
    int status = imp_tensors_parse(own, file->at, file->length, NAME, &tensors);

    for (int i = 0; status == IMP_OK && i < tensors.count; i++)
        status = imp_tensors_to_f32(own, &tensors, &tensors.tensors[i], values);
    imp_tensors_release(own, &tensors);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    for (int old = 0; old < 2; old++) {
        bytes file = {0};
        torch_small(&file, old);
        assert_int_equal(imp_test_every_allocation(read_all, &file), 0);
        bytes_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_number),
        cmocka_unit_test(test_views_of_one_storage),
        cmocka_unit_test(test_old_calls),
        cmocka_unit_test(test_protocol_4),
        cmocka_unit_test(test_checksum_of_a_record),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
