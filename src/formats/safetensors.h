/* safetensors (github.com/huggingface/safetensors): a length, a JSON header, and the tensors' bytes without gaps. */
#ifndef IMP_FORMATS_SAFETENSORS_H
#define IMP_FORMATS_SAFETENSORS_H

#include "formats/tensors.h"

int imp_safetensors_parse(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out);

/* zlib's CRC-32 of bytes, after those whose checksum is sum; 0: after none. */
uint32_t imp_checksum_add(uint32_t sum, const void *bytes, size_t length);

/* "crc32:0123abcd" */
#define IMP_CHECKSUM_LENGTH 16
void imp_checksum_print(uint32_t sum, char text[IMP_CHECKSUM_LENGTH]);

/* Of all the tensors' bytes; what imp_safetensors_write puts into the metadata as "checksum". */
void imp_safetensors_checksum(const imp_tensors *tensors, char text[IMP_CHECKSUM_LENGTH]);

/* Whether the metadata's checksum is right; 1 too where there is none, in the file of another program. */
int imp_safetensors_is_whole(const imp_tensors *tensors);

/* Numbers in metadata, which holds texts only; whatever the locale. 0: not a number; no memory. */
#define IMP_NUMBER_LENGTH 32
int imp_safetensors_read_number(const char *text, double *number);
int imp_safetensors_write_number(double number, char text[IMP_NUMBER_LENGTH]);

/* A tensor to write, row by row. */
typedef struct imp_tensor_source {
    const char *name;
    int dimensions;
    const int64_t *shape;
    const float *data;
} imp_tensor_source;

/* Writes sources in their order as dtype (IMP_F32, IMP_F16 or IMP_BF16), with metadata and a checksum, to a temporary
   file that is then renamed. IMP_ERR_NUMERIC: a value does not fit into f16. */
int imp_safetensors_write(imp_context *context, const char *path, const imp_tensor_source *sources, int count,
                          imp_dtype dtype, const imp_key_value *metadata, int metadata_count);

#endif
