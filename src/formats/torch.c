/* torch.save's archives: finds their pickle and the records of numbers. */
#include "formats/torch.h"

#include <stdio.h>
#include <string.h>
#include <zip.h>

#include "formats/pickle.h"

#define PREFIX_LIMIT 256 /* bytes of the folder inside an archive that all its records lie in */
#define MAGIC "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" /* begins the older form, as a number of 10 bytes */
#define PROTOCOL 1001                                    /* the older form's only version */
#define COUNT_BYTES 8                                    /* of a storage's length, little-endian */

static int fail_zip(imp_context *context, zip_error_t *error) {
    switch (zip_error_code_zip(error)) {
    case ZIP_ER_MEMORY:
        return imp_fail(context, IMP_ERR_MEMORY, "out of memory: reading the archive");
    case ZIP_ER_NOZIP:
    case ZIP_ER_INCONS:
    case ZIP_ER_EOF:
        return imp_fail(context, IMP_ERR_FORMAT,
                        "begins like a file of torch.save, but its end is missing or damaged: it is half-downloaded, "
                        "download it again");
    case ZIP_ER_CRC:
        return imp_fail(context, IMP_ERR_FORMAT, "damaged: the checksum of a record is wrong, download it again");
    default:
        return imp_fail(context, IMP_ERR_FORMAT, "damaged: %s", zip_error_strerror(error));
    }
}

void imp_torch_close(struct zip *archive) {
    if (archive) zip_discard(archive);
}

static int open_archive(imp_context *context, const uint8_t *bytes, size_t length, zip_t **archive) {
    zip_error_t error;
    zip_source_t *source;
    int status = IMP_OK;

    zip_error_init(&error);
    source = zip_source_buffer_create(bytes, length, 0, &error);
    *archive = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (!*archive) status = fail_zip(context, &error);
    if (!*archive && source) zip_source_free(source);
    zip_error_fini(&error);
    return status;
}

static int read_record(zip_file_t *file, uint8_t *bytes, size_t length) {
    uint8_t end;
    size_t got = 0;

    while (got < length) {
        zip_int64_t count = zip_fread(file, bytes + got, length - got);
        if (count <= 0) return 0;
        got += (size_t)count;
    }
    return zip_fread(file, &end, 1) == 0; /* at its end libzip compares the checksum */
}

int imp_torch_unpack(imp_context *context, struct zip *archive, uint64_t record, size_t length, uint8_t **bytes) {
    zip_file_t *file = zip_fopen_index(archive, record, 0);
    int status = IMP_OK;

    *bytes = NULL;
    if (!file) return fail_zip(context, zip_get_error(archive));
    *bytes = imp_allocate(context, length);
    if (!*bytes)
        status = IMP_ERR_MEMORY;
    else if (!read_record(file, *bytes, length))
        status = fail_zip(context, zip_file_get_error(file));
    zip_fclose(file);
    if (status == IMP_OK) return IMP_OK;
    imp_release(context, *bytes);
    *bytes = NULL;
    return status;
}

/* Length of a record; torch.save never compresses, and a compressed one could unpack to any size. */
static int record_length(imp_context *context, zip_t *archive, uint64_t record, size_t *length) {
    zip_stat_t about;

    if (zip_stat_index(archive, record, 0, &about) != 0) return fail_zip(context, zip_get_error(archive));
    if (!(about.valid & ZIP_STAT_SIZE) || !(about.valid & ZIP_STAT_COMP_METHOD))
        return imp_fail(context, IMP_ERR_FORMAT, "damaged: a record of the archive has no length");
    if (about.comp_method != ZIP_CM_STORE ||
        ((about.valid & ZIP_STAT_ENCRYPTION_METHOD) && about.encryption_method != ZIP_EM_NONE))
        return imp_fail(
            context, IMP_ERR_UNSUPPORTED,
            "its records are compressed or encrypted, which torch.save never does; load it with PyTorch and "
            "save it again");
    if (about.size > IMP_TENSOR_FILE_LIMIT || about.size > SIZE_MAX)
        return imp_fail(context, IMP_ERR_FORMAT,
                        "damaged: a record of the archive is larger than any file that is read");
    *length = (size_t)about.size;
    return IMP_OK;
}

/* The record "PREFIX/data.pkl"; its name without "data.pkl" begins all the others. */
static int find_pickle(imp_context *context, zip_t *archive, uint64_t *record, char prefix[PREFIX_LIMIT]) {
    static const char name[] = "data.pkl";
    zip_int64_t count = zip_get_num_entries(archive, 0);

    for (zip_int64_t i = 0; i < count; i++) {
        const char *entry = zip_get_name(archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        size_t length = entry ? strlen(entry) : 0, rest = length - (sizeof name - 1);
        if (length < sizeof name - 1 || rest >= PREFIX_LIMIT || strcmp(entry + rest, name) != 0) continue;
        if (rest > 0 && entry[rest - 1] != '/') continue;
        memcpy(prefix, entry, rest);
        prefix[rest] = 0;
        *record = (uint64_t)i;
        return IMP_OK;
    }
    return imp_fail(context, IMP_ERR_FORMAT, "a zip archive, but not one of torch.save: it has no data.pkl");
}

/* The record PREFIX + folder + name, or -1. */
static zip_int64_t find_record(zip_t *archive, const char *prefix, const char *folder, const uint8_t *name,
                               size_t length) {
    char path[2 * PREFIX_LIMIT];

    if (length >= PREFIX_LIMIT / 2 || memchr(name, 0, length)) return -1;
    snprintf(path, sizeof path, "%s%s%.*s", prefix, folder, (int)length, (const char *)name);
    return zip_name_locate(archive, path, ZIP_FL_ENC_RAW);
}

/* The record "byteorder", since PyTorch 2.1: "little" or "big". */
static int read_byte_order(imp_context *context, const char *prefix, imp_tensors *out) {
    zip_int64_t record = find_record(out->archive, prefix, "", (const uint8_t *)"byteorder", strlen("byteorder"));
    uint8_t *bytes;
    size_t length;
    int status;

    if (record < 0) return IMP_OK;
    status = record_length(context, out->archive, (uint64_t)record, &length);
    if (status == IMP_OK && length > PREFIX_LIMIT) length = 0;
    if (status == IMP_OK) status = imp_torch_unpack(context, out->archive, (uint64_t)record, length, &bytes);
    if (status != IMP_OK) return status;
    out->big_endian = length == 3 && memcmp(bytes, "big", 3) == 0;
    if (!out->big_endian && !(length == 6 && memcmp(bytes, "little", 6) == 0))
        status = imp_fail(context, IMP_ERR_FORMAT, "damaged: its byte order is neither little nor big");
    imp_release(context, bytes);
    return status;
}

static int make_areas(const imp_pickle *pickle, imp_tensors *out) {
    out->areas = imp_allocate_zero(pickle->context, pickle->storage_count, sizeof *out->areas);
    return out->areas ? IMP_OK : IMP_ERR_MEMORY;
}

static size_t storage_bytes(const imp_pickle_storage *storage) {
    return (size_t)storage->count * imp_dtype_bytes(storage->dtype);
}

static int find_areas(const imp_pickle *pickle, const char *prefix, imp_tensors *out) {
    int status = make_areas(pickle, out);

    for (size_t i = 0; i < pickle->storage_count && status == IMP_OK; i++) {
        const imp_pickle_storage *storage = &pickle->storages[i];
        zip_int64_t record = find_record(out->archive, prefix, "data/", storage->key, storage->key_length);
        if (record < 0) return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: the record of a storage is missing");
        out->areas[i].record = (uint64_t)record;
        status = record_length(pickle->context, out->archive, (uint64_t)record, &out->areas[i].length);
        if (status == IMP_OK && out->areas[i].length < storage_bytes(storage))
            status = imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: the record of a storage is too short");
    }
    return status;
}

static int parse_archive(imp_context *context, imp_pickle *pickle, imp_tensors *out, uint8_t **bytes) {
    char prefix[PREFIX_LIMIT];
    uint64_t record = 0;
    size_t length = 0;
    int32_t root;
    int status = find_pickle(context, out->archive, &record, prefix);

    if (status == IMP_OK) status = record_length(context, out->archive, record, &length);
    if (status == IMP_OK && length > IMP_PICKLE_LENGTH_LIMIT)
        status = imp_fail(context, IMP_ERR_FORMAT, "its pickle is longer than the %zu bytes that are read",
                          IMP_PICKLE_LENGTH_LIMIT);
    if (status == IMP_OK) status = imp_torch_unpack(context, out->archive, record, length, bytes);
    if (status != IMP_OK) return status;
    imp_pickle_open(pickle, context, *bytes, length);
    status = imp_pickle_load(pickle, &root);
    if (status == IMP_OK) status = imp_state_dict_collect(pickle, root, out);
    if (status == IMP_OK) status = find_areas(pickle, prefix, out);
    return status == IMP_OK ? read_byte_order(context, prefix, out) : status;
}

int imp_torch_parse_zip(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out) {
    imp_pickle pickle;
    uint8_t *pickled = NULL;
    int status = open_archive(context, bytes, length, &out->archive);

    if (status != IMP_OK) return status;
    imp_pickle_open(&pickle, context, NULL, 0);
    status = parse_archive(context, &pickle, out, &pickled);
    imp_pickle_close(&pickle);
    imp_release(context, pickled);
    return status;
}

/* After its pickles the older form has, for each key of the list: a count and the numbers. */
static int read_numbers(imp_pickle *pickle, int32_t keys, imp_tensors *out) {
    int status = make_areas(pickle, out);
    const imp_pickle_value *list = &pickle->values[keys];

    if (status == IMP_OK && list->kind != IMP_PICKLE_LIST)
        status = imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: it has no list of storages");
    if (status != IMP_OK) return status;
    for (int32_t c = list->as.list.first; c >= 0; c = pickle->cells[c].next) {
        const imp_pickle_value *key = imp_pickle_item(pickle, c);
        size_t left = pickle->length - pickle->position, i = 0, bytes;
        uint64_t count = 0;
        for (; i < pickle->storage_count; i++)
            if (key->kind == IMP_PICKLE_STRING && key->as.text.length == pickle->storages[i].key_length &&
                memcmp(key->as.text.bytes, pickle->storages[i].key, key->as.text.length) == 0)
                break;
        if (i == pickle->storage_count || out->areas[i].bytes)
            return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: its list of storages names an unknown one");
        bytes = storage_bytes(&pickle->storages[i]);
        if (left < COUNT_BYTES || left - COUNT_BYTES < bytes)
            return imp_fail(pickle->context, IMP_ERR_FORMAT,
                            "cut off in the middle of its numbers: it is half-downloaded, download it again");
        for (int k = 0; k < COUNT_BYTES; k++) count |= (uint64_t)pickle->bytes[pickle->position + (size_t)k] << (8 * k);
        if (count != (uint64_t)pickle->storages[i].count)
            return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: a storage has two lengths");
        out->areas[i] = (imp_tensor_area){.bytes = pickle->bytes + pickle->position + COUNT_BYTES, .length = bytes};
        pickle->position += COUNT_BYTES + bytes;
    }
    for (size_t i = 0; i < pickle->storage_count; i++)
        if (!out->areas[i].bytes)
            return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: its list of storages lacks one that is used");
    return IMP_OK;
}

static int check_magic(imp_pickle *pickle) {
    int32_t root;
    int status = imp_pickle_load(pickle, &root);
    const imp_pickle_value *value;

    if (status != IMP_OK) return status;
    value = &pickle->values[root];
    if (value->kind != IMP_PICKLE_LONG || value->as.text.length != sizeof MAGIC - 1 ||
        memcmp(value->as.text.bytes, MAGIC, sizeof MAGIC - 1) != 0)
        return imp_fail(pickle->context, IMP_ERR_FORMAT, "a pickle of Python, but not one of torch.save");
    status = imp_pickle_load(pickle, &root);
    if (status == IMP_OK &&
        (pickle->values[root].kind != IMP_PICKLE_INTEGER || pickle->values[root].as.integer != PROTOCOL))
        status = imp_fail(pickle->context, IMP_ERR_UNSUPPORTED, "its version of torch.save's older form is unknown");
    return status;
}

int imp_torch_parse_pickle(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out) {
    imp_pickle pickle;
    int32_t system, root, keys;
    int status;

    imp_pickle_open(&pickle, context, bytes, length);
    status = check_magic(&pickle);
    /* The system's byte order does not matter: PyTorch writes the numbers of this form little-endian everywhere. */
    if (status == IMP_OK) status = imp_pickle_load(&pickle, &system);
    if (status == IMP_OK) status = imp_pickle_load(&pickle, &root);
    if (status == IMP_OK) status = imp_state_dict_collect(&pickle, root, out);
    if (status == IMP_OK) status = imp_pickle_load(&pickle, &keys);
    if (status == IMP_OK) status = read_numbers(&pickle, keys, out);
    imp_pickle_close(&pickle);
    return status;
}
