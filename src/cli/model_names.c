/* The names by which the models in a folder are known. */
#include "cli/model_names.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "cli/models_folder.h"
#include "impasto.h"

static int is_model_name(const struct dirent *entry) {
    const size_t ending = strlen(IMP_CLI_MODEL_ENDING), length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > ending &&
           strcmp(entry->d_name + length - ending, IMP_CLI_MODEL_ENDING) == 0;
}

static bool add_name(imp_cli_model_names *list, const char *file) {
    char *name = strndup(file, strlen(file) - strlen(IMP_CLI_MODEL_ENDING));
    if (!name) return false;
    list->names[list->count++] = name;
    return true;
}

/* Room for that many more; false without memory. */
static bool reserve(imp_cli_model_names *list, int more) {
    char **grown = realloc(list->names, (size_t)(list->count + more) * sizeof *grown);
    if (grown) list->names = grown;
    return grown != NULL;
}

bool imp_cli_model_names_add(imp_cli_model_names *list, const char *folder) {
    struct dirent **entries;
    int found = scandir(folder, &entries, is_model_name, alphasort);
    if (found < 0) return true;
    bool added = found == 0 || reserve(list, found);
    for (int i = 0; i < found; i++) {
        added = added && add_name(list, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return added;
}

void imp_cli_model_names_free(imp_cli_model_names *list) {
    for (int i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
    *list = (imp_cli_model_names){0};
}

static const char *name_at(const void *user, int index) {
    const imp_cli_model_names *list = user;
    return index < list->count ? list->names[index] : NULL;
}

const char *imp_cli_model_names_nearest(const imp_cli_model_names *list, const char *word) {
    return imp_nearest_name(word, name_at, list);
}
