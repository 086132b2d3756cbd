/* Photos, paintings and outputs that belong together: from arguments, folders, lists. */
#include "cli/triples.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/csv.h"
#include "cli/models_folder.h"
#include "cli/options.h"
#include "cli/pictures.h"
#include "cli/report.h"
#include "cli/system.h"

#define FIRST_ROOM 16 /* triples for which memory is taken at first; it doubles */

static int fail_memory(void) {
    return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
}

void imp_cli_triples_free(imp_cli_triples *triples) {
    for (int i = 0; i < triples->count; i++) {
        imp_cli_triple *triple = &triples->items[i];
        char *owned[] = {triple->photo, triple->style, triple->output, triple->label};
        for (size_t j = 0; j < sizeof owned / sizeof owned[0]; j++) free(owned[j]);
    }
    free(triples->items);
    *triples = (imp_cli_triples){0};
}

static int add(imp_cli_triples *triples, const char *photo, const char *style, const char *output, const char *label) {
    int count = triples->count;
    if (count == 0 || (count >= FIRST_ROOM && (count & (count - 1)) == 0)) { /* at powers of two */
        size_t room = count ? 2 * (size_t)count : FIRST_ROOM;
        imp_cli_triple *items = realloc(triples->items, room * sizeof *items);
        if (!items) return fail_memory();
        triples->items = items;
    }
    imp_cli_triple *triple = &triples->items[triples->count++];
    *triple = (imp_cli_triple){strdup(photo), strdup(style), strdup(output), strdup(label)};
    return triple->photo && triple->style && triple->output && triple->label ? 0 : fail_memory();
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

static int is_picture(const struct dirent *entry) {
    return imp_cli_is_picture_name(entry->d_name);
}

/* The pictures of a folder in the order of their names; *count -1 with the failure said. */
static struct dirent **list_pictures(const char *folder, int *count) {
    struct dirent **entries = NULL;
    *count = scandir(folder, &entries, is_picture, alphasort);
    if (*count < 0) imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", folder, strerror(errno));
    return entries;
}

static void free_pictures(struct dirent **entries, int count) {
    for (int i = 0; i < count; i++) free(entries[i]);
    if (count >= 0) free(entries);
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t stem_length(const char *name) {
    const char *ending = strrchr(name, '.');
    return ending && ending != name ? (size_t)(ending - name) : strlen(name);
}

static bool join(char path[IMP_CLI_PATH], const char *folder, const char *name) {
    const char *between = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return snprintf(path, IMP_CLI_PATH, "%s%s%s", folder, between, name) < IMP_CLI_PATH;
}

/* given, or where that is a folder the picture in it that has output's name; *missing where there is none. */
static int find_partner(const char *given, const char *output, char path[IMP_CLI_PATH], bool *missing) {
    if (!imp_cli_is_folder(given)) {
        if (snprintf(path, IMP_CLI_PATH, "%s", given) < IMP_CLI_PATH) return 0;
        return imp_cli_fail(IMP_CLI_USAGE, "the path %s is too long", given);
    }
    int count;
    struct dirent **entries = list_pictures(given, &count);
    if (count < 0) return IMP_CLI_FAILURE;
    const char *name = name_of(output);
    size_t length = stem_length(name);
    int i = 0;
    while (i < count && !(stem_length(entries[i]->d_name) == length && strncmp(entries[i]->d_name, name, length) == 0))
        i++;
    *missing = i == count || !join(path, given, entries[i]->d_name);
    free_pictures(entries, count);
    if (*missing) imp_cli_fail(IMP_CLI_FAILURE, "%s: there is no picture of that name in %s", output, given);
    return 0;
}

static int add_output(imp_cli_triples *triples, const char *photo, const char *style, const char *output,
                      const char *label) {
    char own_photo[IMP_CLI_PATH], own_style[IMP_CLI_PATH];
    bool missing = false;
    int code = find_partner(photo, output, own_photo, &missing);
    if (!code && !missing) code = find_partner(style, output, own_style, &missing);
    if (code) return code;
    if (!missing) return add(triples, own_photo, own_style, output, label);
    triples->missing++;
    return 0;
}

static int add_folder(imp_cli_triples *triples, const char *photo, const char *style, const char *folder) {
    char label[IMP_CLI_PATH], output[IMP_CLI_PATH];
    int count, code = 0;
    struct dirent **entries = list_pictures(folder, &count);
    if (count < 0) return IMP_CLI_FAILURE;
    if (count == 0) code = imp_cli_fail(IMP_CLI_USAGE, "%s: there are no pictures in this folder", folder);
    snprintf(label, sizeof label, "%s", folder);
    for (size_t end = strlen(label); end > 1 && label[end - 1] == '/'; end--) label[end - 1] = '\0';
    for (int i = 0; i < count && !code; i++) {
        if (join(output, folder, entries[i]->d_name))
            code = add_output(triples, photo, style, output, name_of(label));
        else
            code = imp_cli_fail(IMP_CLI_USAGE, "the path %s/%s is too long", folder, entries[i]->d_name);
    }
    free_pictures(entries, count);
    return code;
}

int imp_cli_triples_from_outputs(imp_cli_triples *triples, char **outputs, int count, const char *photo,
                                 const char *style) {
    int code = 0;
    for (int i = 0; i < count && !code; i++)
        code = imp_cli_is_folder(outputs[i]) ? add_folder(triples, photo, style, outputs[i])
                                             : add_output(triples, photo, style, outputs[i], "");
    return code;
}

/* ---- Lists ------------------------------------------------------------------------------------------------------- */

enum { PHOTO, STYLE, OUTPUT, LABEL, COLUMNS };
static const char *const column_names[] = {"photo", "style", "output", "label", NULL};

static const char *column_at(int index) {
    return column_names[index];
}

/* places: of each column in the file's records; -1: it is not there. */
static int read_header(imp_cli_csv *csv, int places[COLUMNS], int *fields_each) {
    char *fields[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) places[i] = -1;
    *fields_each = imp_cli_csv_next(csv, fields, COLUMNS);
    if (*fields_each < 0) return IMP_CLI_FAILURE;
    for (int i = 0; i < *fields_each; i++) {
        int column = 0;
        while (column < COLUMNS && strcmp(fields[i], column_names[column]) != 0) column++;
        if (column == COLUMNS) {
            const char *nearest = imp_cli_nearest(fields[i], column_at);
            return imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: there is no column '%s'; %s%s%s", csv->path, csv->line,
                                fields[i], nearest ? "did you mean '" : "there are photo, style, output, label",
                                nearest ? nearest : "", nearest ? "'?" : "");
        }
        if (places[column] >= 0)
            return imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: the column %s stands twice", csv->path, csv->line,
                                column_names[column]);
        places[column] = i;
    }
    for (int i = 0; i < LABEL; i++)
        if (places[i] < 0)
            return imp_cli_fail(IMP_CLI_FAILURE,
                                "%s: its first line has no column %s; it names the columns: photo,style,output,label",
                                csv->path, column_names[i]);
    return 0;
}

/* A path of the list, seen from where it lies. */
static bool from_folder(const imp_cli_csv *csv, const char *path, char whole[IMP_CLI_PATH]) {
    int folder = path[0] == '/' ? 0 : (int)(name_of(csv->path) - csv->path);
    return snprintf(whole, IMP_CLI_PATH, "%.*s%s", folder, csv->path, path) < IMP_CLI_PATH;
}

static int add_record(imp_cli_triples *triples, const imp_cli_csv *csv, char **fields, const int places[COLUMNS]) {
    char paths[LABEL][IMP_CLI_PATH];
    for (int i = 0; i < LABEL; i++) {
        if (fields[places[i]][0] == '\0')
            return imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: the %s is empty", csv->path, csv->line, column_names[i]);
        if (!from_folder(csv, fields[places[i]], paths[i]))
            return imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: the path of the %s is too long", csv->path, csv->line,
                                column_names[i]);
    }
    return add(triples, paths[PHOTO], paths[STYLE], paths[OUTPUT], places[LABEL] < 0 ? "" : fields[places[LABEL]]);
}

static int read_records(imp_cli_triples *triples, imp_cli_csv *csv) {
    int places[COLUMNS], each;
    char *fields[COLUMNS];
    int code = read_header(csv, places, &each);
    while (!code) {
        int count = imp_cli_csv_next(csv, fields, COLUMNS);
        if (count == 0) break;
        if (count < 0)
            code = IMP_CLI_FAILURE;
        else if (count != each)
            code = imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: %d fields, and the first line names %d", csv->path,
                                csv->line, count, each);
        else
            code = add_record(triples, csv, fields, places);
    }
    if (!code && triples->count == 0) code = imp_cli_fail(IMP_CLI_FAILURE, "%s: the list is empty", csv->path);
    return code;
}

int imp_cli_triples_from_list(imp_cli_triples *triples, const char *path) {
    imp_cli_csv csv;
    int code = imp_cli_csv_open(path, &csv);
    if (code) return code;
    code = read_records(triples, &csv);
    imp_cli_csv_close(&csv);
    return code;
}
