/* Where model files are, and how a name or a path becomes an open model. */
#include "cli/models_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/model_names.h"
#include "cli/report.h"
#include "cli/system.h"

#define DEFAULT_MODEL "vgg19"

/* False when the whole does not fit. */
__attribute__((format(printf, 2, 3))) static bool join(char path[IMP_CLI_PATH], const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(path, IMP_CLI_PATH, format, values);
    va_end(values);
    return length >= 0 && length < IMP_CLI_PATH;
}

bool imp_cli_models_home(char folder[IMP_CLI_PATH]) {
    const char *own = getenv("IMPASTO_MODELS"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (own && *own) return join(folder, "%s", own);
    /* The XDG specification has relative paths ignored. */
    if (data && *data == '/') return join(folder, "%s/impasto/models", data);
    return home && *home && join(folder, "%s/.local/share/impasto/models", home);
}

bool imp_cli_models_folder(int index, char folder[IMP_CLI_PATH]) {
    char program[IMP_CLI_PATH];
    int homes = imp_cli_models_home(folder) ? 1 : 0;
    if (index < homes) return true;
    if (!imp_cli_program_folder(program, sizeof program)) return false;
    if (index == homes) return join(folder, "%s/../share/impasto/models", program); /* of an installed one */
    return index == homes + 1 && join(folder, "%s/models", program); /* of one that lies where it was built */
}

bool imp_cli_make_folder(const char *folder) {
    char path[IMP_CLI_PATH];
    if (!join(path, "%s", folder)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST) return false;
        *at = '/';
    }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

/* Says that there is no model of that name, where it was looked for, and which one may have been meant. */
static int unknown_model(const char *name, const char *home) {
    imp_cli_model_names installed = {0};
    char folder[IMP_CLI_PATH], hint[NAME_MAX + 32] = "see 'impasto model list'";
    /* Without memory for all of them those that it has are compared. */
    for (int i = 0; imp_cli_models_folder(i, folder); i++) imp_cli_model_names_add(&installed, folder);
    const char *nearest = imp_cli_model_names_nearest(&installed, name);
    if (nearest) snprintf(hint, sizeof hint, "did you mean '%s'?", nearest);
    imp_cli_model_names_free(&installed);
    return imp_cli_fail(IMP_CLI_FAILURE,
                        "there is no model '%s', neither as a file nor in %s nor beside the program; %s", name, home,
                        hint);
}

int imp_cli_find_model(const char *model, char path[IMP_CLI_PATH]) {
    const char *name = model ? model : DEFAULT_MODEL;
    char folder[IMP_CLI_PATH], first[IMP_CLI_PATH] = "";
    if (strchr(name, '/') || (model && imp_cli_is_file(name))) {
        if (join(path, "%s", name)) return 0;
        return imp_cli_fail(IMP_CLI_FAILURE, "--model: the path is too long");
    }
    for (int i = 0; imp_cli_models_folder(i, folder); i++) {
        if (i == 0) memcpy(first, folder, sizeof first);
        if (join(path, "%s/%s" IMP_CLI_MODEL_ENDING, folder, name) && imp_cli_is_file(path)) return 0;
    }
    if (!model)
        return imp_cli_fail(IMP_CLI_FAILURE,
                            "there is no " DEFAULT_MODEL
                            " model in %s: 'make demo' in Impasto's source fetches and imports "
                            "the weights, 'impasto model import FILE' imports a file of your own",
                            first);
    return unknown_model(name, first);
}

int imp_cli_open_model(imp_context *context, const char *model, imp_model **opened) {
    char path[IMP_CLI_PATH];
    *opened = NULL;
    int code = imp_cli_find_model(model, path);
    if (code) return code;
    int status = imp_model_open(context, path, opened);
    return status ? imp_cli_fail_status(context, status) : 0;
}

size_t imp_cli_limit_beside(const imp_model *model, size_t limit) {
    /* Code and stacks, weights that are packed while painting, and what malloc does not give back. A fixed number and
       not what is measured, because the limit decides how strips are cut, and so the last bits of the picture. */
    const uint64_t program = 24u << 20;
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    uint64_t taken = info.parameter_count * sizeof(float) + program;
    return limit > taken ? (size_t)(limit - taken) : 1; /* 0 would be no limit */
}
