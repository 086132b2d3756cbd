/* Finds the dictionary of weights in what a pickle holds, and names its tensors. */
#include <stdlib.h>
#include <string.h>

#include "formats/pickle.h"
#include "formats/torch.h"

#define DEEPEST 4 /* dictionaries inside dictionaries that are looked into */

/* Where training programs put the weights, beside their optimiser and epoch. */
static const char *const wrappers[] = {"state_dict", "model_state_dict", "model",  "net",
                                       "network",    "params",           "weights"};

/* The dictionary under one of the wrappers' keys, or -1. */
static int32_t find_wrapped(const imp_pickle *pickle, const imp_pickle_value *dict) {
    for (size_t w = 0; w < sizeof wrappers / sizeof *wrappers; w++)
        for (int32_t c = dict->as.list.first; c >= 0; c = pickle->cells[pickle->cells[c].next].next) {
            int32_t value = pickle->cells[pickle->cells[c].next].value;
            if (pickle->values[value].kind == IMP_PICKLE_DICT &&
                imp_pickle_is_text(imp_pickle_item(pickle, c), wrappers[w]))
                return value;
        }
    return -1;
}

static int fail_kind(imp_pickle *pickle, int32_t root) {
    static const char *const words[] = {
        [IMP_PICKLE_NONE] = "nothing",
        [IMP_PICKLE_BOOL] = "a truth value",
        [IMP_PICKLE_INTEGER] = "a number",
        [IMP_PICKLE_LONG] = "a number",
        [IMP_PICKLE_FLOAT] = "a number",
        [IMP_PICKLE_STRING] = "a text",
        [IMP_PICKLE_BYTES] = "bytes",
        [IMP_PICKLE_TUPLE] = "a tuple",
        [IMP_PICKLE_LIST] = "a list",
        [IMP_PICKLE_SET] = "a set",
        [IMP_PICKLE_DICT] = "a dictionary without tensors",
        [IMP_PICKLE_GLOBAL] = "a name",
        [IMP_PICKLE_STORAGE] = "bare numbers",
        [IMP_PICKLE_TENSOR] = "a single tensor",
        [IMP_PICKLE_OTHER] = "an object",
    };

    return imp_fail(pickle->context, IMP_ERR_FORMAT,
                    "holds %s, not the weights of a network; save a state dict: torch.save(model.state_dict(), ...)",
                    words[pickle->values[root].kind]);
}

static int add_tensor(imp_pickle *pickle, const imp_pickle_value *key, const imp_pickle_tensor *tensor,
                      imp_tensors *out) {
    imp_named_tensor *named = &out->tensors[out->count];
    size_t length = key->as.text.length;

    if (length > IMP_TENSOR_NAME_LIMIT || memchr(key->as.text.bytes, 0, length))
        return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: it has a tensor whose name is too long or no text");
    named->name = imp_allocate(pickle->context, length + 1);
    if (!named->name) return IMP_ERR_MEMORY;
    memcpy(named->name, key->as.text.bytes, length);
    named->name[length] = 0;
    named->dtype = pickle->storages[tensor->storage].dtype;
    named->dimensions = tensor->dimensions;
    memcpy(named->shape, tensor->shape, sizeof named->shape);
    memcpy(named->stride, tensor->stride, sizeof named->stride);
    named->count = tensor->count;
    named->area = tensor->storage;
    named->offset = (size_t)tensor->offset * imp_dtype_bytes(named->dtype);
    out->count++;
    return IMP_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_names(imp_context *context, const imp_tensors *tensors) {
    char **names = imp_allocate_zero(context, (size_t)tensors->count, sizeof *names);
    int status = IMP_OK;

    if (!names) return IMP_ERR_MEMORY;
    for (int i = 0; i < tensors->count; i++) names[i] = tensors->tensors[i].name;
    qsort(names, (size_t)tensors->count, sizeof *names, compare_names);
    for (int i = 1; i < tensors->count && status == IMP_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = imp_fail(context, IMP_ERR_FORMAT, "damaged: it has the tensor \"%.100s\" twice", names[i]);
    imp_release(context, names);
    return status;
}

static size_t count_tensors(const imp_pickle *pickle, const imp_pickle_value *dict) {
    size_t count = 0;

    for (int32_t c = dict->as.list.first; c >= 0; c = pickle->cells[pickle->cells[c].next].next)
        count += imp_pickle_item(pickle, c)->kind == IMP_PICKLE_STRING &&
                 imp_pickle_item(pickle, pickle->cells[c].next)->kind == IMP_PICKLE_TENSOR;
    return count;
}

int imp_state_dict_collect(imp_pickle *pickle, int32_t root, imp_tensors *out) {
    const imp_pickle_value *dict;
    size_t count;
    int status = IMP_OK;

    for (int depth = 0; depth < DEEPEST && pickle->values[root].kind == IMP_PICKLE_DICT; depth++) {
        int32_t inner = find_wrapped(pickle, &pickle->values[root]);
        if (inner < 0) break;
        root = inner;
    }
    dict = &pickle->values[root];
    count = dict->kind == IMP_PICKLE_DICT ? count_tensors(pickle, dict) : 0;
    if (count == 0) return fail_kind(pickle, root);
    /* One tensor may stand under many names. */
    if (count > IMP_TENSOR_COUNT_LIMIT)
        return imp_fail(pickle->context, IMP_ERR_FORMAT, "more than %d tensors", IMP_TENSOR_COUNT_LIMIT);
    out->tensors = imp_allocate_zero(pickle->context, count, sizeof *out->tensors);
    if (!out->tensors) return IMP_ERR_MEMORY;
    for (int32_t c = dict->as.list.first; c >= 0 && status == IMP_OK; c = pickle->cells[pickle->cells[c].next].next) {
        const imp_pickle_value *key = imp_pickle_item(pickle, c);
        const imp_pickle_value *value = imp_pickle_item(pickle, pickle->cells[c].next);
        if (key->kind == IMP_PICKLE_STRING && value->kind == IMP_PICKLE_TENSOR)
            status = add_tensor(pickle, key, &pickle->tensors[value->as.integer], out);
    }
    return status == IMP_OK ? check_names(pickle->context, out) : status;
}
