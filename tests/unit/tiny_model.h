/* Small networks of the VGG family that stand for the real ones, and files with their weights. */
#ifndef IMP_TESTS_TINY_MODEL_H
#define IMP_TESTS_TINY_MODEL_H

#include "models/model.h"
#include "torch_file.h"

#define TINY_TENSORS 6
#define TINY_VALUES 664 /* of the whole network */
#define MOST_TENSORS 32 /* of a file made here */

/* "tiny": conv1_1, conv2_1, conv2_2 of 4, 6 and 6 channels; "wide": one convolution of 64
   channels, as a VGG's first; "slim": a small ResNet. */
extern const imp_architecture tiny_known[];

/* The weights of "tiny", one tensor after the other: exact in f16; its tensors' names and shapes. */
extern float tiny_values[2 * TINY_VALUES];
extern const size_t tiny_offsets[TINY_TENSORS + 1];
extern const int64_t tiny_shapes[TINY_TENSORS][4];
extern const char *const tiny_names[TINY_TENSORS];   /* "conv1_1.weight" */
extern const char *const tiny_numbers[TINY_TENSORS]; /* "0.weight" */
void tiny_fill(void);                                /* makes tiny_values */

/* A file of torch.save, tensor by tensor; data must stay until it is written. */
typedef struct file_maker {
    tensor_spec tensors[MOST_TENSORS];
    storage_spec storages[MOST_TENSORS];
    char names[MOST_TENSORS][64], keys[MOST_TENSORS][4];
    int count;
} file_maker;
void add_tensor(file_maker *file, const char *name, const char *kind, size_t size, const void *data, int dimensions,
                const int64_t *shape);
void add_floats(file_maker *file, const char *prefix, const char *name, const float *data, int dimensions,
                const int64_t *shape);
void make_tiny(file_maker *file, const char *prefix, const char *const names[TINY_TENSORS]);
void make_quantised(file_maker *file, const uint8_t indices[TINY_VALUES], const float *table, size_t table_count);
int write_torch(const file_maker *file, const char *path, int old); /* 0, or -1 */

/* Fails the test unless the model is "tiny" with tiny_values. */
void expect_tiny(const imp_model *model);

#endif
