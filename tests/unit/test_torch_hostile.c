/* Files of torch.save, or of who pretends to be it, that must be refused in one line. */
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "formats/tensors.h"
#include "torch_file.h"
#include "unit.h"

#define NAME "hostile.pth"
#define LONG_PICKLE (17 << 20) /* bytes; 16 << 20 are read */
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

static size_t held(void) {
    imp_context_info info = {.size = sizeof info};
    assert_int_equal(imp_context_get_info(context, &info), IMP_OK);
    return info.memory_now;
}

/* The file must be refused with a line that names it and has these words; nothing may stay behind. */
static void refuse(const bytes *file, const char *words) {
    imp_tensors tensors;
    size_t before = held();

    assert_int_not_equal(imp_tensors_parse(context, file->at, file->length, NAME, &tensors), IMP_OK);
    assert_memory_equal(imp_error(context), NAME ": ", sizeof NAME + 1);
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_null(strchr(imp_error(context), '\n'));
    assert_int_equal(held(), before);
}

/* A pickle is refused alike in both forms of the file. */
static void refuse_pickle(const bytes *pickle, const char *words) {
    static const float numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    storage_spec storage = {"0", numbers, sizeof numbers, 8};
    bytes file = {0};

    torch_zip(&file, pickle, &storage, 1, "little", 0);
    refuse(&file, words);
    bytes_free(&file);
    torch_old(&file, pickle, &storage, 1);
    refuse(&file, words);
    bytes_free(&file);
}

static void refuse_opcodes(const void *opcodes, size_t length, const char *words) {
    bytes pickle = {0};

    put(&pickle, opcodes, length);
    refuse_pickle(&pickle, words);
    bytes_free(&pickle);
}

static void refuse_tensor(tensor_spec tensor, const char *words) {
    bytes pickle = {0};

    pickle_state_dict(&pickle, &tensor, 1, NULL);
    refuse_pickle(&pickle, words);
    bytes_free(&pickle);
}

static void test_foreign_calls_are_named_and_not_made(void **state) {
    static const struct {
        const char *opcodes;
        const char *words;
    } calls[] = {
        {"\x80\2cos\nsystem\nU\007echo no\x85R.", "asks to run os.system; Impasto runs no code from model files"},
        {"\x80\2}U\001acposix\nsystem\n(U\002lstRs.", "asks to run posix.system"},
        {"\x80\4\x8c\2os\x8c\6system\x93\x8c\2ls\x85R.", "asks to run os.system"},
        {"(U\002lsios\nsystem\n.", "asks to run os.system"},
        {"\x80\2cbuiltins\neval\n(U\0011tR.", "asks to run builtins.eval"},
        {"\x80\2cargparse\nNamespace\n)\x81}b.", "asks to run argparse.Namespace"},
        {"\x80\2ctorch\nload\n(U\001xtR.", "asks to run torch.load"},
        {"\x80\2ctorchvision.models.vgg\nVGG\n)\x81}b.", "a whole pickled network (torchvision.models.vgg.VGG)"},
        {"\x80\2ctorch.nn.modules.container\nSequential\n)\x81}b.", "a whole pickled network"},
        {"\x80\2c__torch__.vgg\nVGG\n)\x81.", "a TorchScript program"},
        {"\x80\2ctorch\nComplexFloatStorage\n.", "numbers of the kind torch.ComplexFloatStorage"},
    };
    bytes plain = {0};
    (void)state;
    for (int i = 0; i < COUNT(calls); i++) refuse_opcodes(calls[i].opcodes, strlen(calls[i].opcodes), calls[i].words);
    put_text(&plain, "cos\nsystem\n(S'echo no'\ntR."); /* protocol 0, bare */
    refuse(&plain, "asks to run os.system");
    bytes_free(&plain);
    put_text(&plain, "\x80\2cos\nsystem\nU\007echo no\x85R.");
    refuse(&plain, "asks to run os.system");
    bytes_free(&plain);
}

static void repeat(bytes *out, const char *opcodes, int times) {
    for (int i = 0; i < times; i++) put_text(out, opcodes);
}

static void test_deep_and_wide_pickles(void **state) {
    enum { DEPTH = 100000, MANY = (1 << 20) + 1 };
    bytes pickle = {0};
    (void)state;
    repeat(&pickle, "]", DEPTH); /* a list in a list in a list ... */
    repeat(&pickle, "a", DEPTH - 1);
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "holds a list");
    bytes_free(&pickle);
    repeat(&pickle, "(", DEPTH);
    repeat(&pickle, "t", DEPTH);
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "holds a tuple");
    bytes_free(&pickle);
    repeat(&pickle, "}U\001a", DEPTH); /* dictionaries under a key; and under a wrapper's key */
    put_text(&pickle, "N");
    repeat(&pickle, "s", DEPTH);
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "holds a dictionary without tensors");
    bytes_free(&pickle);
    repeat(&pickle, "}U\012state_dict", DEPTH);
    put_text(&pickle, "N");
    repeat(&pickle, "s", DEPTH);
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "holds a dictionary without tensors");
    bytes_free(&pickle);
    repeat(&pickle, "N", MANY);
    refuse_pickle(&pickle, "more than the 1048576 objects");
    bytes_free(&pickle);
    put_text(&pickle, "](NN\x86"); /* a list of a thousand pairs, of which a hundred thousand dictionaries are made */
    repeat(&pickle, "2", 1000);
    put_text(&pickle, "e\x85q\002ccollections\nOrderedDict\nq\0010");
    repeat(&pickle, "h\001h\002R0", DEPTH);
    refuse_pickle(&pickle, "more than");
    bytes_free(&pickle);
    put_text(&pickle, "]q\001h\001a."); /* a list that holds itself */
    refuse_pickle(&pickle, "holds a list");
    bytes_free(&pickle);
}

static void test_a_memo_that_doubles(void **state) {
    bytes pickle = {0};
    (void)state;
    put(&pickle, "]q\0", 3);
    for (int i = 0; i < 200; i++) {
        uint8_t last = (uint8_t)i, next = (uint8_t)(i + 1);
        put_text(&pickle, "](h");
        put(&pickle, &last, 1);
        put_text(&pickle, "h");
        put(&pickle, &last, 1);
        put_text(&pickle, "eq");
        put(&pickle, &next, 1);
        put_text(&pickle, "\x86"); /* with what lies below, so that one value is left */
    }
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "holds a tuple");
    bytes_free(&pickle);
}

static void test_tensors_that_lie(void **state) {
    const int64_t huge = INT64_MAX, large = (int64_t)1 << 40;
    (void)state;
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 1, 1, {8}, {1}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 2, {2, 4}, {5, 1}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 9, 1, {0}, {1}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, -1, 1, {1}, {1}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, huge, 1, {2}, {huge}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 1, 2, {2, 2}, {huge, huge}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 1, {3}, {huge}}, "reach past its storage");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 1, {2}, {-1}}, "sizes or strides are not");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 1, {-2}, {1}}, "sizes or strides are not");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {0}},
                  "sizes or strides are not");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 2, {large, large}, {0, 0}}, "larger than any");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", 8, 0, 2, {1 << 20, 1 << 20}, {0, 0}}, "larger than any");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", -8, 0, 1, {1}, {1}}, "larger than any file");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "0", huge, 0, 1, {1}, {1}}, "larger than any file");
    refuse_tensor((tensor_spec){"a", "FloatStorage", "1", 8, 0, 1, {1}, {1}}, "storage");
}

/* The pickle says more numbers than there are, or the record is missing. */
static void test_storages_that_lie(void **state) {
    static const float numbers[8] = {0};
    tensor_spec tensor = {"a", "FloatStorage", "0", 9, 0, 1, {1}, {1}};
    tensor_spec two_kinds[] = {{"a", "FloatStorage", "0", 8, 0, 1, {1}, {1}},
                               {"b", "LongStorage", "0", 8, 0, 1, {1}, {1}}};
    tensor_spec twice[] = {{"a", "FloatStorage", "0", 8, 0, 1, {1}, {1}},
                           {"a", "FloatStorage", "0", 8, 1, 1, {1}, {1}}};
    storage_spec storage = {"0", numbers, sizeof numbers, 8};
    bytes pickle = {0}, file = {0};
    (void)state;
    pickle_state_dict(&pickle, &tensor, 1, NULL);
    torch_zip(&file, &pickle, &storage, 1, NULL, 0);
    refuse(&file, "the record of a storage is too short");
    bytes_free(&file);
    torch_zip(&file, &pickle, &storage, 0, NULL, 0);
    refuse(&file, "the record of a storage is missing");
    bytes_free(&file);
    torch_old(&file, &pickle, &storage, 1);
    refuse(&file, "cut off in the middle of its numbers");
    put(&file, numbers, sizeof numbers);
    refuse(&file, "a storage has two lengths");
    bytes_free(&file);
    torch_old(&file, &pickle, &storage, 0);
    refuse(&file, "lacks one that is used");
    bytes_free(&file);
    bytes_free(&pickle);
    pickle_state_dict(&pickle, two_kinds, 2, NULL);
    refuse_pickle(&pickle, "one storage two kinds");
    bytes_free(&pickle);
    pickle_state_dict(&pickle, twice, 2, NULL);
    refuse_pickle(&pickle, "the tensor \"a\" twice");
    bytes_free(&pickle);
}

static void test_opcodes_out_of_place(void **state) {
    static const struct {
        const char *opcodes;
        size_t length;
        const char *words;
    } cases[] = {
        {OPCODES("."), "makes no sense"},
        {OPCODES("a."), "makes no sense"},
        {OPCODES("t."), "makes no sense"},
        {OPCODES("NNs."), "makes no sense"},
        {OPCODES("]NNs."), "makes no sense"},
        {OPCODES("(N1."), "makes no sense"},
        {OPCODES("h\5."), "makes no sense"},
        {OPCODES("q\0."), "makes no sense"},
        {OPCODES("N(0."), "makes no sense"},
        {OPCODES("(Nd."), "makes no sense"},
        {OPCODES("NN."), "makes no sense"},
        {OPCODES("(N."), "makes no sense"},
        {OPCODES("NNR."), "not a function"},
        {OPCODES("NQ."), "not a storage"},
        {OPCODES("NNb."), "attributes"},
        {OPCODES("I1\n."), "opcode 0x49"},
        {OPCODES("\xff"), "opcode 0xff"},
        {OPCODES("Nr\xff\xff\xff\xff."), "more than"},
        {OPCODES("X\xff\xff\xff\x7f"), "cut off"},
        {OPCODES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "cut off"},
        {OPCODES("ccollections\nOrderedDict\nNR."), "without a tuple"},
        {OPCODES("ctorch\nFloatStorage\n)R."), "calls a storage"},
        {OPCODES("ctorch._utils\n_rebuild_tensor_v2\n)R."), "too few arguments"},
        {OPCODES("ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR."), "without a storage"},
        {OPCODES("ccollections\nOrderedDict\nN\x85R."), "not a list of pairs"},
        {OPCODES("ccollections\nOrderedDict\n]N\x61\x85R."), "not a list of pairs"},
        {OPCODES("(U\7storageNNNNtQ."), "without its kind, key or length"},
        {OPCODES("(U\7storagectorch\nFloatStorage\nU\1vU\3cpuK\10(U\1vK\7K\2ttQ."),
         "a part of a storage that lies outside"},
        {OPCODES("(U\7storagectorch\nFloatStorage\nU\1vU\3cpuK\10(U\1vK\7NttQ."),
         "a part of a storage that lies outside"},
        {OPCODES("c__builtin__\nset\n]\x85R."), "holds an object"},
        {OPCODES("\x8a\1\xff."), "holds a number"},
        {OPCODES("}X\1\0\0\0aNs."), "without tensors"},
    };
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) refuse_opcodes(cases[i].opcodes, cases[i].length, cases[i].words);
}

static void test_names_and_lengths_out_of_bounds(void **state) {
    tensor_spec tensor = {"a", "FloatStorage", "0", 8, 0, 1, {1}, {1}};
    bytes pickle = {0}, file = {0};
    char *filler = calloc(1, LONG_PICKLE);
    (void)state;
    assert_non_null(filler);
    put(&pickle, "}X\3\0\0\0a\0b", 9);
    pickle_tensor(&pickle, &tensor);
    put_text(&pickle, "s.");
    refuse_pickle(&pickle, "name is too long or no text");
    bytes_free(&pickle);
    put_text(&pickle, "}X");
    put_number(&pickle, 300, 4);
    put(&pickle, filler, 300);
    pickle_tensor(&pickle, &tensor);
    put_text(&pickle, "s.");
    refuse_pickle(&pickle, "name is too long or no text");
    bytes_free(&pickle);
    put_text(&pickle, "X");
    put_number(&pickle, LONG_PICKLE, 4);
    put(&pickle, filler, LONG_PICKLE);
    put_text(&pickle, ".");
    refuse_pickle(&pickle, "longer than the 16777216 bytes");
    bytes_free(&pickle);
    pickle_state_dict(&pickle, &tensor, 1, NULL);
    torch_old(&file, &pickle, NULL, 0);
    file.length -= 4; /* the list of storages */
    put_text(&file, "N.");
    refuse(&file, "no list of storages");
    bytes_free(&file);
    bytes_free(&pickle);
    free(filler);
}

/* A download may end anywhere; a byte may be wrong anywhere. The copy is as long as its contents, so that a sanitizer
   sees a step beyond. */
static void test_cut_and_damaged_everywhere(void **state) {
    (void)state;
    for (int old = 0; old < 2; old++) {
        bytes file = {0};
        torch_small(&file, old);
        for (size_t length = 0; length < file.length; length++) {
            bytes part = {malloc(length + !length), length, length};
            assert_non_null(part.at);
            memcpy(part.at, file.at, length);
            refuse(&part, length < 4 ? "" : length < 15 ? "" : "download it again");
            bytes_free(&part);
        }
        for (size_t i = 0; i < file.length; i++) {
            imp_tensors tensors;
            float values[4];
            file.at[i] ^= 0xff;
            if (imp_tensors_parse(context, file.at, file.length, NAME, &tensors) == IMP_OK) {
                for (int t = 0; t < tensors.count; t++)
                    if (tensors.tensors[t].count <= 4)
                        imp_tensors_to_f32(context, &tensors, &tensors.tensors[t], values);
                imp_tensors_release(context, &tensors);
            }
            file.at[i] ^= 0xff;
        }
        bytes_free(&file);
    }
}

static void test_archives_that_are_not_torchs(void **state) {
    zip_writer zip = {0};
    bytes pickle = {0}, file = {0};
    tensor_spec tensor = {"a", "FloatStorage", "0", 2, 0, 1, {2}, {1}};
    static const float numbers[2] = {0};
    storage_spec storage = {"0", numbers, sizeof numbers, 2};
    uint8_t *entry;
    (void)state;
    zip_add(&zip, "word/document.xml", "<a/>", 4);
    zip_end(&zip, 0);
    refuse(&zip.file, "it has no data.pkl");
    bytes_free(&zip.file);
    pickle_state_dict(&pickle, &tensor, 1, NULL);
    torch_zip(&file, &pickle, &storage, 1, NULL, 0);
    entry =
        memmem(file.at, file.length, "PK\1\2", 4); /* the pickle's entry in the directory: say that it is deflated */
    assert_non_null(entry);
    entry[10] = 8;
    refuse(&file, "compressed");
    bytes_free(&file);
    torch_zip(&file, &pickle, &storage, 1, "middle", 0);
    refuse(&file, "byte order");
    bytes_free(&file);
    bytes_free(&pickle);
    put_text(&file, "\x80\2}.");
    refuse(&file, "not one of torch.save");
    bytes_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_calls_are_named_and_not_made),
        cmocka_unit_test(test_deep_and_wide_pickles),
        cmocka_unit_test(test_a_memo_that_doubles),
        cmocka_unit_test(test_tensors_that_lie),
        cmocka_unit_test(test_storages_that_lie),
        cmocka_unit_test(test_opcodes_out_of_place),
        cmocka_unit_test(test_names_and_lengths_out_of_bounds),
        cmocka_unit_test(test_cut_and_damaged_everywhere),
        cmocka_unit_test(test_archives_that_are_not_torchs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
