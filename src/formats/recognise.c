/* What a file is, by its content: the formats that are read here, and words for those that people bring by mistake. */
#include "formats/recognise.h"

#include <ctype.h>
#include <string.h>

#define ANYWHERE_LIMIT 512 /* leading white space that is skipped before a page's first tag */

typedef struct signature {
    size_t offset;
    const char *bytes;
    size_t length;
    const char *words;
} signature;

#define BYTES(text) text, sizeof(text) - 1

static const signature signatures[] = {
    {0, BYTES("version https://git-lfs"),
     "a Git LFS pointer, not the model itself: run \"git lfs pull\", or download the file from its page"},
    {0, BYTES("\x89HDF\r\n\x1a\n"),
     "an HDF5 file (Keras, TensorFlow), which is not read; use the weights of PyTorch or safetensors"},
    {0, BYTES("MATLAB 5.0 MAT-file"),
     "a MATLAB file (MatConvNet), which is not read; use the weights of PyTorch or safetensors"},
    {257, BYTES("ustar"),
     "a tar archive (torch.save wrote such before 2017); load it with PyTorch and save its state dict again"},
    {0, BYTES("\x1f\x8b"), "compressed with gzip: unpack it first"},
    {0, BYTES("BZh"), "compressed with bzip2: unpack it first"},
    {0, BYTES("\xfd\x37zXZ"), "compressed with xz: unpack it first"},
    {0, BYTES("\x28\xb5\x2f\xfd"), "compressed with zstd: unpack it first"},
    {0, BYTES("7z\xbc\xaf\x27\x1c"), "a 7z archive: unpack it first"},
    {0, BYTES("\x93NUMPY"), "a NumPy array, not the weights of a network"},
    {0, BYTES("GGUF"), "a GGUF file, which is not read"},
    {4, BYTES("TFL3"), "a TensorFlow Lite model, which is not read"},
    {0, BYTES("\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1"), "a Torch7 (Lua) file, which is not read"},
    {0, BYTES("\xff\xd8\xff"), "a JPEG picture, not a model"},
    {0, BYTES("\x89PNG"), "a PNG picture, not a model"},
    {0, BYTES("%PDF"), "a PDF document, not a model"},
};

static int has_signature(const uint8_t *bytes, size_t length, const signature *one) {
    return length >= one->offset + one->length && memcmp(bytes + one->offset, one->bytes, one->length) == 0;
}

/* An error page, a login page or a repository's page saved under the model's name. */
static int is_page(const uint8_t *bytes, size_t length) {
    static const char *const tags[] = {"<!doctype", "<html", "<head", "<?xml", "<!--", "<script"};
    size_t start = length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    while (start < length && start < ANYWHERE_LIMIT && isspace(bytes[start])) start++;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        size_t size = strlen(tags[i]);
        if (length - start >= size && strncasecmp((const char *)bytes + start, tags[i], size) == 0) return 1;
    }
    return 0;
}

/* Protocol buffers have no signature. An ONNX ModelProto begins with field 1, a small number,
   then a text or message. */
static int is_onnx(const uint8_t *bytes, size_t length) {
    return length > 3 && bytes[0] == 0x08 && bytes[1] > 0 && bytes[1] < 32 &&
           (bytes[2] == 0x12 || bytes[2] == 0x1a || bytes[2] == 0x22 || bytes[2] == 0x3a || bytes[2] == 0x42);
}

/* Caffe's NetParameter begins with field 1, a printable name, then input (3), layers (2) or layer (100). */
static int is_caffe(const uint8_t *bytes, size_t length) {
    size_t size = length > 2 ? bytes[1] : 0;

    if (size == 0 || size > 100 || bytes[0] != 0x0a || length < size + 4) return 0;
    for (size_t i = 0; i < size; i++)
        if (!isprint(bytes[2 + i])) return 0;
    return bytes[2 + size] == 0x12 || bytes[2 + size] == 0x1a || (bytes[2 + size] == 0xa2 && bytes[3 + size] == 0x06);
}

static int is_text(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length && i < ANYWHERE_LIMIT; i++)
        if (bytes[i] < ' ' && !isspace(bytes[i])) return 0;
    return 1;
}

static int is_ascii(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (bytes[i] >= 128) return 0;
    return is_text(bytes, length);
}

/* "c" + module + line end: the first opcode of a pickle without a header. */
static int begins_with_global(const uint8_t *bytes, size_t length) {
    size_t i = 1;

    if (length < 4 || bytes[0] != 'c') return 0;
    while (i < length && (isalnum(bytes[i]) || bytes[i] == '_' || bytes[i] == '.')) i++;
    return i > 1 && i < length && bytes[i] == '\n';
}

/* A length below 2^32, which may begin as a pickle does, then JSON. */
static int is_safetensors(const uint8_t *bytes, size_t length) {
    static const uint8_t zeros[4];
    return length > 8 && bytes[8] == '{' && memcmp(bytes + 4, zeros, sizeof zeros) == 0;
}

imp_file_kind imp_recognise(const uint8_t *bytes, size_t length) {
    if (is_safetensors(bytes, length)) return IMP_FILE_SAFETENSORS;
    if (length >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) return IMP_FILE_ZIP;
    if (length >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5) return IMP_FILE_PICKLE;
    if (begins_with_global(bytes, length)) return IMP_FILE_PICKLE;
    if (length > 8 && bytes[8] == '{' && !is_ascii(bytes, 8)) return IMP_FILE_SAFETENSORS; /* a length, then JSON */
    return IMP_FILE_OTHER;
}

static const char *describe(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (has_signature(bytes, length, &signatures[i])) return signatures[i].words;
    if (is_page(bytes, length)) return "a web page, not a model: the download gave an error or a page about the file";
    if (is_onnx(bytes, length)) return "an ONNX model, which is not read; use the weights of PyTorch or safetensors";
    if (is_caffe(bytes, length))
        return "a Caffe model, which is not read; use the same weights converted to PyTorch or safetensors";
    if (is_text(bytes, length)) return "a text file, not a model";
    return "neither safetensors nor a file of torch.save, the two kinds of model files that are read";
}

int imp_recognise_fail(imp_context *context, const uint8_t *bytes, size_t length) {
    if (length == 0) return imp_fail(context, IMP_ERR_FORMAT, "the file is empty");
    return imp_fail(context, IMP_ERR_FORMAT, "%s", describe(bytes, length));
}
