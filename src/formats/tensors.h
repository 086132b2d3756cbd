/* Named tensors out of a file that someone else wrote: what every reader here produces.
 *
 * Elements stay where the file has them (an area of its bytes, or a record of its archive) until
 * imp_tensors_to_f32 takes them, so that a file is held once, and the parts of it that nobody asks for (a
 * classifier of 500 MB) are never unpacked.
 */
#ifndef IMP_FORMATS_TENSORS_H
#define IMP_FORMATS_TENSORS_H

#include "base/memory.h"

#define IMP_TENSOR_MAX_DIMENSIONS 8
#define IMP_TENSOR_FILE_LIMIT ((uint64_t)4 << 30)  /* bytes of a model file that are read at most */
#define IMP_TENSOR_COUNT_LIMIT 16384               /* tensors of a file: a network has hundreds */
#define IMP_TENSOR_ELEMENT_LIMIT ((size_t)1 << 30) /* elements of a tensor: 4 GB of f32 */
#define IMP_TENSOR_NAME_LIMIT 255                  /* bytes of a tensor's name */

typedef enum imp_dtype {
    IMP_F64,
    IMP_F32,
    IMP_F16,
    IMP_BF16,
    IMP_I64,
    IMP_I32,
    IMP_I16,
    IMP_I8,
    IMP_U8,
    IMP_BOOL,
    IMP_DTYPE_COUNT
} imp_dtype;

const char *imp_dtype_name(imp_dtype dtype); /* as safetensors spells it: "F32" */
size_t imp_dtype_bytes(imp_dtype dtype);
imp_dtype imp_dtype_find(const char *name); /* IMP_DTYPE_COUNT: not one of these */

/* Bytes that tensors lie in. */
typedef struct imp_tensor_area {
    const uint8_t *bytes; /* inside the file's; NULL: in a record of the archive */
    size_t length;
    uint64_t record;
} imp_tensor_area;

typedef struct imp_named_tensor {
    char *name;
    imp_dtype dtype;
    int dimensions;
    int64_t shape[IMP_TENSOR_MAX_DIMENSIONS];
    int64_t stride[IMP_TENSOR_MAX_DIMENSIONS]; /* in elements, 0 or more */
    size_t count;                              /* elements: the product of shape */
    int area;
    size_t offset; /* bytes from the area's begin to the first element */
} imp_named_tensor;

typedef struct imp_key_value {
    char *key, *value;
} imp_key_value;

typedef struct imp_tensors {
    imp_named_tensor *tensors; /* in the file's order; every element lies inside its area */
    int count;
    imp_key_value *metadata; /* safetensors' __metadata__ */
    int metadata_count;
    imp_tensor_area *areas;
    int big_endian;
    uint8_t *file;       /* the bytes, when imp_tensors_read read them; NULL: they are the caller's */
    struct zip *archive; /* NULL: none */
    uint8_t *unpacked;   /* the area that was asked for last, out of the archive */
    int unpacked_area;
} imp_tensors;

/* Recognises the file by its content: safetensors, torch.save (zip or plain pickle); what else it may be (a Git
   LFS pointer, a web page, a half-downloaded file, ONNX, HDF5) the error says. name stands in messages. bytes
   must stay until the release. */
int imp_tensors_parse(imp_context *context, const uint8_t *bytes, size_t length, const char *name, imp_tensors *out);
int imp_tensors_read(imp_context *context, const char *path, imp_tensors *out);
void imp_tensors_release(imp_context *context, imp_tensors *tensors);

const imp_named_tensor *imp_tensors_find(const imp_tensors *tensors, const char *name);
const char *imp_tensors_metadata(const imp_tensors *tensors, const char *key); /* NULL: not there */

/* Elements as f32 into out[count], row by row; every dtype. IMP_ERR_FORMAT: a record of the archive is damaged. */
int imp_tensors_to_f32(imp_context *context, imp_tensors *tensors, const imp_named_tensor *tensor, float *out);

/* For the readers. Grows *array, of *capacity elements, so that it holds one more than count. */
int imp_tensors_grow(imp_context *context, void **array, size_t element, size_t *capacity, size_t count);

/* For the readers: the product of shape into *count, that times the element's size into *bytes; 0: over the limits. */
int imp_shape_count(const int64_t *shape, int dimensions, imp_dtype dtype, size_t *count, size_t *bytes);

#endif
