/* The names and calls that pickles of torch.save need: storages, tensors, parameters, dictionaries. No others. */
#include <stdio.h>
#include <string.h>

#include "formats/pickle.h"

#define MOST_ARGUMENTS 8 /* of the calls below */
#define SHOWN 100        /* bytes of a foreign name in a message */

typedef enum known_call {
    CALL_NOTHING, /* harmless: what it gives is not needed */
    CALL_TENSOR,  /* storage, offset, shape, stride, ... */
    CALL_FIRST,   /* gives its first argument: a parameter is its tensor */
    CALL_DICT,
    CALL_STORAGE /* never called: names the dtype of a storage */
} known_call;

static const struct {
    const char *module, *name;
    known_call call;
    imp_dtype dtype;
} known[] = {
    {"torch._utils", "_rebuild_tensor_v2", CALL_TENSOR, IMP_DTYPE_COUNT},
    {"torch._utils", "_rebuild_tensor", CALL_TENSOR, IMP_DTYPE_COUNT},
    {"torch._utils", "_rebuild_parameter", CALL_FIRST, IMP_DTYPE_COUNT},
    {"torch._utils", "_rebuild_parameter_with_state", CALL_FIRST, IMP_DTYPE_COUNT},
    {"torch", "Size", CALL_FIRST, IMP_DTYPE_COUNT},
    {"torch", "device", CALL_NOTHING, IMP_DTYPE_COUNT},
    {"collections", "OrderedDict", CALL_DICT, IMP_DTYPE_COUNT},
    {"builtins", "set", CALL_NOTHING, IMP_DTYPE_COUNT},
    {"__builtin__", "set", CALL_NOTHING, IMP_DTYPE_COUNT},
    {"_codecs", "encode", CALL_NOTHING, IMP_DTYPE_COUNT},
    {"torch", "DoubleStorage", CALL_STORAGE, IMP_F64},
    {"torch", "FloatStorage", CALL_STORAGE, IMP_F32},
    {"torch", "HalfStorage", CALL_STORAGE, IMP_F16},
    {"torch", "BFloat16Storage", CALL_STORAGE, IMP_BF16},
    {"torch", "LongStorage", CALL_STORAGE, IMP_I64},
    {"torch", "IntStorage", CALL_STORAGE, IMP_I32},
    {"torch", "ShortStorage", CALL_STORAGE, IMP_I16},
    {"torch", "CharStorage", CALL_STORAGE, IMP_I8},
    {"torch", "ByteStorage", CALL_STORAGE, IMP_U8},
    {"torch", "BoolStorage", CALL_STORAGE, IMP_BOOL},
};

static int equals(const uint8_t *bytes, size_t length, const char *text) {
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static int begins_with(const uint8_t *bytes, size_t length, const char *text) {
    return length >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

static int ends_with(const uint8_t *bytes, size_t length, const char *text) {
    size_t size = strlen(text);
    return length >= size && memcmp(bytes + length - size, text, size) == 0;
}

static int32_t fail(imp_pickle *pickle, const char *words) {
    pickle->failure = imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: its pickle %s", words);
    return -1;
}

/* Classes of networks, whose pickles need the program that made them. */
static int is_module(const uint8_t *module, size_t length) {
    static const char *const homes[] = {"torch.nn.modules.", "torchvision.models.", "timm.models.", "__main__"};

    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        if (begins_with(module, length, homes[i])) return 1;
    return 0;
}

static int32_t refuse_global(imp_pickle *pickle, const uint8_t *module, size_t module_length, const uint8_t *name,
                             size_t name_length) {
    char words[2 * SHOWN + 2];

    snprintf(words, sizeof words, "%.*s.%.*s", (int)(module_length < SHOWN ? module_length : SHOWN),
             (const char *)module, (int)(name_length < SHOWN ? name_length : SHOWN), (const char *)name);
    if (ends_with(name, name_length, "Storage"))
        pickle->failure = imp_fail(pickle->context, IMP_ERR_UNSUPPORTED,
                                   "has numbers of the kind %s, which is not read; convert them with .float()", words);
    else if (is_module(module, module_length))
        pickle->failure = imp_fail(pickle->context, IMP_ERR_UNSUPPORTED,
                                   "a whole pickled network (%s), which needs the program that made it; save its "
                                   "weights alone with torch.save(model.state_dict(), ...)",
                                   words);
    else if (begins_with(module, module_length, "__torch__"))
        pickle->failure = imp_fail(pickle->context, IMP_ERR_UNSUPPORTED,
                                   "a TorchScript program (%s); save its weights alone with "
                                   "torch.save(model.state_dict(), ...)",
                                   words);
    else
        pickle->failure = imp_fail(pickle->context, IMP_ERR_FORMAT,
                                   "asks to run %s; Impasto runs no code from model files. Save a state dict: "
                                   "torch.save(model.state_dict(), ...)",
                                   words);
    return -1;
}

int32_t imp_pickle_global(imp_pickle *pickle, const uint8_t *module, size_t module_length, const uint8_t *name,
                          size_t name_length) {
    int32_t index;
    int cuda = equals(module, module_length, "torch.cuda"); /* old files name where a storage lived */
    size_t row = 0, rows = sizeof known / sizeof *known;

    for (; row < rows; row++) {
        int same_module = equals(module, module_length, known[row].module) || (cuda && known[row].call == CALL_STORAGE);
        if (same_module && equals(name, name_length, known[row].name)) break;
    }
    if (row == rows) return refuse_global(pickle, module, module_length, name, name_length);
    index = imp_pickle_make(pickle, IMP_PICKLE_GLOBAL);
    if (index >= 0) pickle->values[index].as.integer = (int64_t)row;
    return index;
}

/* Up to MOST_ARGUMENTS items of a tuple or list; returns how many it has. */
static int read_items(const imp_pickle *pickle, const imp_pickle_value *list, int32_t items[MOST_ARGUMENTS]) {
    int count = 0;

    for (int32_t c = list->as.list.first; c >= 0 && count < MOST_ARGUMENTS; c = pickle->cells[c].next)
        items[count++] = pickle->cells[c].value;
    return list->as.list.count;
}

/* A tuple of whole numbers from 0 on; how many, or -1. */
static int read_sizes(const imp_pickle *pickle, int32_t index, int64_t sizes[IMP_TENSOR_MAX_DIMENSIONS]) {
    const imp_pickle_value *list = &pickle->values[index];
    int count = 0;

    if (list->kind != IMP_PICKLE_TUPLE && list->kind != IMP_PICKLE_LIST) return -1;
    if (list->as.list.count > IMP_TENSOR_MAX_DIMENSIONS) return -1;
    for (int32_t c = list->as.list.first; c >= 0; c = pickle->cells[c].next) {
        const imp_pickle_value *size = imp_pickle_item(pickle, c);
        if (size->kind != IMP_PICKLE_INTEGER || size->as.integer < 0) return -1;
        sizes[count++] = size->as.integer;
    }
    return count;
}

/* Whether every element lies within the count elements of the storage. */
static int is_inside(const imp_pickle_tensor *tensor, int64_t offset, int64_t count) {
    int64_t last = offset;

    if (offset < 0 || offset > count) return 0;
    if (tensor->count == 0) return 1;
    for (int i = 0; i < tensor->dimensions; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(tensor->shape[i] - 1, tensor->stride[i], &reach)) return 0;
        if (__builtin_add_overflow(last, reach, &last)) return 0;
    }
    return last < count;
}

static int32_t make_tensor(imp_pickle *pickle, const imp_pickle_value *arguments) {
    int32_t items[MOST_ARGUMENTS], index;
    imp_pickle_tensor tensor = {0};
    imp_pickle_value storage, offset;
    size_t bytes;

    if (read_items(pickle, arguments, items) < 4) return fail(pickle, "makes a tensor of too few arguments");
    storage = pickle->values[items[0]];
    offset = pickle->values[items[1]];
    if (storage.kind != IMP_PICKLE_STORAGE || offset.kind != IMP_PICKLE_INTEGER)
        return fail(pickle, "makes a tensor without a storage or offset");
    tensor.storage = storage.as.storage.index;
    tensor.dimensions = read_sizes(pickle, items[2], tensor.shape);
    if (tensor.dimensions < 0 || read_sizes(pickle, items[3], tensor.stride) != tensor.dimensions)
        return fail(pickle, "makes a tensor whose sizes or strides are not up to 8 whole numbers");
    if (!imp_shape_count(tensor.shape, tensor.dimensions, pickle->storages[tensor.storage].dtype, &tensor.count,
                         &bytes))
        return fail(pickle, "makes a tensor that is larger than any that is read");
    if (!is_inside(&tensor, offset.as.integer, storage.as.storage.count))
        return fail(pickle, "makes a tensor whose offset, sizes and strides reach past its storage");
    tensor.offset = storage.as.storage.offset + offset.as.integer;
    if (pickle->tensor_count >= IMP_TENSOR_COUNT_LIMIT) return fail(pickle, "makes more than 16384 tensors");
    pickle->failure = IMP_ERR_MEMORY;
    if (imp_tensors_grow(pickle->context, (void **)&pickle->tensors, sizeof tensor, &pickle->tensor_room,
                         pickle->tensor_count) != IMP_OK)
        return -1;
    pickle->tensors[pickle->tensor_count] = tensor;
    index = imp_pickle_make(pickle, IMP_PICKLE_TENSOR);
    if (index >= 0) pickle->values[index].as.integer = (int64_t)pickle->tensor_count++;
    return index;
}

/* OrderedDict(): empty, or of a list of pairs as old Pythons wrote it. */
static int32_t make_dict(imp_pickle *pickle, const imp_pickle_value *arguments) {
    int32_t items[MOST_ARGUMENTS], dict = imp_pickle_make(pickle, IMP_PICKLE_DICT);
    int count = read_items(pickle, arguments, items);

    if (dict < 0 || count == 0) return dict;
    if (count > 1 || pickle->values[items[0]].kind != IMP_PICKLE_LIST)
        return fail(pickle, "makes a dictionary of something that is not a list of pairs");
    for (int32_t c = pickle->values[items[0]].as.list.first; c >= 0; c = pickle->cells[c].next) {
        const imp_pickle_value *pair = imp_pickle_item(pickle, c);
        int32_t both[MOST_ARGUMENTS];
        if ((pair->kind != IMP_PICKLE_LIST && pair->kind != IMP_PICKLE_TUPLE) || read_items(pickle, pair, both) != 2)
            return fail(pickle, "makes a dictionary of something that is not a list of pairs");
        for (int k = 0; k < 2; k++) {
            pickle->failure = imp_pickle_append(pickle, dict, both[k]);
            if (pickle->failure != IMP_OK) return -1;
        }
    }
    return dict;
}

int32_t imp_pickle_call(imp_pickle *pickle, int32_t callee, int32_t arguments) {
    int32_t items[MOST_ARGUMENTS];
    imp_pickle_value list = pickle->values[arguments];
    int64_t row = pickle->values[callee].as.integer;

    if (pickle->values[callee].kind != IMP_PICKLE_GLOBAL) return fail(pickle, "calls something that is not a function");
    if (list.kind != IMP_PICKLE_TUPLE) return fail(pickle, "calls a function without a tuple of arguments");
    switch (known[row].call) {
    case CALL_TENSOR:
        return make_tensor(pickle, &list);
    case CALL_FIRST:
        if (read_items(pickle, &list, items) < 1) return fail(pickle, "calls a function with too few arguments");
        return items[0];
    case CALL_DICT:
        return make_dict(pickle, &list);
    case CALL_NOTHING:
        return imp_pickle_make(pickle, IMP_PICKLE_OTHER);
    default:
        return fail(pickle, "calls a storage");
    }
}

static int find_storage(imp_pickle *pickle, const imp_pickle_storage *wanted, int32_t *index) {
    for (size_t i = 0; i < pickle->storage_count; i++) {
        const imp_pickle_storage *one = &pickle->storages[i];
        if (one->key_length != wanted->key_length || memcmp(one->key, wanted->key, one->key_length) != 0) continue;
        *index = (int32_t)i;
        return one->dtype == wanted->dtype && one->count == wanted->count;
    }
    *index = -1;
    return 1;
}

static int32_t add_storage(imp_pickle *pickle, const imp_pickle_storage *storage) {
    int32_t index;

    /* As many as tensors, so that the search above stays short. */
    if (pickle->storage_uses++ >= IMP_TENSOR_COUNT_LIMIT) return fail(pickle, "refers to more than 16384 storages");
    if (!find_storage(pickle, storage, &index)) return fail(pickle, "gives one storage two kinds or lengths");
    if (index >= 0) return index;
    pickle->failure = IMP_ERR_MEMORY;
    if (imp_tensors_grow(pickle->context, (void **)&pickle->storages, sizeof *storage, &pickle->storage_room,
                         pickle->storage_count) != IMP_OK)
        return -1;
    pickle->storages[pickle->storage_count] = *storage;
    return (int32_t)pickle->storage_count++;
}

/* Old PyTorch: (key, offset, count), a part of the storage that a tensor sees as its own. */
static int read_view(const imp_pickle *pickle, const imp_pickle_value *view, imp_pickle_value *storage) {
    int32_t items[MOST_ARGUMENTS];
    const imp_pickle_value *offset, *count;

    if (view->kind == IMP_PICKLE_NONE) return 1;
    if (view->kind != IMP_PICKLE_TUPLE || read_items(pickle, view, items) != 3) return 0;
    offset = &pickle->values[items[1]];
    count = &pickle->values[items[2]];
    if (offset->kind != IMP_PICKLE_INTEGER || count->kind != IMP_PICKLE_INTEGER) return 0;
    if (offset->as.integer < 0 || count->as.integer < 0 || offset->as.integer > storage->as.storage.count ||
        count->as.integer > storage->as.storage.count - offset->as.integer)
        return 0;
    storage->as.storage.offset = offset->as.integer;
    storage->as.storage.count = count->as.integer;
    return 1;
}

/* ("storage", kind, key, place, count[, view]) */
int32_t imp_pickle_persistent(imp_pickle *pickle, int32_t identifier) {
    const imp_pickle_value *list = &pickle->values[identifier], *kind, *key, *count;
    imp_pickle_value value = {.kind = IMP_PICKLE_STORAGE};
    imp_pickle_storage storage;
    int32_t items[MOST_ARGUMENTS], index;
    int given = list->kind == IMP_PICKLE_TUPLE ? read_items(pickle, list, items) : 0;

    if (given < 5 || !imp_pickle_is_text(&pickle->values[items[0]], "storage"))
        return fail(pickle, "refers to something that is not a storage");
    kind = &pickle->values[items[1]];
    key = &pickle->values[items[2]];
    count = &pickle->values[items[4]];
    if (kind->kind != IMP_PICKLE_GLOBAL || known[kind->as.integer].call != CALL_STORAGE ||
        key->kind != IMP_PICKLE_STRING || count->kind != IMP_PICKLE_INTEGER)
        return fail(pickle, "refers to a storage without its kind, key or length");
    if (count->as.integer < 0 || (uint64_t)count->as.integer > IMP_TENSOR_FILE_LIMIT)
        return fail(pickle, "refers to a storage that is larger than any file that is read");
    storage =
        (imp_pickle_storage){key->as.text.bytes, key->as.text.length, known[kind->as.integer].dtype, count->as.integer};
    value.as.storage.count = storage.count;
    if (given > 5 && !read_view(pickle, &pickle->values[items[5]], &value))
        return fail(pickle, "refers to a part of a storage that lies outside it");
    value.as.storage.index = add_storage(pickle, &storage);
    if (value.as.storage.index < 0) return -1;
    index = imp_pickle_make(pickle, IMP_PICKLE_STORAGE);
    if (index >= 0) pickle->values[index] = value;
    return index;
}

/* An object's attributes: a state dict has _metadata, a parameter may have any. None of them is needed. */
int imp_pickle_build(imp_pickle *pickle, int32_t object) {
    imp_pickle_kind kind = pickle->values[object].kind;

    if (kind == IMP_PICKLE_DICT || kind == IMP_PICKLE_TENSOR || kind == IMP_PICKLE_OTHER) return IMP_OK;
    fail(pickle, "gives attributes to something that has none");
    return pickle->failure;
}
