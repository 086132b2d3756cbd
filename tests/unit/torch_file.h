/* Files as torch.save writes them, made byte by byte, so that the tests need neither PyTorch nor files of its. */
#ifndef IMP_TESTS_TORCH_FILE_H
#define IMP_TESTS_TORCH_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Of a context: what a hostile file may make us hold, and more than any test needs. */
#define TORCH_MEMORY ((size_t)256 << 20)

typedef struct bytes {
    uint8_t *at;
    size_t length, room;
} bytes;

void put(bytes *out, const void *data, size_t length);
void put_text(bytes *out, const char *text);
void put_number(bytes *out, uint64_t number, int size); /* little-endian */
void bytes_free(bytes *all);

/* A zip archive with stored records. */
typedef struct zip_writer {
    bytes file, directory;
    int count;
} zip_writer;
void zip_add(zip_writer *zip, const char *name, const void *data, size_t length);
void zip_end(zip_writer *zip, int zip64); /* the archive is then zip->file; its directory is released */

/* Opcodes of protocol 2. */
void pickle_begin(bytes *out);                    /* PROTO 2 */
void pickle_string(bytes *out, const char *text); /* BINUNICODE */
void pickle_integer(bytes *out, int64_t number);  /* LONG1 of 8 bytes */
void pickle_global(bytes *out, const char *module, const char *name);
void pickle_sizes(bytes *out, const int64_t *sizes, int count);

/* A tensor of a storage, as _rebuild_tensor_v2 is called for it. */
typedef struct tensor_spec {
    const char *name;    /* in the dictionary */
    const char *kind;    /* "FloatStorage" */
    const char *storage; /* its key */
    int64_t storage_count, offset;
    int dimensions;
    int64_t shape[9], stride[9];
} tensor_spec;
void pickle_tensor(bytes *out, const tensor_spec *tensor); /* the value alone */

/* A state dict of tensors, under the wrapper's key if that is not NULL; a whole pickle. */
void pickle_state_dict(bytes *out, const tensor_spec *tensors, int count, const char *wrapper);

typedef struct storage_spec {
    const char *key;
    const void *data;
    size_t length, count; /* bytes, elements */
} storage_spec;

/* The two forms of torch.save around a pickle. byte_order: NULL for none. */
void torch_zip(bytes *out, const bytes *pickle, const storage_spec *storages, int count, const char *byte_order,
               int zip64);
void torch_old(bytes *out, const bytes *pickle, const storage_spec *storages, int count);

/* A whole file: "a", a transposed [2, 2], and "b", [4], in two storages, under "state_dict"; in the zip
   form or the old one. */
void torch_small(bytes *file, int old);

#endif
