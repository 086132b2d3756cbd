/* safetensors in and out, and what a file is that is no model. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "failing_allocator.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"
#include "torch_file.h"
#include "unit.h"

#define NAME "hostile.safetensors"
#define BYTES(text) text, sizeof(text) - 1

static imp_context *context;
static char folder[] = "/tmp/impasto-formats-XXXXXX";
static char path[sizeof folder + 32];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/out.safetensors", folder);
    context = make_context(1, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    imp_context_free(context);
    unlink(path);
    return rmdir(folder); /* fails when a temporary file was left */
}

static size_t held(void) {
    imp_context_info info = {.size = sizeof info};
    assert_int_equal(imp_context_get_info(context, &info), IMP_OK);
    return info.memory_now;
}

static void make_file(bytes *file, const char *header, size_t data) {
    static const uint8_t zeros[256];

    put_number(file, strlen(header), 8);
    put_text(file, header);
    assert_true(data <= sizeof zeros);
    put(file, zeros, data);
}

static void refuse(const bytes *file, int status, const char *words) {
    imp_tensors tensors;
    size_t before = held();
    int got = imp_tensors_parse(context, file->at, file->length, NAME, &tensors);

    if (got != status) fail_msg("%d, not %d: %s", got, status, imp_error(context));
    assert_memory_equal(imp_error(context), NAME ": ", sizeof NAME + 1);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_null(strchr(imp_error(context), '\n'));
    assert_int_equal(held(), before);
}

static void refuse_header(const char *header, size_t data, const char *words) {
    bytes file = {0};

    make_file(&file, header, data);
    refuse(&file, IMP_ERR_FORMAT, words);
    bytes_free(&file);
}

static void test_every_dtype(void **state) {
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"},"
                                 "\"i8\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[42,44]},"
                                 "\"f64\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                                 "\"f32\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]},"
                                 "\"f16\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[16,18]},"
                                 "\"none\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[16,16]},"
                                 "\"bf16\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[18,20]},"
                                 "\"i64\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[20,28]},"
                                 "\"i32\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[28,36]},"
                                 "\"i16\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[36,38]},"
                                 "\"u8\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[38,39]},"
                                 "\"b\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[39,42]}}   ";
    static const struct {
        const char *name, *dtype;
        size_t count;
        float values[3];
    } expected[] = {
        {"f64", "F64", 1, {-0.5f}}, {"none", "F32", 0, {0}},     {"f32", "F32", 2, {1, -2}}, {"f16", "F16", 1, {1.5f}},
        {"bf16", "BF16", 1, {-1}},  {"i64", "I64", 1, {-7}},     {"i32", "I32", 2, {1, -1}}, {"i16", "I16", 1, {-2}},
        {"u8", "U8", 1, {200}},     {"b", "BOOL", 3, {1, 0, 1}}, {"i8", "I8", 2, {-128, 5}},
    };
    bytes file = {0};
    imp_tensors tensors;
    (void)state;
    make_file(&file, header, 0);
    put_number(&file, 0xbfe0000000000000, 8);
    put_number(&file, 0xc00000003f800000, 8);
    put_number(&file, 0xbf803e00, 4);
    put_number(&file, (uint64_t)-7, 8);
    put_number(&file, 0xffffffff00000001, 8);
    put_number(&file, 0x010001c8fffe, 6);
    put_number(&file, 0x0580, 2);
    assert_int_equal(imp_tensors_parse(context, file.at, file.length, NAME, &tensors), IMP_OK);
    assert_int_equal(tensors.count, COUNT(expected));
    assert_string_equal(imp_tensors_metadata(&tensors, "k"), "v");
    assert_null(imp_tensors_metadata(&tensors, "K"));
    for (int i = 0; i < COUNT(expected); i++) {
        const imp_named_tensor *tensor = imp_tensors_find(&tensors, expected[i].name);
        float values[3];
        assert_non_null(tensor);
        assert_string_equal(imp_dtype_name(tensor->dtype), expected[i].dtype);
        assert_int_equal(tensor->count, expected[i].count);
        assert_int_equal(imp_tensors_to_f32(context, &tensors, tensor, values), IMP_OK);
        for (size_t k = 0; k < tensor->count; k++) assert_true(values[k] == expected[i].values[k]); /* all exact */
    }
    imp_tensors_release(context, &tensors);
    bytes_free(&file);
}

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_headers_that_lie(void **state) {
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } cases[] = {
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F32", "[2]", "[4,12]") "}", 12, "overlaps"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F32", "[2]", "[0,8]") "}", 8, "overlaps"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("b", "F32", "[1]", "[12,16]") "}", 16, "gap"},
        {"{" ENTRY("a", "F32", "[1]", "[4,8]") "}", 8, "gap"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "," ENTRY("a", "F32", "[2]", "[8,16]") "}", 16, "twice"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 7, "half-downloaded"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 9, "1 bytes behind the last tensor"},
        {"{" ENTRY("a", "F32", "[2]", "[8,0]") "}", 8, "rising whole numbers"},
        {"{" ENTRY("a", "F32", "[2]", "[-8,0]") "}", 8, "rising whole numbers"},
        {"{" ENTRY("a", "F32", "[2]", "[0,8,9]") "}", 8, "rising whole numbers"},
        {"{" ENTRY("a", "F32", "[2]", "[0.0,8.0]") "}", 8, "rising whole numbers"},
        {"{" ENTRY("a", "F32", "[2]", "[0,9223372036854775807]") "}", 8, "do not fit its shape"},
        {"{" ENTRY("a", "F32", "[2]", "[0,18446744073709551615]") "}", 8, "damaged at byte"},
        {"{" ENTRY("a", "F32", "[3]", "[0,8]") "}", 8, "do not fit its shape"},
        {"{" ENTRY("a", "F32", "[4611686018427387904,4]", "[0,0]") "}", 0, "too large"},
        {"{" ENTRY("a", "F32", "[1048576,1048576]", "[0,4398046511104]") "}", 0, "too large"},
        {"{" ENTRY("a", "F32", "[-2]", "[0,8]") "}", 8, "whole numbers from 0"},
        {"{" ENTRY("a", "F32", "[2.0]", "[0,8]") "}", 8, "whole numbers from 0"},
        {"{" ENTRY("a", "F32", "[1e999]", "[0,8]") "}", 8, "damaged at byte"},
        {"{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8 dimensions"},
        {"{" ENTRY("a", "F32", "2", "[0,8]") "}", 8, "has no shape"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "has no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "has no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "rising whole numbers"},
        {"{\"a\":7}", 8, "is not an object"},
        {"{\"__metadata__\":7}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":7}}", 0, "is not a string"},
        {"{\"a\":", 0, "damaged at byte"},
        {"{} {}", 0, "damaged at byte"},
        {"{\"\xff\":1}", 0, "damaged at byte"},
        {"{\"a\":\"b\nc\"}", 0, "damaged at byte"},
    };
    bytes file = {0};
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) refuse_header(cases[i].header, cases[i].data, cases[i].words);
    make_file(&file, "{" ENTRY("a", "F8_E4M3", "[2]", "[0,2]") "}", 2);
    refuse(&file, IMP_ERR_UNSUPPORTED, "\"F8_E4M3\", which is not read");
    bytes_free(&file);
}

static void test_headers_too_long_or_too_deep(void **state) {
    enum { DEPTH = 100000, LONG = (4 << 20) + 1, MANY = 16385 };
    bytes header = {0}, file = {0};
    (void)state;
    put_number(&file, 100, 8);
    put_text(&file, "{\"a\":1}");
    refuse(&file, IMP_ERR_FORMAT, "the header is longer than the file");
    bytes_free(&file);
    put_number(&file, UINT64_MAX, 8);
    put_text(&file, "{\"a\":1}");
    refuse(&file, IMP_ERR_FORMAT, "the header is longer than the file");
    bytes_free(&file);
    put_text(&header, "{\"a\":");
    for (int i = 0; i < DEPTH; i++) put_text(&header, "[");
    put(&header, "", 1);
    refuse_header((const char *)header.at, 0, "damaged at byte");
    bytes_free(&header);
    put_text(&header, "{");
    for (int i = 0; i < LONG; i++) put_text(&header, " ");
    put(&header, "}", 2);
    refuse_header((const char *)header.at, 0, "longer than the 4194304 bytes");
    bytes_free(&header);
    put_text(&header, "{");
    for (int i = 0; i < MANY; i++) {
        char entry[32];
        snprintf(entry, sizeof entry, "%s\"%d\":0", i ? "," : "", i);
        put_text(&header, entry);
    }
    put(&header, "}", 2);
    refuse_header((const char *)header.at, 0, "more than 16384 tensors");
    bytes_free(&header);
}

static void test_cut_everywhere(void **state) {
    bytes file = {0};
    (void)state;
    make_file(&file, "{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 8);
    for (size_t length = 0; length < file.length; length++) {
        bytes part = {malloc(length + !length), length, length};
        assert_non_null(part.at);
        memcpy(part.at, file.at, length);
        refuse(&part, IMP_ERR_FORMAT, length == 0 ? "the file is empty" : length > 8 ? "download it again" : "");
        bytes_free(&part);
    }
    bytes_free(&file);
}

static void test_what_is_no_model(void **state) {
    static const struct {
        const char *content;
        size_t length;
        const char *words;
    } cases[] = {
        {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548\n"), "a Git LFS pointer"},
        {BYTES("\n\n<!DOCTYPE html><html><head>"), "a web page"},
        {BYTES("\xef\xbb\xbf<HTML>"), "a web page"},
        {BYTES("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"), "a web page"},
        {BYTES("\x89HDF\r\n\x1a\n\0\0\0"), "an HDF5 file (Keras"},
        {BYTES("\x08\x07\x12\x07pytorch\x1a\x05"), "an ONNX model"},
        {BYTES("\x0a\x13VGG_ILSVRC_19_layer\x12\x05"), "a Caffe model"},
        {BYTES("\x0a\x03VGG\xa2\x06\x05\0"), "a Caffe model"},
        {BYTES("MATLAB 5.0 MAT-file, Platform: GLNXA64"), "a MATLAB file"},
        {BYTES("\x1f\x8b\x08\0\0"), "compressed with gzip"},
        {BYTES("\xff\xd8\xff\xe0\0\x10JFIF"), "a JPEG picture"},
        {BYTES("\x89PNG\r\n\x1a\n"), "a PNG picture"},
        {BYTES("GGUF\3\0\0\0"), "a GGUF file"},
        {BYTES("\x93NUMPY\1\0"), "a NumPy array"},
        {BYTES("Hello, this is my picture.\n"), "a text file"},
        {BYTES("{\"json\":{\"a\":1}}"), "a text file"},
        {BYTES("\1\2\3\4\5\6\7"), "neither safetensors nor a file of torch.save"},
        {BYTES("\0"), "neither safetensors nor a file of torch.save"},
    };
    bytes tar = {0};
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        bytes file = {0};
        put(&file, cases[i].content, cases[i].length);
        refuse(&file, IMP_ERR_FORMAT, cases[i].words);
        bytes_free(&file);
    }
    put_text(&tar, "sys_info");
    while (tar.length < 257) put(&tar, "", 1);
    put_text(&tar, "ustar");
    refuse(&tar, IMP_ERR_FORMAT, "before 2017");
    bytes_free(&tar);
}

static const float numbers[6] = {0, -1.5f, 3.1415926f, 1e-3f, 65504, -2};
static const int64_t shape[2] = {2, 3};

static int write_numbers(imp_context *own, imp_dtype dtype, const float *values) {
    imp_tensor_source sources[2] = {{"a.weight", 2, shape, values}, {"b", 1, shape, values}};
    imp_key_value metadata = {(char *)"origin", (char *)"K\xc3\xbcnstler \"x\""};

    return imp_safetensors_write(own, path, sources, 2, dtype, &metadata, 1);
}

static void test_written_and_read(void **state) {
    static const struct {
        imp_dtype dtype;
        float relative; /* half a unit in the last place: 11 bits, 8 bits; f32 is exact */
    } kinds[] = {{IMP_F32, 0}, {IMP_F16, 1.0f / 2048}, {IMP_BF16, 1.0f / 256}};
    (void)state;
    for (int k = 0; k < COUNT(kinds); k++) {
        imp_tensors tensors;
        char checksum[IMP_CHECKSUM_LENGTH];
        float values[6];
        assert_int_equal(write_numbers(context, kinds[k].dtype, numbers), IMP_OK);
        assert_int_equal(imp_tensors_read(context, path, &tensors), IMP_OK);
        assert_int_equal(tensors.count, 2);
        assert_string_equal(tensors.tensors[0].name, "a.weight");
        assert_int_equal(tensors.tensors[0].dtype, kinds[k].dtype);
        assert_int_equal(tensors.areas[0].length, 8 * imp_dtype_bytes(kinds[k].dtype));
        assert_int_equal((tensors.areas[0].bytes - tensors.file) % 8, 0); /* as the format wants it */
        assert_int_equal(imp_tensors_to_f32(context, &tensors, &tensors.tensors[0], values), IMP_OK);
        for (int i = 0; i < 6; i++) {
            float error = values[i] > numbers[i] ? values[i] - numbers[i] : numbers[i] - values[i];
            float size = numbers[i] < 0 ? -numbers[i] : numbers[i];
            assert_true(error <= kinds[k].relative * size);
        }
        imp_safetensors_checksum(&tensors, checksum);
        assert_string_equal(imp_tensors_metadata(&tensors, "checksum"), checksum);
        assert_string_equal(imp_tensors_metadata(&tensors, "origin"), "K\xc3\xbcnstler \"x\"");
        imp_tensors_release(context, &tensors);
    }
}

/* Some lengths begin as a pickle does (640 is 80 02), and some as the first word of one. */
static void test_headers_of_every_length(void **state) {
    static const int64_t side[1] = {6};
    static char words[1600];
    const imp_tensor_source source = {"a.weight", 1, side, numbers};
    (void)state;
    for (size_t length = 0; length + 8 < sizeof words; length += 8) {
        imp_key_value metadata = {(char *)"origin", words};
        imp_tensors tensors;
        assert_int_equal(imp_safetensors_write(context, path, &source, 1, IMP_F32, &metadata, 1), IMP_OK);
        assert_int_equal(imp_tensors_read(context, path, &tensors), IMP_OK);
        imp_tensors_release(context, &tensors);
        memset(words + length, 'x', 8);
    }
}

/* What cannot be written leaves the file that is there alone. */
static void test_values_too_large_for_half_a_float(void **state) {
    static const float large[6] = {1, 2, 70000, 4, 5, 6}, huge[6] = {3.4e38f, 0, 0, 0, 0, 0};
    imp_tensors tensors;
    float values[6];
    (void)state;
    assert_int_equal(write_numbers(context, IMP_F32, numbers), IMP_OK);
    assert_int_equal(write_numbers(context, IMP_F16, large), IMP_ERR_NUMERIC);
    assert_non_null(strstr(imp_error(context), "a.weight: the value 70000 does not fit into F16"));
    assert_memory_equal(imp_error(context), path, strlen(path));
    assert_int_equal(write_numbers(context, IMP_BF16, large), IMP_OK);
    assert_int_equal(write_numbers(context, IMP_F32, numbers), IMP_OK);
    assert_int_equal(write_numbers(context, IMP_BF16, huge), IMP_ERR_NUMERIC);
    assert_int_equal(imp_tensors_read(context, path, &tensors), IMP_OK);
    assert_int_equal(imp_tensors_to_f32(context, &tensors, &tensors.tensors[0], values), IMP_OK);
    assert_memory_equal(values, numbers, sizeof numbers);
    imp_tensors_release(context, &tensors);
}

/* A disk that is full: with a limit on files' sizes, early in the data and at the last flush. What was there stays. */
static void test_a_full_disk(void **state) {
    static float many[20000];
    const int64_t side[1] = {20000};
    imp_tensor_source large = {"large", 1, side, many}, small = {"small", 1, shape, numbers};
    struct rlimit limit;
    imp_tensors tensors;
    (void)state;
    assert_int_equal(write_numbers(context, IMP_F32, numbers), IMP_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100, limit.rlim_max}), 0);
    int early = imp_safetensors_write(context, path, &large, 1, IMP_F32, NULL, 0);
    int late = imp_safetensors_write(context, path, &small, 1, IMP_F32, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(early, IMP_ERR_IO);
    assert_int_equal(late, IMP_ERR_IO);
    assert_memory_equal(imp_error(context), path, strlen(path));
    assert_int_equal(imp_tensors_read(context, path, &tensors), IMP_OK);
    assert_int_equal(tensors.count, 2);
    imp_tensors_release(context, &tensors);
}

static void test_numbers_in_metadata(void **state) {
    static const char *const wrong[] = {"", "x", "1 2", "nan", "inf", "\"1\"", "1e999", "{}"};
    char text[IMP_NUMBER_LENGTH];
    double number;
    (void)state;
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed, decimals have a comma there */
    assert_true(imp_safetensors_write_number(1.0f / 255, text));
    assert_null(strchr(text, ','));
    assert_true(imp_safetensors_read_number(text, &number));
    assert_true((float)number == 1.0f / 255); /* 9 digits bring every f32 back */
    assert_true(imp_safetensors_read_number("1", &number));
    assert_true(number == 1);
    for (int i = 0; i < COUNT(wrong); i++) assert_false(imp_safetensors_read_number(wrong[i], &number));
    setlocale(LC_ALL, "C");
}

static int write_and_read(imp_context *own, void *user) {
    imp_tensors tensors;
    float values[6];
    int status = write_numbers(own, IMP_F16, numbers);

    (void)user;
    if (status == IMP_OK) status = imp_tensors_read(own, path, &tensors);
    if (status != IMP_OK) return status;
    status = imp_tensors_to_f32(own, &tensors, &tensors.tensors[0], values);
    imp_tensors_release(own, &tensors);
    return status;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(write_and_read, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_headers_that_lie),
        cmocka_unit_test(test_headers_too_long_or_too_deep),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_what_is_no_model),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_headers_of_every_length),
        cmocka_unit_test(test_values_too_large_for_half_a_float),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_numbers_in_metadata),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
