/* Named tensors out of a file that someone else wrote: what every reader here produces, and the writer takes. */
#ifndef IMP_FORMATS_TENSORS_H
#define IMP_FORMATS_TENSORS_H

#include "base/memory.h"

#define IMP_TENSOR_MAX_DIMENSIONS 8
#define IMP_TENSOR_FILE_LIMIT ((uint64_t)4 << 30) /* bytes of a model file that are read at most                    */

typedef enum imp_dtype {
    IMP_F64, IMP_F32, IMP_F16, IMP_BF16, IMP_I64, IMP_I32, IMP_I16, IMP_I8, IMP_U8, IMP_BOOL, IMP_DTYPE_COUNT
} imp_dtype;

const char *imp_dtype_name(imp_dtype dtype); /* as safetensors spells it: "F32"                                     */
size_t imp_dtype_bytes(imp_dtype dtype);

typedef struct imp_named_tensor {
    char *name;
    imp_dtype dtype;
    int dimensions;
    int64_t shape[IMP_TENSOR_MAX_DIMENSIONS];
    size_t count;        /* elements: the product of shape                                                          */
    void *data;          /* contiguous, in this machine's byte order, aligned                                       */
} imp_named_tensor;

typedef struct imp_key_value {
    char *key, *value;
} imp_key_value;

typedef struct imp_tensors {
    imp_named_tensor *tensors; /* in the file's order                                                               */
    int count;
    imp_key_value *metadata;   /* safetensors' __metadata__                                                         */
    int metadata_count;
} imp_tensors;

void imp_tensors_release(imp_context *context, imp_tensors *tensors);
const imp_named_tensor *imp_tensors_find(const imp_tensors *tensors, const char *name);
const char *imp_tensors_metadata(const imp_tensors *tensors, const char *key); /* NULL: not there                   */

/* Elements as f32 into out[count]; every dtype. */
void imp_named_tensor_to_f32(const imp_named_tensor *tensor, float *out);

/* Recognises the file by its content: safetensors, torch.save (zip or plain pickle); what else it may be (a Git LFS pointer, an HTML page, a
   half-downloaded file, ONNX, HDF5) the error says. name stands in messages. */
int imp_tensors_parse(imp_context *context, const uint8_t *bytes, size_t length, const char *name, imp_tensors *out);
int imp_tensors_read(imp_context *context, const char *path, imp_tensors *out);

#endif
