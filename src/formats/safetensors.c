/* Reads safetensors: every entry of the header is checked before anything is taken from the data. */
#include "formats/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LENGTH_BYTES 8 /* of the header's length, little-endian */
/* bytes: 16384 tensors take two million; a hostile one takes 50 times as much memory */
#define HEADER_LIMIT ((uint64_t)4 << 20)
#define CHECKSUM_PIECE ((size_t)256 << 20) /* zlib counts bytes in 32 bits */
#define METADATA_LIMIT 4096                /* entries */

/* JSON's own words stay out: they speak of lines and columns of one long line. */
static int fail_entry(imp_context *context, const char *name, const char *words) {
    return imp_fail(context, IMP_ERR_FORMAT, "the entry of tensor \"%.100s\" in the header %s", name, words);
}

static int read_size(const json_t *value, uint64_t limit, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return 0;
    *out = (uint64_t)json_integer_value(value);
    return *out <= limit;
}

static int read_shape(imp_context *context, const json_t *value, imp_named_tensor *tensor) {
    if (!json_is_array(value)) return fail_entry(context, tensor->name, "has no shape");
    if (json_array_size(value) > IMP_TENSOR_MAX_DIMENSIONS)
        return fail_entry(context, tensor->name, "has more than 8 dimensions");
    tensor->dimensions = (int)json_array_size(value);
    for (int i = 0; i < tensor->dimensions; i++) {
        uint64_t side;
        if (!read_size(json_array_get(value, (size_t)i), INT64_MAX, &side))
            return fail_entry(context, tensor->name, "has a shape that is not made of whole numbers from 0 on");
        tensor->shape[i] = (int64_t)side;
    }
    return IMP_OK;
}

static int read_dtype(imp_context *context, const json_t *value, imp_named_tensor *tensor) {
    if (!json_is_string(value)) return fail_entry(context, tensor->name, "has no dtype");
    tensor->dtype = imp_dtype_find(json_string_value(value));
    if (tensor->dtype == IMP_DTYPE_COUNT)
        return imp_fail(context, IMP_ERR_UNSUPPORTED, "tensor \"%.100s\" is of dtype \"%.20s\", which is not read",
                        tensor->name, json_string_value(value));
    return IMP_OK;
}

static int read_offsets(imp_context *context, const json_t *value, size_t data_length, imp_named_tensor *tensor) {
    uint64_t begin, end;
    size_t bytes;

    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !read_size(json_array_get(value, 0), INT64_MAX, &begin) ||
        !read_size(json_array_get(value, 1), INT64_MAX, &end) || begin > end)
        return fail_entry(context, tensor->name, "has no data_offsets that are two rising whole numbers");
    if (!imp_shape_count(tensor->shape, tensor->dimensions, tensor->dtype, &tensor->count, &bytes))
        return fail_entry(context, tensor->name, "has a shape that is too large");
    if (bytes != end - begin) return fail_entry(context, tensor->name, "has data_offsets that do not fit its shape");
    if (end > data_length)
        return imp_fail(
            context, IMP_ERR_FORMAT,
            "the data of tensor \"%.100s\" reaches past the end of the file: it is half-downloaded or damaged, "
            "download it again",
            tensor->name);
    tensor->offset = (size_t)begin;
    return IMP_OK;
}

static int read_entry(imp_context *context, const char *name, const json_t *entry, size_t data_length,
                      imp_named_tensor *tensor) {
    int status;
    int64_t step = 1;

    if (strlen(name) > IMP_TENSOR_NAME_LIMIT) return fail_entry(context, name, "has a name of more than 255 bytes");
    tensor->name = imp_duplicate(context, name);
    if (!tensor->name) return IMP_ERR_MEMORY;
    if (!json_is_object(entry)) return fail_entry(context, name, "is not an object");
    status = read_dtype(context, json_object_get(entry, "dtype"), tensor);
    if (status == IMP_OK) status = read_shape(context, json_object_get(entry, "shape"), tensor);
    if (status == IMP_OK) status = read_offsets(context, json_object_get(entry, "data_offsets"), data_length, tensor);
    if (status != IMP_OK || tensor->count == 0) return status;
    for (int i = tensor->dimensions - 1; i >= 0; i--) {
        tensor->stride[i] = step;
        step *= tensor->shape[i];
    }
    return IMP_OK;
}

static int read_metadata(imp_context *context, json_t *object, imp_tensors *out) {
    const char *key;
    json_t *value;

    if (!json_is_object(object)) return imp_fail(context, IMP_ERR_FORMAT, "the header's __metadata__ is not an object");
    if (json_object_size(object) > METADATA_LIMIT)
        return imp_fail(context, IMP_ERR_FORMAT, "the header's __metadata__ has more than %d entries", METADATA_LIMIT);
    out->metadata = imp_allocate_zero(context, json_object_size(object), sizeof *out->metadata);
    if (!out->metadata) return IMP_ERR_MEMORY;
    json_object_foreach(object, key, value) {
        imp_key_value *pair = &out->metadata[out->metadata_count];
        if (!json_is_string(value))
            return imp_fail(context, IMP_ERR_FORMAT, "\"%.100s\" in the header's __metadata__ is not a string", key);
        out->metadata_count++;
        pair->key = imp_duplicate(context, key);
        pair->value = imp_duplicate(context, json_string_value(value));
        if (!pair->key || !pair->value) return IMP_ERR_MEMORY;
    }
    return IMP_OK;
}

static int compare_offsets(const void *a, const void *b) {
    const imp_named_tensor *first = a, *second = b;

    if (first->offset != second->offset) return first->offset < second->offset ? -1 : 1;
    /* Empty tensors lie before what begins where they do. */
    return first->count == second->count ? 0 : first->count < second->count ? -1 : 1;
}

/* The data must be used from its first byte to its last, each byte by one tensor. */
static int check_coverage(imp_context *context, imp_tensors *out, size_t data_length) {
    size_t end = 0;

    qsort(out->tensors, (size_t)out->count, sizeof *out->tensors, compare_offsets);
    for (int i = 0; i < out->count; i++) {
        const imp_named_tensor *tensor = &out->tensors[i];
        if (tensor->offset < end) return fail_entry(context, tensor->name, "overlaps another tensor");
        if (tensor->offset > end) return fail_entry(context, tensor->name, "leaves a gap before it");
        end += tensor->count * imp_dtype_bytes(tensor->dtype);
    }
    if (end != data_length)
        return imp_fail(context, IMP_ERR_FORMAT, "%zu bytes behind the last tensor belong to none", data_length - end);
    return IMP_OK;
}

static int read_header(imp_context *context, json_t *header, const uint8_t *data, size_t data_length,
                       imp_tensors *out) {
    const char *name;
    json_t *entry;
    int status = IMP_OK;

    if (!json_is_object(header)) return imp_fail(context, IMP_ERR_FORMAT, "the header is not a JSON object");
    if (json_object_size(header) > IMP_TENSOR_COUNT_LIMIT)
        return imp_fail(context, IMP_ERR_FORMAT, "more than %d tensors", IMP_TENSOR_COUNT_LIMIT);
    out->tensors = imp_allocate_zero(context, json_object_size(header), sizeof *out->tensors);
    out->areas = imp_allocate_zero(context, 1, sizeof *out->areas);
    if (!out->tensors || !out->areas) return IMP_ERR_MEMORY;
    out->areas[0] = (imp_tensor_area){.bytes = data, .length = data_length};
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            status = read_metadata(context, entry, out);
        else
            status = read_entry(context, name, entry, data_length, &out->tensors[out->count++]);
        if (status != IMP_OK) return status;
    }
    return check_coverage(context, out, data_length);
}

static int fail_json(imp_context *context, const json_error_t *error) {
    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: reading the header");
    case json_error_duplicate_key:
        return imp_fail(context, IMP_ERR_FORMAT, "the header has a tensor or key twice");
    default:
        return imp_fail(context, IMP_ERR_FORMAT, "the header is damaged at byte %d: %s", error->position, error->text);
    }
}

int imp_safetensors_parse(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out) {
    uint64_t header_length = 0;
    json_error_t error;
    json_t *header;
    int status;

    if (length <= LENGTH_BYTES)
        return imp_fail(context, IMP_ERR_FORMAT, "the file ends before its header: download it again");
    for (int i = 0; i < LENGTH_BYTES; i++) header_length |= (uint64_t)bytes[i] << (8 * i);
    if (header_length > length - LENGTH_BYTES)
        return imp_fail(context, IMP_ERR_FORMAT,
                        "the header is longer than the file: it is half-downloaded or damaged, download it again");
    if (header_length > HEADER_LIMIT)
        return imp_fail(context, IMP_ERR_FORMAT, "the header is longer than the %llu bytes that are read",
                        (unsigned long long)HEADER_LIMIT);
    header = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)header_length, JSON_REJECT_DUPLICATES, &error);
    if (!header) return fail_json(context, &error);
    status = read_header(context, header, bytes + LENGTH_BYTES + header_length,
                         length - LENGTH_BYTES - (size_t)header_length, out);
    json_decref(header);
    return status;
}

uint32_t imp_checksum_add(uint32_t sum, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    for (size_t left = length; left > 0;) {
        size_t piece = left < CHECKSUM_PIECE ? left : CHECKSUM_PIECE;
        sum = (uint32_t)crc32(sum, at, (uInt)piece);
        at += piece;
        left -= piece;
    }
    return sum;
}

void imp_checksum_print(uint32_t sum, char text[IMP_CHECKSUM_LENGTH]) {
    snprintf(text, IMP_CHECKSUM_LENGTH, "crc32:%08" PRIx32, sum);
}

void imp_safetensors_checksum(const imp_tensors *tensors, char text[IMP_CHECKSUM_LENGTH]) {
    imp_checksum_print(imp_checksum_add(0, tensors->areas[0].bytes, tensors->areas[0].length), text);
}

int imp_safetensors_is_whole(const imp_tensors *tensors) {
    const char *written = imp_tensors_metadata(tensors, "checksum");
    char computed[IMP_CHECKSUM_LENGTH];

    if (!written) return 1;
    imp_safetensors_checksum(tensors, computed);
    return strcmp(written, computed) == 0;
}

int imp_safetensors_read_number(const char *text, double *number) {
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    int is_number = json_is_number(value);

    *number = json_number_value(value);
    json_decref(value);
    return is_number;
}
