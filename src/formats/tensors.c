/* Named tensors: dtypes, lookup, release, and their elements as f32. */
#include "formats/tensors.h"

#include <string.h>

#include "base/file.h"
#include "base/half.h"
#include "formats/recognise.h"
#include "formats/safetensors.h"
#include "formats/torch.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[IMP_DTYPE_COUNT] = {
    [IMP_F64] = {"F64", 8}, [IMP_F32] = {"F32", 4},   [IMP_F16] = {"F16", 2}, [IMP_BF16] = {"BF16", 2},
    [IMP_I64] = {"I64", 8}, [IMP_I32] = {"I32", 4},   [IMP_I16] = {"I16", 2}, [IMP_I8] = {"I8", 1},
    [IMP_U8] = {"U8", 1},   [IMP_BOOL] = {"BOOL", 1},
};

const char *imp_dtype_name(imp_dtype dtype) {
    return dtypes[dtype].name;
}

size_t imp_dtype_bytes(imp_dtype dtype) {
    return dtypes[dtype].bytes;
}

imp_dtype imp_dtype_find(const char *name) {
    int dtype = 0;

    while (dtype < IMP_DTYPE_COUNT && strcmp(dtypes[dtype].name, name) != 0) dtype++;
    return (imp_dtype)dtype;
}

int imp_tensors_grow(imp_context *context, void **array, size_t element, size_t *capacity, size_t count) {
    size_t wanted = *capacity ? *capacity * 2 : 16, bytes;
    void *grown;

    if (count < *capacity) return IMP_OK;
    if (!imp_multiply(wanted, element, &bytes)) return imp_fail(context, IMP_ERR_MEMORY, "out of memory");
    grown = imp_reallocate(context, *array, bytes);
    if (!grown) return IMP_ERR_MEMORY;
    *array = grown;
    *capacity = wanted;
    return IMP_OK;
}

int imp_shape_count(const int64_t *shape, int dimensions, imp_dtype dtype, size_t *count, size_t *bytes) {
    *count = 1;
    for (int i = 0; i < dimensions; i++) {
        if (shape[i] < 0 || !imp_multiply(*count, (size_t)shape[i], count)) return 0;
    }
    return *count <= IMP_TENSOR_ELEMENT_LIMIT && imp_multiply(*count, imp_dtype_bytes(dtype), bytes);
}

void imp_tensors_release(imp_context *context, imp_tensors *tensors) {
    for (int i = 0; i < tensors->count; i++) imp_release(context, tensors->tensors[i].name);
    for (int i = 0; i < tensors->metadata_count; i++) {
        imp_release(context, tensors->metadata[i].key);
        imp_release(context, tensors->metadata[i].value);
    }
    imp_release(context, tensors->tensors);
    imp_release(context, tensors->metadata);
    imp_release(context, tensors->areas);
    imp_release(context, tensors->unpacked);
    imp_torch_close(tensors->archive);
    imp_release(context, tensors->file);
    *tensors = (imp_tensors){0};
}

const imp_named_tensor *imp_tensors_find(const imp_tensors *tensors, const char *name) {
    for (int i = 0; i < tensors->count; i++)
        if (strcmp(tensors->tensors[i].name, name) == 0) return &tensors->tensors[i];
    return NULL;
}

const char *imp_tensors_metadata(const imp_tensors *tensors, const char *key) {
    for (int i = 0; i < tensors->metadata_count; i++)
        if (strcmp(tensors->metadata[i].key, key) == 0) return tensors->metadata[i].value;
    return NULL;
}

int imp_tensors_parse(imp_context *context, const uint8_t *bytes, size_t length, const char *name, imp_tensors *out) {
    int status;

    *out = (imp_tensors){0};
    switch (imp_recognise(bytes, length)) {
    case IMP_FILE_SAFETENSORS:
        status = imp_safetensors_parse(context, bytes, length, out);
        break;
    case IMP_FILE_ZIP:
        status = imp_torch_parse_zip(context, bytes, length, out);
        break;
    case IMP_FILE_PICKLE:
        status = imp_torch_parse_pickle(context, bytes, length, out);
        break;
    default:
        status = imp_recognise_fail(context, bytes, length);
    }
    if (status == IMP_OK) return IMP_OK;
    imp_tensors_release(context, out);
    return imp_fail_prefix(context, status, "%s: ", name);
}

int imp_tensors_read(imp_context *context, const char *path, imp_tensors *out) {
    uint8_t *bytes;
    size_t length;
    int status = imp_file_read(context, path, IMP_TENSOR_FILE_LIMIT, &bytes, &length);

    *out = (imp_tensors){0};
    if (status != IMP_OK) return status;
    status = imp_tensors_parse(context, bytes, length, path, out);
    if (status == IMP_OK)
        out->file = bytes;
    else
        imp_release(context, bytes);
    return status;
}

static uint64_t load(const uint8_t *at, size_t bytes, int big_endian) {
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++) value |= (uint64_t)at[big_endian ? bytes - 1 - i : i] << (8 * i);
    return value;
}

static float element_to_f32(imp_dtype dtype, uint64_t bits) {
    union {
        uint64_t bits;
        double value;
    } wide = {bits};
    union {
        uint32_t bits;
        float value;
    } single = {(uint32_t)bits};

    switch (dtype) {
    case IMP_F64:
        return (float)wide.value;
    case IMP_F32:
        return single.value;
    case IMP_F16:
        return imp_f16_to_f32((uint16_t)bits);
    case IMP_BF16:
        return imp_bf16_to_f32((uint16_t)bits);
    case IMP_I64:
        return (float)(int64_t)bits;
    case IMP_I32:
        return (float)(int32_t)(uint32_t)bits;
    case IMP_I16:
        return (float)(int16_t)(uint16_t)bits;
    case IMP_I8:
        return (float)(int8_t)(uint8_t)bits;
    case IMP_U8:
        return (float)bits;
    default:
        return bits ? 1.0f : 0.0f;
    }
}

/* count elements that lie step bytes apart. */
static void convert_row(imp_dtype dtype, int big_endian, const uint8_t *at, size_t step, size_t count, float *out) {
    size_t bytes = imp_dtype_bytes(dtype);

    /* The common case, with sizes that the compiler can see. */
    if (dtype == IMP_F32 && !big_endian) {
        for (size_t i = 0; i < count; i++) out[i] = element_to_f32(IMP_F32, load(at + i * step, 4, 0));
        return;
    }
    for (size_t i = 0; i < count; i++) out[i] = element_to_f32(dtype, load(at + i * step, bytes, big_endian));
}

/* Joins dimensions that follow each other in memory, so that rows are long; returns how many are left, at least 1. */
static int join_dimensions(const imp_named_tensor *tensor, int64_t *shape, int64_t *stride) {
    int last = 0;

    shape[0] = 1;
    stride[0] = 1;
    for (int i = 0; i < tensor->dimensions; i++) {
        if (tensor->shape[i] == 1) continue;
        if (shape[last] == 1 || stride[last] == tensor->stride[i] * tensor->shape[i])
            shape[last] *= tensor->shape[i];
        else
            shape[++last] = tensor->shape[i];
        stride[last] = tensor->stride[i];
    }
    return last + 1;
}

/* The area's bytes; out of an archive they stay until another area is asked for. */
static int area_bytes(imp_context *context, imp_tensors *tensors, int index, const uint8_t **bytes) {
    const imp_tensor_area *area = &tensors->areas[index];
    int status;

    *bytes = area->bytes;
    if (area->bytes) return IMP_OK;
    if (!tensors->unpacked || tensors->unpacked_area != index) {
        imp_release(context, tensors->unpacked);
        tensors->unpacked = NULL;
        status = imp_torch_unpack(context, tensors->archive, area->record, area->length, &tensors->unpacked);
        if (status != IMP_OK) return status;
        tensors->unpacked_area = index;
    }
    *bytes = tensors->unpacked;
    return IMP_OK;
}

int imp_tensors_to_f32(imp_context *context, imp_tensors *tensors, const imp_named_tensor *tensor, float *out) {
    int64_t shape[IMP_TENSOR_MAX_DIMENSIONS + 1], stride[IMP_TENSOR_MAX_DIMENSIONS + 1];
    int64_t at[IMP_TENSOR_MAX_DIMENSIONS + 1] = {0};
    size_t bytes = imp_dtype_bytes(tensor->dtype), row, position = tensor->offset;
    const uint8_t *area;
    int rank, status;

    if (tensor->count == 0) return IMP_OK;
    status = area_bytes(context, tensors, tensor->area, &area);
    if (status != IMP_OK) return status;
    rank = join_dimensions(tensor, shape, stride);
    row = (size_t)shape[rank - 1];
    for (size_t done = 0; done < tensor->count; done += row) {
        int d = rank - 2;
        convert_row(tensor->dtype, tensors->big_endian, area + position, (size_t)stride[rank - 1] * bytes, row,
                    out + done);
        while (d >= 0 && at[d] == shape[d] - 1) {
            position -= (size_t)(at[d] * stride[d]) * bytes;
            at[d--] = 0;
        }
        if (d < 0) break;
        at[d]++;
        position += (size_t)stride[d] * bytes;
    }
    return IMP_OK;
}
