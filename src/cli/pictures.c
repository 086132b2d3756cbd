/* Finds and reads the pictures that a training learns on. */
#include "cli/pictures.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

#define MOST_PICTURES 10000000

bool imp_cli_path_beside(const char *base, const char *name, char path[IMP_CLI_PATH]) {
    int length = name[0] == '/' || !base[0] ? snprintf(path, IMP_CLI_PATH, "%s", name)
                                            : snprintf(path, IMP_CLI_PATH, "%s/%s", base, name);
    return length >= 0 && length < IMP_CLI_PATH;
}

bool imp_cli_is_picture_name(const char *name) {
    static const char *const endings[] = {".jpg",  ".jpeg", ".png",  ".webp", ".tif",
                                          ".tiff", ".avif", ".heic", ".heif", ".gif"};
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && ending != name && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(ending, endings[i]) == 0) return true;
    return false;
}

/* ---- Listing ----------------------------------------------------------------------------------------------------- */

static int fail_list(const imp_cli_pictures *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says what is wrong with a list, and who named it. */
static int fail_list(const imp_cli_pictures *list, const char *format, ...) {
    char words[IMP_CLI_PATH + 128];
    va_list values;
    va_start(values, format);
    vsnprintf(words, sizeof words, format, values);
    va_end(values);
    return imp_cli_fail(IMP_CLI_FAILURE, "%s, %s: %s", list->recipe, list->key, words);
}

/* Adds folder/name, of that line. Returns 0 or the exit code. */
static int add_path(imp_cli_pictures *list, const char *folder, const char *name, int line, int *room) {
    char path[IMP_CLI_PATH];
    if (!imp_cli_path_beside(folder, name, path))
        return fail_list(list, "%s: the path of a picture is too long", folder);
    if (list->count == MOST_PICTURES) return fail_list(list, "%s: more than %d pictures", folder, MOST_PICTURES);
    if (list->count == *room) {
        *room = *room ? 2 * *room : 256;
        imp_cli_listed *grown = realloc(list->listed, (size_t)*room * sizeof *grown);
        if (!grown) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
        list->listed = grown;
    }
    list->listed[list->count] = (imp_cli_listed){strdup(path), line};
    return list->listed[list->count++].path ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(((const imp_cli_listed *)a)->path, ((const imp_cli_listed *)b)->path);
}

static int list_folder(imp_cli_pictures *list, const char *path) {
    DIR *folder = opendir(path);
    int room = 0, code = 0;
    if (!folder) return fail_list(list, "%s: %s", path, strerror(errno));
    while (!code) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno) code = fail_list(list, "%s: %s", path, strerror(errno));
        if (!entry) break;
        if (imp_cli_is_picture_name(entry->d_name)) code = add_path(list, path, entry->d_name, 0, &room);
    }
    closedir(folder);
    if (!code && list->count > 0) qsort(list->listed, (size_t)list->count, sizeof *list->listed, compare_paths);
    return code;
}

static int list_file(imp_cli_pictures *list, const char *path) {
    FILE *stream = fopen(path, "r");
    char folder[IMP_CLI_PATH], line[IMP_CLI_PATH];
    int room = 0, code = 0;
    if (!stream) return fail_list(list, "%s: %s", path, strerror(errno));
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    if (!(list->file = strdup(path))) code = imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    for (int number = 1; !code && fgets(line, sizeof line, stream); number++) {
        if (!strchr(line, '\n') && !feof(stream)) {
            code = fail_list(list, "%s, line %d: longer than a path may be", path, number);
            break;
        }
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0]) code = add_path(list, folder, line, number, &room);
    }
    if (!code && ferror(stream)) code = fail_list(list, "%s: %s", path, strerror(errno));
    fclose(stream);
    return code;
}

int imp_cli_pictures_list(const char *base, const char *source, const char *recipe, const char *key,
                          imp_cli_pictures *list) {
    char path[IMP_CLI_PATH];
    *list = (imp_cli_pictures){.recipe = recipe, .mutex = PTHREAD_MUTEX_INITIALIZER};
    snprintf(list->key, sizeof list->key, "%s", key);
    if (!imp_cli_path_beside(base, source, path)) return fail_list(list, "the path is too long");
    int code = imp_cli_is_folder(path) ? list_folder(list, path) : list_file(list, path);
    if (!code && list->count == 0) code = fail_list(list, "%s: there is no picture in it", path);
    if (!code && !(list->bad = calloc((size_t)list->count, sizeof *list->bad)))
        code = imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    if (code) imp_cli_pictures_free(list);
    return code;
}

void imp_cli_pictures_free(imp_cli_pictures *list) {
    for (int i = 0; i < list->count; i++) free(list->listed[i].path);
    free(list->listed);
    free(list->file);
    free(list->bad);
    free(list->told);
    free(list->failed);
    *list = (imp_cli_pictures){0};
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

/* words, which name the picture at index, behind the places that name it: "r.json, data.sources[0].pictures: list.txt,
   line 3: ". NULL without memory. */
static char *place_words(const imp_cli_pictures *list, int index, const char *words) {
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    if (!memory) return NULL;
    fprintf(memory, "%s, %s: ", list->recipe, list->key);
    if (list->file) fprintf(memory, "%s, line %d: ", list->file, list->listed[index].line);
    fputs(words, memory);
    bool failed = ferror(memory);
    if (fclose(memory) != 0 || failed) {
        free(text);
        return NULL;
    }
    for (char *at = text; (at = strchr(at, '\n'));) *at = '?'; /* of a path: what is told is a line each */
    return text;
}

static bool is_bad(imp_cli_pictures *list, int index) {
    pthread_mutex_lock(&list->mutex);
    bool bad = list->bad[index];
    pthread_mutex_unlock(&list->mutex);
    return bad;
}

/* Once for each picture: two threads may find out at the same time. */
static void mark_bad(imp_cli_pictures *list, int index, const char *words) {
    pthread_mutex_lock(&list->mutex);
    if (!list->bad[index]) {
        list->bad[index] = true;
        char *line = place_words(list, index, words);
        size_t used = list->told ? strlen(list->told) : 0, bytes = line ? strlen(line) + 2 : 0;
        char *grown = line ? realloc(list->told, used + bytes) : NULL;
        if (grown) {
            list->told = grown;
            snprintf(grown + used, bytes, "%s\n", line);
        }
        free(line);
    }
    pthread_mutex_unlock(&list->mutex);
}

/* Another picture would not do: that this one is too large is not its fault. */
static void keep_failure(imp_cli_pictures *list, int index, const char *words) {
    pthread_mutex_lock(&list->mutex);
    if (!list->failed) list->failed = place_words(list, index, words);
    pthread_mutex_unlock(&list->mutex);
}

const char *imp_cli_pictures_failure(imp_cli_pictures *list) {
    if (list->count == 0) return NULL;
    pthread_mutex_lock(&list->mutex);
    const char *words = list->failed; /* the first one stays */
    pthread_mutex_unlock(&list->mutex);
    return words;
}

int imp_cli_pictures_read(imp_cli_pictures *list, imp_context *context, int index, imp_image *image) {
    for (int i = 0; i < list->count; i++, index = (index + 1) % list->count) {
        if (is_bad(list, index)) continue;
        int status = imp_picture_read(context, list->listed[index].path, image);
        if (status == IMP_ERR_MEMORY) keep_failure(list, index, imp_error(context));
        if (!status || status == IMP_ERR_MEMORY) return status;
        mark_bad(list, index, imp_error(context));
    }
    return IMP_ERR_IO;
}

void imp_cli_pictures_tell(imp_cli_pictures *list) {
    if (list->count == 0) return;
    pthread_mutex_lock(&list->mutex);
    char *told = list->told;
    list->told = NULL;
    pthread_mutex_unlock(&list->mutex);
    char *rest = NULL;
    for (char *line = told ? strtok_r(told, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest))
        imp_cli_warn("%s; the next picture takes its place", line);
    free(told);
}
