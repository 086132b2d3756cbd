/* Writes safetensors: f32 values as f32, f16 or bf16, in small pieces. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/half.h"
#include "formats/safetensors.h"

#define PIECE 4096     /* elements converted at once */
#define HEADER_ALIGN 8 /* the format's rule: the data begins at a multiple of it */

/* Little-endian bytes of count values. Returns the index of a value that dtype cannot hold, or count. */
static size_t convert(imp_dtype dtype, const float *values, size_t count, uint8_t *out) {
    size_t bytes = imp_dtype_bytes(dtype);

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        if (dtype == IMP_F32)
            memcpy(&bits, &values[i], sizeof bits);
        else
            bits = dtype == IMP_F16 ? imp_f32_to_f16(values[i]) : imp_f32_to_bf16(values[i]);
        if (dtype == IMP_F16 && isfinite(values[i]) && !isfinite(imp_f16_to_f32((uint16_t)bits))) return i;
        if (dtype == IMP_BF16 && isfinite(values[i]) && !isfinite(imp_bf16_to_f32((uint16_t)bits))) return i;
        for (size_t k = 0; k < bytes; k++) out[i * bytes + k] = (uint8_t)(bits >> (8 * k));
    }
    return count;
}

static size_t element_count(const imp_tensor_source *source) {
    size_t count = 1;

    for (int i = 0; i < source->dimensions; i++) count *= (size_t)source->shape[i];
    return count;
}

/* Calls take on the converted bytes of all sources, piece by piece, in the file's order. */
typedef int piece_taker(void *user, const uint8_t *bytes, size_t length);

static int convert_all(imp_context *context, const imp_tensor_source *sources, int count, imp_dtype dtype,
                       piece_taker *take, void *user) {
    uint8_t bytes[PIECE * sizeof(float)];

    for (int i = 0; i < count; i++) {
        size_t all = element_count(&sources[i]);
        for (size_t at = 0; at < all; at += PIECE) {
            size_t piece = all - at < PIECE ? all - at : PIECE;
            size_t fitting = convert(dtype, sources[i].data + at, piece, bytes);
            if (fitting < piece)
                return imp_fail(context, IMP_ERR_NUMERIC, "%s: the value %g does not fit into %s; store as f32",
                                sources[i].name, (double)sources[i].data[at + fitting], imp_dtype_name(dtype));
            if (!take(user, bytes, piece * imp_dtype_bytes(dtype)))
                return imp_fail(context, IMP_ERR_IO, "%s", strerror(errno));
        }
    }
    return IMP_OK;
}

static int take_checksum(void *user, const uint8_t *bytes, size_t length) {
    *(uLong *)user = crc32(*(uLong *)user, bytes, (uInt)length);
    return 1;
}

static int take_file(void *user, const uint8_t *bytes, size_t length) {
    return fwrite(bytes, 1, length, user) == length;
}

static json_t *make_metadata(const imp_key_value *metadata, int count, uLong checksum) {
    char text[IMP_CHECKSUM_LENGTH];
    json_t *object = json_object();
    int failed = !object;

    snprintf(text, sizeof text, "crc32:%08lx", checksum);
    for (int i = 0; i < count && !failed; i++)
        failed = json_object_set_new(object, metadata[i].key, json_string(metadata[i].value)) != 0;
    if (!failed) failed = json_object_set_new(object, "checksum", json_string(text)) != 0;
    if (!failed) return object;
    json_decref(object);
    return NULL;
}

static json_t *make_entry(const imp_tensor_source *source, imp_dtype dtype, uint64_t begin, uint64_t end) {
    json_t *shape = json_array();

    for (int i = 0; i < source->dimensions; i++)
        if (json_array_append_new(shape, json_integer(source->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", imp_dtype_name(dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* The header's text, released by free; NULL: out of memory. */
static char *make_header(const imp_tensor_source *sources, int count, imp_dtype dtype, json_t *metadata) {
    json_t *header = json_object();
    uint64_t at = 0;
    char *text = NULL;
    int failed = json_object_set_new(header, "__metadata__", metadata) != 0;

    for (int i = 0; i < count && !failed; i++) {
        uint64_t end = at + element_count(&sources[i]) * imp_dtype_bytes(dtype);
        failed = json_object_set_new(header, sources[i].name, make_entry(&sources[i], dtype, at, end)) != 0;
        at = end;
    }
    if (!failed) text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

int imp_safetensors_write_number(double number, char text[IMP_NUMBER_LENGTH]) {
    json_t *value = json_real(number);
    size_t length = json_dumpb(value, text, IMP_NUMBER_LENGTH - 1, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

    json_decref(value);
    if (length == 0 || length >= IMP_NUMBER_LENGTH) return 0;
    text[length] = 0;
    return 1;
}

/* The header's length and the header, padded with spaces. */
static int write_header(FILE *stream, const char *text) {
    static const char spaces[] = "        ";
    size_t length = strlen(text), padding = (HEADER_ALIGN - length % HEADER_ALIGN) % HEADER_ALIGN;
    uint64_t all = length + padding;
    uint8_t bytes[sizeof all];

    for (size_t i = 0; i < sizeof all; i++) bytes[i] = (uint8_t)(all >> (8 * i));
    return fwrite(bytes, 1, sizeof bytes, stream) == sizeof bytes && fwrite(text, 1, length, stream) == length &&
           fwrite(spaces, 1, padding, stream) == padding;
}

static int write_file(imp_context *context, const char *path, const char *header, const imp_tensor_source *sources,
                      int count, imp_dtype dtype) {
    imp_file_writer writer;
    int status = imp_file_writer_open(context, path, &writer);

    if (status != IMP_OK) return status;
    if (!write_header(writer.stream, header)) status = imp_fail(context, IMP_ERR_IO, "%s", strerror(errno));
    if (status == IMP_OK) status = convert_all(context, sources, count, dtype, take_file, writer.stream);
    if (status == IMP_OK) return imp_file_writer_commit(context, &writer);
    imp_file_writer_abandon(context, &writer);
    return imp_fail_prefix(context, status, "%s: ", path);
}

int imp_safetensors_write(imp_context *context, const char *path, const imp_tensor_source *sources, int count,
                          imp_dtype dtype, const imp_key_value *metadata, int metadata_count) {
    uLong checksum = crc32(0, NULL, 0);
    int status = convert_all(context, sources, count, dtype, take_checksum, &checksum);
    json_t *object;
    char *header;

    if (status != IMP_OK) return imp_fail_prefix(context, status, "%s: ", path);
    object = make_metadata(metadata, metadata_count, checksum);
    header = object ? make_header(sources, count, dtype, object) : NULL;
    if (!header) return imp_fail(context, IMP_ERR_MEMORY, "%s: out of memory: writing the header", path);
    status = write_file(context, path, header, sources, count, dtype);
    free(header);
    return status;
}
