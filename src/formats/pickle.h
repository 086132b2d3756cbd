/* A reader of Python pickles that runs no code: a fixed set of opcodes builds values, and the few calls that
 * torch.save's files need are known by name (pickle_torch.c). Everything is bounded: values, tensors, storages, and by
 * the pickle's length the time.
 *
 * Values never contain each other, they refer to each other by index; nothing here follows references deeper than it
 * was told to, so that nesting, sharing and cycles cost nothing.
 */
#ifndef IMP_FORMATS_PICKLE_H
#define IMP_FORMATS_PICKLE_H

#include "formats/tensors.h"

#define IMP_PICKLE_VALUE_LIMIT ((size_t)1 << 20)   /* values that a file may make; weights make thousands */
#define IMP_PICKLE_CELL_LIMIT ((size_t)1 << 22)    /* items of all lists; a call may copy one again and again */
#define IMP_PICKLE_LENGTH_LIMIT ((size_t)16 << 20) /* bytes of a pickle, the numbers not among them */

typedef enum imp_pickle_kind {
    IMP_PICKLE_NONE,
    IMP_PICKLE_BOOL,    /* integer */
    IMP_PICKLE_INTEGER, /* integer */
    IMP_PICKLE_LONG,    /* text: a whole number of more than 8 bytes, little-endian */
    IMP_PICKLE_FLOAT,
    IMP_PICKLE_STRING, /* text: UTF-8 */
    IMP_PICKLE_BYTES,  /* text */
    IMP_PICKLE_TUPLE,  /* list */
    IMP_PICKLE_LIST,   /* list */
    IMP_PICKLE_SET,    /* list */
    IMP_PICKLE_DICT,   /* list: key, value, key, value, ... */
    IMP_PICKLE_GLOBAL, /* integer: a row of the table of known names */
    IMP_PICKLE_STORAGE,
    IMP_PICKLE_TENSOR, /* integer: index into tensors */
    IMP_PICKLE_OTHER   /* something harmless that nothing here needs */
} imp_pickle_kind;

typedef struct imp_pickle_value {
    imp_pickle_kind kind;
    union {
        int64_t integer;
        struct {
            const uint8_t *bytes; /* in the pickle */
            size_t length;
        } text;
        struct {
            int32_t first, last, count; /* cells; -1: none */
        } list;
        struct {
            int64_t offset, count; /* elements: a part of the storage */
            int32_t index;
        } storage;
    } as;
} imp_pickle_value;

typedef struct imp_pickle_cell {
    int32_t value, next;
} imp_pickle_cell;

/* A stretch of numbers in the file, which tensors are views of. */
typedef struct imp_pickle_storage {
    const uint8_t *key; /* its name, in the pickle */
    size_t key_length;
    imp_dtype dtype;
    int64_t count; /* elements */
} imp_pickle_storage;

typedef struct imp_pickle_tensor {
    int32_t storage;
    int dimensions;
    int64_t shape[IMP_TENSOR_MAX_DIMENSIONS], stride[IMP_TENSOR_MAX_DIMENSIONS];
    size_t count;
    int64_t offset; /* elements from the storage's begin */
} imp_pickle_tensor;

typedef struct imp_pickle {
    imp_context *context;
    const uint8_t *bytes;
    size_t length, position, end; /* end: of what the pickle being read may take */
    imp_pickle_value *values;
    imp_pickle_cell *cells;
    int32_t *stack, *memo;
    size_t *marks; /* heights of the stack */
    imp_pickle_storage *storages;
    imp_pickle_tensor *tensors;
    size_t value_count, cell_count, stack_count, memo_count, mark_count, storage_count, tensor_count;
    size_t value_room, cell_room, stack_room, memo_room, mark_room, storage_room, tensor_room;
    size_t storage_uses;
    int stopped;
    int failure; /* the status when a function gives -1 for an index */
} imp_pickle;

void imp_pickle_open(imp_pickle *pickle, imp_context *context, const uint8_t *bytes, size_t length);
void imp_pickle_close(imp_pickle *pickle);

/* Reads the pickle at position, up to its STOP; *root is its value. What was read before stays valid. */
int imp_pickle_load(imp_pickle *pickle, int32_t *root);

/* Items of a list, tuple or dict: for (c = first; c >= 0; c = next). */
const imp_pickle_value *imp_pickle_item(const imp_pickle *pickle, int32_t cell);

/* Makes a value; its index, or -1 with the error set. */
int32_t imp_pickle_make(imp_pickle *pickle, imp_pickle_kind kind);
int imp_pickle_append(imp_pickle *pickle, int32_t list, int32_t item);
int imp_pickle_is_text(const imp_pickle_value *value, const char *text);

/* pickle_torch.c: what opcodes that name or call something do. Each gives the index of a value, or -1. */
int32_t imp_pickle_global(imp_pickle *pickle, const uint8_t *module, size_t module_length, const uint8_t *name,
                          size_t name_length);
int32_t imp_pickle_call(imp_pickle *pickle, int32_t callee, int32_t arguments);
int32_t imp_pickle_persistent(imp_pickle *pickle, int32_t identifier);
int imp_pickle_build(imp_pickle *pickle, int32_t object);

#endif
