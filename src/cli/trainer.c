/* Opens and closes what a training needs. */
#include "cli/trainer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

#define MOST_RECIPE ((size_t)1 << 20) /* bytes; the library takes less */
#define BATCHES_AHEAD 2               /* that wait at most */

static void log_warning(void *user, imp_log_level level, const char *message) {
    (void)user;
    if (level == IMP_LOG_WARNING) imp_cli_warn("%s", message);
}

/* The file's text, ended, released by free; NULL after saying what is wrong. */
static char *read_text(const char *path, size_t *length) {
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = malloc(MOST_RECIPE + 1);
    *length = text ? fread(text, 1, MOST_RECIPE + 1, stream) : 0;
    bool failed = ferror(stream);
    fclose(stream);
    if (text && !failed) return text;
    imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", path, text ? "cannot be read" : "out of memory");
    free(text);
    return NULL;
}

static int parse_recipe(imp_cli_trainer *trainer, const char *path) {
    size_t length;
    char *text = read_text(path, &length);
    if (!text) return IMP_CLI_FAILURE;
    int status = imp_recipe_parse(trainer->context, text, length, path, &trainer->recipe);
    free(text);
    if (status) return imp_cli_fail_status(trainer->context, status);
    trainer->info.size = sizeof trainer->info;
    imp_recipe_get_info(trainer->recipe, &trainer->info);
    return 0;
}

/* The recipe's own folder, or the one that was given. */
static int find_base(imp_cli_trainer *trainer, const char *path) {
    const char *data = trainer->settings->data, *slash = strrchr(path, '/');
    int length = data    ? snprintf(trainer->base, IMP_CLI_PATH, "%s", data)
                 : slash ? snprintf(trainer->base, IMP_CLI_PATH, "%.*s", (int)(slash - path) + 1, path)
                         : snprintf(trainer->base, IMP_CLI_PATH, ".");
    if (length >= 0 && length < IMP_CLI_PATH) return 0;
    return imp_cli_fail(IMP_CLI_FAILURE, "%s: the path is too long", path);
}

static int create_context(imp_cli_trainer *trainer) {
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = trainer->settings->threads;
    options.instruction_set = trainer->settings->instruction_set;
    options.log = log_warning;
    int status = imp_context_create(&options, &trainer->context);
    return status ? imp_cli_fail_status(NULL, status) : 0;
}

int imp_cli_trainer_open(imp_cli_trainer *trainer, const imp_cli_trainer_settings *settings, const char *path,
                         void (*tell)(void *user), void *user) {
    *trainer = (imp_cli_trainer){.settings = settings};
    int code = find_base(trainer, path);
    if (!code) code = create_context(trainer);
    if (!code) code = parse_recipe(trainer, path);
    if (!code) code = imp_cli_crops_create(trainer->recipe, path, trainer->base, &trainer->crops);
    if (code) return code;
    imp_cli_crops_on_sample(trainer->crops, tell, user);
    imp_training_source source = imp_cli_crops_source(trainer->crops);
    int status = imp_training_create(trainer->context, trainer->recipe, &source, &trainer->training);
    return status ? imp_cli_trainer_fail(trainer, status) : 0;
}

void imp_cli_trainer_close(imp_cli_trainer *trainer) {
    imp_training_free(trainer->training);
    imp_cli_crops_free(trainer->crops);
    imp_recipe_free(trainer->recipe);
    imp_context_free(trainer->context);
}

void imp_cli_trainer_prefetch(imp_cli_trainer *trainer, int64_t step) {
    int batch = trainer->info.batch, threads = trainer->settings->prefetch;
    imp_cli_crops_prefetch(trainer->crops, (uint64_t)step * (uint64_t)batch, threads, BATCHES_AHEAD * batch + threads);
}

int imp_cli_trainer_fail(const imp_cli_trainer *trainer, int status) {
    if (imp_cli_crops_said(trainer->crops)) return imp_cli_exit_code(status);
    return imp_cli_fail_status(trainer->context, status);
}
