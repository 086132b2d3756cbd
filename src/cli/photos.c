/* The photos that a command is given: outputs, sizes, which go together. */
#include "cli/photos.h"

#include <string.h>
#include <strings.h>

#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

bool imp_cli_is_output_folder(const char *output, int count) {
    size_t length = strlen(output);
    return count > 1 || imp_cli_is_folder(output) || (length > 0 && output[length - 1] == '/');
}

bool imp_cli_takes_16_bits(const char *path) {
    const char *ending = strrchr(path, '.');
    return ending &&
           (strcasecmp(ending, ".png") == 0 || strcasecmp(ending, ".tif") == 0 || strcasecmp(ending, ".tiff") == 0);
}

/* folder/name of the photo. */
static int name_in_folder(imp_context *context, imp_cli_photo *photo, const char *folder, bool deep) {
    const char *slash = strrchr(photo->path, '/'), *name = slash ? slash + 1 : photo->path;
    const char *between = folder[strlen(folder) - 1] == '/' ? "" : "/", *ending = strrchr(name, '.');
    int stem = ending ? (int)(ending - name) : (int)strlen(name);
    size_t room = sizeof photo->output;
    bool fits = snprintf(photo->output, room, "%s%s%s", folder, between, name) < (int)room;
    if (fits &&
        (imp_picture_can_write(context, photo->output) != IMP_OK || (deep && !imp_cli_takes_16_bits(photo->output))))
        fits = snprintf(photo->output, room, "%s%s%.*s.png", folder, between, stem, name) < (int)room;
    return fits ? 0 : imp_cli_fail(IMP_CLI_USAGE, "-o: the path for %s is too long", photo->path);
}

/* Against those before it, and against all photos. */
static int check_output(imp_context *context, const imp_cli_photo *photos, int count, int index) {
    const char *output = photos[index].output;
    for (int i = 0; i < index; i++)
        if (strcmp(photos[i].output, output) == 0)
            return imp_cli_fail(IMP_CLI_USAGE, "-o: %s and %s would both be written to %s; paint one of them by itself",
                                photos[i].path, photos[index].path, output);
    for (int i = 0; i < count && imp_cli_is_file(output); i++)
        if (imp_cli_same_file(output, photos[i].path))
            return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is the photo itself; give another name", output);
    int status = imp_picture_can_write(context, output);
    return status ? imp_cli_fail_status(context, status) : 0;
}

int imp_cli_name_outputs(imp_context *context, imp_cli_photo *photos, int count, const char *output, bool deep) {
    bool folder = imp_cli_is_output_folder(output, count);
    int code = 0;
    if (folder && !imp_cli_is_folder(output))
        return imp_cli_fail(IMP_CLI_USAGE, "-o: there is no folder %s%s; make it first", output,
                            count > 1 ? ", which several photos need" : "");
    for (int i = 0; i < count && !code; i++) {
        if (folder)
            code = name_in_folder(context, &photos[i], output, deep);
        else if (snprintf(photos[i].output, sizeof photos[i].output, "%s", output) >= (int)sizeof photos[i].output)
            code = imp_cli_fail(IMP_CLI_USAGE, "-o: the path is too long");
        if (!code) code = check_output(context, photos, count, i);
    }
    return code;
}

int imp_cli_find_sizes(imp_context *context, imp_cli_photo *photos, int count, const imp_painting_options *options) {
    int code = 0;
    for (int i = 0; i < count; i++) {
        imp_cli_photo *photo = &photos[i];
        int width, height;
        int status = imp_picture_size(context, photo->path, &width, &height);
        if (!status) status = imp_painting_size(context, width, height, options, &photo->width, &photo->height);
        if (!status) continue;
        photo->taken = true;
        int failure = imp_cli_fail_status(context, status);
        if (!code) code = failure;
    }
    return code;
}

int imp_cli_next_photo(const imp_cli_photo *photos, int count, int index, const imp_cli_photo *size) {
    for (; index < count; index++) {
        const imp_cli_photo *photo = &photos[index];
        if (!photo->taken && (!size || (photo->width == size->width && photo->height == size->height))) break;
    }
    return index;
}
