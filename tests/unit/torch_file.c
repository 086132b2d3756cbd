/* Files as torch.save writes them, made byte by byte. */
#include "torch_file.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

void put(bytes *out, const void *data, size_t length) {
    if (out->length + length > out->room) {
        out->room = 2 * (out->length + length) + 64;
        out->at = realloc(out->at, out->room);
        if (!out->at) abort();
    }
    if (length) memcpy(out->at + out->length, data, length);
    out->length += length;
}

void put_text(bytes *out, const char *text) {
    put(out, text, strlen(text));
}

void put_number(bytes *out, uint64_t number, int size) {
    for (int i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(i < 8 ? number >> (8 * i) : 0);
        put(out, &byte, 1);
    }
}

void bytes_free(bytes *all) {
    free(all->at);
    *all = (bytes){0};
}

/* What the local header and the directory's entry share. */
static void put_record(bytes *out, const char *name, uint32_t sum, size_t length) {
    put_number(out, 0, 2); /* flags */
    put_number(out, 0, 2); /* stored */
    put_number(out, 0, 4); /* time */
    put_number(out, sum, 4);
    put_number(out, length, 4);
    put_number(out, length, 4);
    put_number(out, strlen(name), 2);
    put_number(out, 0, 2); /* extra */
}

void zip_add(zip_writer *zip, const char *name, const void *data, size_t length) {
    uint32_t sum = (uint32_t)crc32(crc32(0, NULL, 0), data, (uInt)length);
    size_t at = zip->file.length;

    put(&zip->file, "PK\3\4\x14\0", 6);
    put_record(&zip->file, name, sum, length);
    put_text(&zip->file, name);
    put(&zip->file, data, length);
    put(&zip->directory, "PK\1\2\x14\0\x14\0", 8);
    put_record(&zip->directory, name, sum, length);
    put_number(&zip->directory, 0, 2 + 2 + 2 + 4); /* comment, disk, attributes */
    put_number(&zip->directory, at, 4);
    put_text(&zip->directory, name);
    zip->count++;
}

void zip_end(zip_writer *zip, int zip64) {
    size_t directory = zip->file.length, size = zip->directory.length, end;

    put(&zip->file, zip->directory.at, size);
    bytes_free(&zip->directory);
    end = zip->file.length;
    if (zip64) {
        put(&zip->file, "PK\6\6", 4);
        put_number(&zip->file, 44, 8); /* what follows of this record */
        put_number(&zip->file, 45, 2);
        put_number(&zip->file, 45, 2);
        put_number(&zip->file, 0, 8); /* disks */
        put_number(&zip->file, (uint64_t)zip->count, 8);
        put_number(&zip->file, (uint64_t)zip->count, 8);
        put_number(&zip->file, size, 8);
        put_number(&zip->file, directory, 8);
        put(&zip->file, "PK\6\7\0\0\0\0", 8);
        put_number(&zip->file, end, 8);
        put_number(&zip->file, 1, 4);
    }
    put(&zip->file, "PK\5\6\0\0\0\0", 8);
    put_number(&zip->file, zip64 ? 0xffff : (uint64_t)zip->count, 2);
    put_number(&zip->file, zip64 ? 0xffff : (uint64_t)zip->count, 2);
    put_number(&zip->file, zip64 ? 0xffffffff : size, 4);
    put_number(&zip->file, zip64 ? 0xffffffff : directory, 4);
    put_number(&zip->file, 0, 2);
}

void pickle_begin(bytes *out) {
    put(out, "\x80\2", 2);
}

void pickle_string(bytes *out, const char *text) {
    put(out, "X", 1);
    put_number(out, strlen(text), 4);
    put_text(out, text);
}

void pickle_integer(bytes *out, int64_t number) {
    put(out, "\x8a\x08", 2);
    put_number(out, (uint64_t)number, 8);
}

void pickle_global(bytes *out, const char *module, const char *name) {
    put(out, "c", 1);
    put_text(out, module);
    put(out, "\n", 1);
    put_text(out, name);
    put(out, "\n", 1);
}

void pickle_sizes(bytes *out, const int64_t *sizes, int count) {
    put(out, "(", 1);
    for (int i = 0; i < count; i++) pickle_integer(out, sizes[i]);
    put(out, "t", 1);
}

void pickle_tensor(bytes *out, const tensor_spec *tensor) {
    pickle_global(out, "torch._utils", "_rebuild_tensor_v2");
    put(out, "((", 2);
    pickle_string(out, "storage");
    pickle_global(out, "torch", tensor->kind);
    pickle_string(out, tensor->storage);
    pickle_string(out, "cpu");
    pickle_integer(out, tensor->storage_count);
    put(out, "tQ", 2);
    pickle_integer(out, tensor->offset);
    pickle_sizes(out, tensor->shape, tensor->dimensions);
    pickle_sizes(out, tensor->stride, tensor->dimensions);
    put(out, "\x89", 1); /* False: needs no gradient */
    pickle_global(out, "collections", "OrderedDict");
    put(out, ")RtR", 4);
}

void pickle_state_dict(bytes *out, const tensor_spec *tensors, int count, const char *wrapper) {
    pickle_begin(out);
    if (wrapper) {
        put(out, "}(", 2);
        pickle_string(out, "epoch");
        pickle_integer(out, 3);
        pickle_string(out, wrapper);
    }
    pickle_global(out, "collections", "OrderedDict");
    put(out, ")R(", 3);
    for (int i = 0; i < count; i++) {
        pickle_string(out, tensors[i].name);
        pickle_tensor(out, &tensors[i]);
    }
    put(out, "u", 1);
    if (wrapper) put(out, "u", 1);
    put(out, ".", 1);
}

void torch_zip(bytes *out, const bytes *pickle, const storage_spec *storages, int count, const char *byte_order,
               int zip64) {
    zip_writer zip = {0};

    zip_add(&zip, "archive/data.pkl", pickle->at, pickle->length);
    if (byte_order) zip_add(&zip, "archive/byteorder", byte_order, strlen(byte_order));
    for (int i = 0; i < count; i++) {
        char name[64] = "archive/data/";
        strncat(name, storages[i].key, sizeof name - strlen(name) - 1);
        zip_add(&zip, name, storages[i].data, storages[i].length);
    }
    zip_add(&zip, "archive/version", "3\n", 2);
    zip_end(&zip, zip64);
    *out = zip.file;
}

void torch_old(bytes *out, const bytes *pickle, const storage_spec *storages, int count) {
    put(out, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    put(out, "\x80\2M\xe9\x03.", 6); /* protocol 1001 */
    put(out, "\x80\2}.", 4);         /* of the system */
    put(out, pickle->at, pickle->length);
    put(out, "\x80\2](", 4);
    for (int i = 0; i < count; i++) pickle_string(out, storages[i].key);
    put(out, "e.", 2);
    for (int i = 0; i < count; i++) {
        put_number(out, storages[i].count, 8);
        put(out, storages[i].data, storages[i].length);
    }
}

void torch_small(bytes *file, int old) {
    static const float numbers[4] = {1, 2, 3, 4};
    tensor_spec tensors[] = {{"a", "FloatStorage", "0", 4, 0, 2, {2, 2}, {1, 2}},
                             {"b", "FloatStorage", "1", 4, 0, 1, {4}, {1}}};
    storage_spec storages[] = {{"0", numbers, sizeof numbers, 4}, {"1", numbers, sizeof numbers, 4}};
    bytes pickle = {0};

    pickle_state_dict(&pickle, tensors, 2, "state_dict");
    if (old)
        torch_old(file, &pickle, storages, 2);
    else
        torch_zip(file, &pickle, storages, 2, "little", 0);
    bytes_free(&pickle);
}
