/* What the commands that paint photos share. */
#include "cli/job.h"

#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

static int check_settings(const imp_cli_job_settings *settings, int photo_count) {
    if (!settings->output) return imp_cli_fail(IMP_CLI_USAGE, "-o is missing: the picture to write");
    if (settings->quiet && settings->verbose)
        return imp_cli_fail(IMP_CLI_USAGE, "--quiet and --verbose exclude each other");
    if (settings->depth && strcmp(settings->depth, "16") == 0 &&
        !imp_cli_is_output_folder(settings->output, photo_count) && !imp_cli_takes_16_bits(settings->output))
        return imp_cli_fail(IMP_CLI_USAGE, "--depth: 16 bits need an output that ends in .png or .tif");
    return 0;
}

/* The library's warnings, and with --verbose the rest of what it tells. */
static void log_line(void *user, imp_log_level level, const char *message) {
    const imp_cli_job_settings *settings = user;
    if (level == IMP_LOG_WARNING) {
        imp_cli_warn("%s", message);
    } else if (settings->verbose && !settings->json) {
        imp_cli_bar_end();
        puts(message);
    }
}

static int create_context(imp_cli_job *job, size_t memory_limit) {
    const imp_cli_job_settings *settings = job->settings;
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = settings->threads;
    options.memory_limit = memory_limit;
    options.instruction_set = settings->instruction_set;
    options.log = log_line;
    options.user = (void *)(uintptr_t)settings; /* comes back to log_line, which takes it as const */
    int status = imp_context_create(&options, &job->context);
    return status ? imp_cli_fail_status(job->context, status) : 0;
}

int imp_cli_job_begin(imp_cli_job *job, const imp_cli_job_settings *settings, char **paths, int count) {
    *job = (imp_cli_job){.settings = settings, .photo_count = count, .began = imp_cli_seconds()};
    int code = check_settings(settings, count);
    if (code) return code;
    job->photos = calloc((size_t)count, sizeof *job->photos);
    if (!job->photos) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    for (int i = 0; i < count; i++) job->photos[i].path = paths[i];
    code = create_context(job, settings->memory_limit);
    if (code) return code;
    return imp_cli_name_outputs(job->context, job->photos, count, settings->output,
                                imp_cli_job_depth(job) == IMP_DEPTH_16);
}

int imp_cli_job_open_models(imp_cli_job *job) {
    const imp_cli_job_settings *settings = job->settings;
    int code =
        imp_cli_features_open(job->context, settings->model, settings->features, settings->sketch, &job->features);
    job->model = job->features.models[0].model;
    if (code || !job->settings->memory_limit) return code;
    imp_context_free(job->context);
    job->context = NULL;
    return create_context(job, imp_cli_features_limit(&job->features, job->settings->memory_limit));
}

void imp_cli_job_free(imp_cli_job *job) {
    imp_cli_features_free(&job->features);
    imp_context_free(job->context);
    free(job->photos);
}

imp_painting_options imp_cli_job_sizes(const imp_cli_job *job) {
    imp_painting_options options;
    imp_painting_options_default(&options);
    options.longer_side = job->settings->longer_side;
    options.enlarge = job->settings->enlarge;
    return options;
}

int imp_cli_job_find_sizes(imp_cli_job *job) {
    if (job->photo_count == 1) return 0;
    const imp_painting_options options = imp_cli_job_sizes(job);
    int code = imp_cli_find_sizes(job->context, job->photos, job->photo_count, &options);
    for (int i = 0; i < job->photo_count; i++) job->tried += job->photos[i].taken;
    return code;
}

void imp_cli_job_take(imp_cli_job *job, imp_cli_photo *photo) {
    photo->taken = true;
    job->tried++;
}

int imp_cli_job_take_size(imp_cli_job *job, const imp_cli_photo *photo) {
    int others = 0, next = 0;
    while ((next = imp_cli_next_photo(job->photos, job->photo_count, next, photo)) < job->photo_count) {
        imp_cli_job_take(job, &job->photos[next]);
        others++;
    }
    return others;
}

int imp_cli_job_fail_size(imp_cli_job *job, const imp_cli_photo *photo, int status) {
    int others = imp_cli_job_take_size(job, photo);
    if (job->photo_count == 1) return imp_cli_fail_status(job->context, status);
    char more[IMP_CLI_COUNT_TEXT] = "";
    if (others > 0) snprintf(more, sizeof more, " and %d more of its size", others);
    return imp_cli_fail(imp_cli_exit_code(status), "%s%s: %s", photo->path, more, imp_error(job->context));
}

int imp_cli_job_check_memory(uint64_t bytes, const char *smaller) {
    char needed_text[IMP_CLI_SIZE_TEXT], there_text[IMP_CLI_SIZE_TEXT];
    const double needed = (double)bytes;
    const double space = (double)imp_cli_address_space_left(), available = (double)imp_cli_memory_available();
    imp_cli_size_text(needed_text, needed);
    if (needed > space)
        return imp_cli_fail(IMP_CLI_FAILURE,
                            "this painting needs about %s, more than the %s that the limit of the "
                            "process (ulimit -v) leaves: give a smaller %s",
                            needed_text, imp_cli_size_text(there_text, space), smaller);
    if (needed > available)
        imp_cli_warn("this painting needs about %s, and only %s are free: it may be slow or be ended by the system; a "
                     "smaller %s needs less",
                     needed_text, imp_cli_size_text(there_text, available), smaller);
    return 0;
}

imp_depth imp_cli_job_depth(const imp_cli_job *job) {
    return job->settings->depth && strcmp(job->settings->depth, "16") == 0 ? IMP_DEPTH_16 : IMP_DEPTH_8;
}

int imp_cli_job_write(const imp_cli_job *job, const imp_cli_photo *photo, const imp_image *picture) {
    int status = imp_picture_write(job->context, photo->output, picture, job->settings->quality);
    return status ? imp_cli_fail_status(job->context, status) : 0;
}

int imp_cli_job_tell_end(const imp_cli_job *job, int code) {
    if (imp_cli_signal()) code = 128 + imp_cli_signal();
    if (job->photo_count == 1 || job->settings->json || job->settings->quiet) return code;
    double seconds = imp_cli_seconds() - job->began;
    printf("%d of %d photos in %.1f s", job->painted, job->photo_count, seconds);
    if (job->painted > 0) printf(", %.0f an hour", job->painted / seconds * 3600);
    putchar('\n');
    return code;
}
