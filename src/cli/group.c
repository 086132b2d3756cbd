/* Photos that are painted together: which go into one painting, painting them, and what is said of each. */
#include "cli/group.h"

#include <string.h>

#include "cli/profile.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

/* Where --batch does not say how many: so many at most, of so many pixels together. More gain next to nothing: the work
   that they share is that on the weights of the deep layers, and the more pixels, the less of the whole that is. */
#define USUAL_PHOTOS 8
#define USUAL_PIXELS (8.0 * 256 * 256)

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

/* Every painting needs the styles and the start picture. */
static int fail_all(imp_cli_group *group, int status) {
    group->job->base.hopeless = true;
    return imp_cli_fail_status(group->job->base.context, status);
}

static int add_style(imp_cli_group *group, const imp_cli_style *style) {
    imp_image image = {.size = sizeof image};
    int status = imp_picture_read(group->job->base.context, style->path, &image);
    if (!status) status = imp_painting_add_style(group->painting, &image, style->weight);
    int code = status ? fail_all(group, status) : 0;
    imp_image_release(group->job->base.context, &image);
    return code;
}

static int create_painting(imp_cli_group *group, const imp_image *photo, const imp_image *initial) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    imp_painting_options options = settings->painting;
    if (settings->keep_colors)
        options.keep_colors = strcmp(settings->keep_colors, "before") == 0 ? IMP_COLORS_BEFORE : IMP_COLORS_AFTER;
    options.start_image = initial;
    imp_cli_features_apply(&group->job->base.features, &options);
    return imp_painting_create(group->job->base.context, NULL, photo, &options, &group->painting);
}

/* Takes the photo into the painting, which its first photo makes. The photo is kept no longer than that needs. */
static int take_photo(imp_cli_group *group, imp_cli_photo *photo, const imp_image *initial) {
    imp_context *context = group->job->base.context;
    imp_image image = {.size = sizeof image};
    imp_cli_job_take(&group->job->base, photo);
    int status = imp_picture_read(context, photo->path, &image), code = 0;
    if (status) {
        code = imp_cli_fail_status(context, status);
    } else if (!group->painting) {
        status = create_painting(group, &image, initial);
        if (status) code = imp_cli_job_fail_size(&group->job->base, photo, status);
    } else {
        status = imp_painting_add_photo(group->painting, &image, initial);
        if (status) code = imp_cli_fail(imp_cli_exit_code(status), "%s: %s", photo->path, imp_error(context));
    }
    imp_image_release(context, &image);
    if (!code) group->photos[group->count++] = photo;
    return code;
}

/* How many may go together; fitting: that the memory limit lets, and the estimate is for the first one. */
static int most_photos(const imp_cli_group *group, int fitting) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    const imp_estimate *one = &group->estimate;
    int most = settings->batch ? settings->batch : USUAL_PHOTOS;
    if (settings->keep_colors && strcmp(settings->keep_colors, "before") == 0) return 1;
    if (fitting < most) most = fitting;
    if (settings->batch) return most;
    double pixels = USUAL_PIXELS / ((double)one->width * one->height);
    double space = (double)imp_cli_address_space_left(), available = (double)imp_cli_memory_available();
    double memory = (space < available ? space : available) / (double)one->bytes;
    if (pixels < most) most = (int)pixels;
    if (memory < most) most = (int)memory;
    return most < 1 ? 1 : most;
}

static int estimate(imp_cli_group *group) {
    group->estimate.size = sizeof group->estimate;
    int status = imp_painting_estimate(group->painting, &group->estimate);
    return status ? imp_cli_job_fail_size(&group->job->base, group->photos[0], status) : 0;
}

/* How long it will take: measured, where nobody said. */
static int estimate_seconds(imp_cli_group *group) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    group->seconds = settings->painting.time_limit * group->count;
    if (settings->job.quiet || group->seconds > 0 || group->estimate.iterations == 0) return 0;
    int status = imp_painting_estimate_seconds(group->painting, &group->seconds);
    return status ? imp_cli_job_fail_size(&group->job->base, group->photos[0], status) : 0;
}

/* The others of the first one's size, as many as go together. */
static void add_photos(imp_cli_group *group, const imp_image *initial, int *code) {
    const imp_cli_optimize_job *job = group->job;
    const imp_cli_photo *first = group->photos[0];
    int count = job->base.photo_count, next = imp_cli_next_photo(job->base.photos, count, 0, first), fitting;
    if (next == count) return;
    int status = imp_painting_most_photos(group->painting, &fitting);
    if (status) imp_cli_note_code(code, imp_cli_fail_status(job->base.context, status));
    int most = status ? 1 : most_photos(group, fitting);
    for (; group->count < most && next < count; next = imp_cli_next_photo(job->base.photos, count, next, first))
        imp_cli_note_code(code, take_photo(group, &job->base.photos[next], initial));
}

bool imp_cli_group_begin(imp_cli_optimize_job *job, int index, imp_cli_group *group, int *code) {
    const imp_cli_optimize_settings *settings = job->settings;
    imp_image initial = {.size = sizeof initial};
    *group = (imp_cli_group){.job = job};
    *code = 0;
    int status = settings->initial ? imp_picture_read(job->base.context, settings->initial, &initial) : IMP_OK;
    int failure = status ? fail_all(group, status) : 0;
    const imp_image *start = initial.pixels ? &initial : NULL;
    if (!failure) failure = take_photo(group, &job->base.photos[index], start);
    for (int i = 0; !failure && i < settings->styles.count; i++) failure = add_style(group, &job->styles[i]);
    if (!failure) failure = estimate(group);
    if (!failure) {
        add_photos(group, start, code);
        if (group->count > 1) failure = estimate(group);
    }
    if (!failure) {
        group->resident = imp_cli_memory_expected(job->base.context, group->estimate.bytes);
        const char *smaller = group->count > 1 ? "--batch or --size" : "--size";
        failure = imp_cli_job_check_memory(group->estimate.bytes, smaller);
    }
    if (!failure) failure = estimate_seconds(group);
    imp_image_release(job->base.context, &initial);
    imp_cli_note_code(code, failure);
    return !failure;
}

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static void print_model_json(const imp_model *model, double weight) {
    imp_model_info info = {.size = sizeof info};
    imp_model_get_info(model, &info);
    fputs("{\"model\":", stdout);
    imp_json_text(stdout, info.architecture);
    fputs(",\"weight\":", stdout);
    imp_json_number(stdout, weight);
    putchar('}');
}

static void print_start_json(const imp_cli_group *group, const imp_cli_photo *photo, const imp_context_info *info) {
    const imp_cli_optimize_job *job = group->job;
    const imp_cli_features *features = &group->job->base.features;
    const imp_estimate *estimate = &group->estimate;
    fputs("{\"event\":\"start\",\"photo\":", stdout);
    imp_json_text(stdout, photo->path);
    fputs(",\"styles\":[", stdout);
    for (int i = 0; i < job->settings->styles.count; i++) {
        fputs(i ? ",{\"path\":" : "{\"path\":", stdout);
        imp_json_text(stdout, job->styles[i].path);
        fputs(",\"weight\":", stdout);
        imp_json_number(stdout, job->styles[i].weight);
        putchar('}');
    }
    fputs("],\"features\":[", stdout);
    for (int i = 0; i < features->count; i++) {
        fputs(i ? "," : "", stdout);
        print_model_json(features->models[i].model, features->models[i].weight);
    }
    fputs("],\"sketch\":", stdout);
    if (features->sketch)
        print_model_json(features->sketch, 1);
    else
        fputs("null", stdout);
    fputs(",\"output\":", stdout);
    imp_json_text(stdout, photo->output);
    printf(",\"width\":%d,\"height\":%d,\"scales\":%d,\"iterations\":%d,\"batch\":%d,\"memory_bytes\":%llu,"
           "\"resident_bytes\":%llu,\"seconds\":",
           estimate->width, estimate->height, estimate->scales, estimate->iterations, group->count,
           (unsigned long long)estimate->bytes, (unsigned long long)group->resident);
    imp_json_number(stdout, group->seconds);
    fputs(",\"operations\":", stdout);
    imp_json_number(stdout, estimate->operations);
    printf(",\"threads\":%d,\"instruction_set\":", info->threads);
    imp_json_text(stdout, info->instruction_set);
    fputs("}\n", stdout);
}

static void print_start_text(const imp_cli_group *group, const imp_context_info *info) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    const imp_estimate *estimate = &group->estimate;
    char memory[IMP_CLI_SIZE_TEXT], time[IMP_CLI_DURATION_TEXT], count[IMP_CLI_COUNT_TEXT], scales[IMP_CLI_COUNT_TEXT];
    for (int i = 0; i < group->count; i++) {
        if (i) fputs(", ", stdout);
        imp_cli_print_text(group->photos[i]->path);
    }
    fputs(" -> ", stdout);
    imp_cli_print_text(group->count > 1 ? settings->job.output : group->photos[0]->output);
    printf(": %dx%d pixels, ", estimate->width, estimate->height);
    if (group->count > 1) printf("%d photos together, ", group->count);
    printf("%s\n", imp_cli_count_text(count, settings->styles.count, "style"));
    if (settings->painting.time_limit > 0)
        printf("%g s%s", settings->painting.time_limit, group->count > 1 ? " for each" : "");
    else
        printf("%s", imp_cli_count_text(count, estimate->iterations, "iteration"));
    printf(" at %s, ", imp_cli_count_text(scales, estimate->scales, "scale"));
    if (settings->painting.time_limit == 0 && estimate->iterations > 0)
        printf("about %s, ", imp_cli_duration_text(time, group->seconds));
    printf("about %s of memory, %s (%s)\n", imp_cli_size_text(memory, (double)group->resident),
           imp_cli_count_text(count, info->threads, "thread"), info->instruction_set);
}

static void print_start(const imp_cli_group *group) {
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(group->job->base.context, &info);
    for (int i = 0; i < group->count && group->job->settings->job.json; i++)
        print_start_json(group, group->photos[i], &info);
    if (!group->job->settings->job.json && !group->job->settings->job.quiet) print_start_text(group, &info);
    imp_cli_flush();
}

static void print_done(const imp_cli_group *group, int index) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    const imp_cli_photo *photo = group->photos[index];
    const imp_progress *progress = &group->progress[index];
    char count[IMP_CLI_COUNT_TEXT];
    imp_cli_bar_end();
    if (settings->job.json) {
        fputs("{\"event\":\"done\",\"photo\":", stdout);
        imp_json_text(stdout, photo->path);
        fputs(",\"output\":", stdout);
        imp_json_text(stdout, photo->output);
        printf(",\"width\":%d,\"height\":%d,\"iterations\":%d,\"total_loss\":", group->estimate.width,
               group->estimate.height, progress->iteration);
        imp_json_number(stdout, progress->total_loss);
        fputs(",\"seconds\":", stdout);
        imp_json_number(stdout, progress->seconds);
        printf(",\"interrupted\":%s}\n", imp_cli_signal() ? "true" : "false");
    } else if (!settings->job.quiet) {
        imp_cli_print_text(photo->output);
        printf(": %s in %.1f s", imp_cli_count_text(count, progress->iteration, "iteration"), progress->seconds);
        if (progress->iteration > 0) printf(", loss %.5g", progress->total_loss);
        printf("%s\n", imp_cli_signal() ? ", interrupted" : "");
    }
}

/* ---- Painting ---------------------------------------------------------------------------------------------------- */

/* Where each photo stands, and so their mean for those who see one line of all. */
static void show_progress(imp_cli_group *group, imp_cli_progress *shown) {
    imp_progress mean = group->progress[0];
    double losses = 0;
    int alive = 0;
    for (int i = 0; i < group->count; i++) {
        const imp_progress *progress = &group->progress[i];
        if (shown->json) imp_cli_progress_show(shown, group->photos[i]->path, progress);
        if (progress->failed) continue;
        losses += progress->total_loss;
        alive++;
    }
    mean.total_loss = losses / (alive ? alive : 1);
    if (!shown->json) imp_cli_progress_show(shown, NULL, &mean);
}

/* Steps to the end, a failure or a signal; returns the library's status. */
static int step_all(imp_cli_group *group) {
    const imp_cli_optimize_settings *settings = group->job->settings;
    imp_cli_progress shown = {
        .json = settings->job.json, .quiet = settings->job.quiet, .timed = settings->painting.time_limit > 0};
    char photos[IMP_CLI_PHOTOS_TEXT];
    if (group->job->base.photo_count > 1)
        shown.photos = imp_cli_photos_text(photos, group->job->base.tried, group->count, group->job->base.photo_count);
    for (int i = 0; i < group->count; i++) group->progress[i] = (imp_progress){.size = sizeof(imp_progress)};
    if (group->estimate.iterations == 0) return IMP_OK;
    while (!group->progress[0].done && !imp_cli_signal()) {
        int status = imp_painting_step(group->painting, NULL);
        for (int i = 0; i < group->count; i++) imp_painting_progress(group->painting, i, &group->progress[i]);
        if (status) return status;
        show_progress(group, &shown);
    }
    return IMP_OK;
}

static int write_picture(const imp_cli_group *group, int index) {
    const imp_cli_job *job = &group->job->base;
    imp_image picture = {.size = sizeof picture};
    int status = imp_painting_image_of(group->painting, index, imp_cli_job_depth(job), &picture);
    int code = status ? imp_cli_fail_status(job->context, status) : 0;
    if (!code) code = imp_cli_job_write(job, group->photos[index], &picture);
    imp_image_release(job->context, &picture);
    return code;
}

/* A photo's loss is no longer finite. What was painted before is worth keeping. */
static int end_numeric(const imp_cli_group *group, int index, const char *message) {
    const imp_cli_photo *photo = group->photos[index];
    if (group->progress[index].iteration == 0)
        return imp_cli_fail(IMP_CLI_FAILURE, "%s%s%s", group->job->base.photo_count > 1 ? photo->path : "",
                            group->job->base.photo_count > 1 ? ": " : "", message);
    int code = write_picture(group, index);
    if (code) return code;
    if (group->job->base.photo_count == 1)
        return imp_cli_fail(IMP_CLI_FAILURE, "%s (written to %s)", message, photo->output);
    return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s (written to %s)", photo->path, message, photo->output);
}

/* A step failed for all of them. A run that never began leaves nothing. */
static int end_by_failure(const imp_cli_group *group, int status) {
    char message[IMP_CLI_PATH];
    int code = imp_cli_exit_code(status);
    snprintf(message, sizeof message, "%s", imp_error(group->job->base.context));
    if (group->progress[0].iteration == 0) return imp_cli_fail(code, "%s", message);
    for (int i = 0; i < group->count; i++) {
        if (write_picture(group, i)) continue; /* it said so */
        imp_cli_fail(code, "%s; what was painted until then is in %s", message, group->photos[i]->output);
    }
    return code;
}

/* Whether a photo's own loss is no longer finite: what the others are, or the style, is another failure. */
static bool has_failed_photo(const imp_cli_group *group) {
    for (int i = 0; i < group->count; i++)
        if (group->progress[i].failed) return true;
    return false;
}

static int node_at(const void *painting, int index, imp_node_profile *profile) {
    return imp_painting_profile(painting, index, profile);
}

int imp_cli_group_paint(imp_cli_group *group) {
    char message[IMP_CLI_PATH] = "the loss is no longer a finite number: lower the learning rate or the content and "
                                 "style weights; the picture is the last good one";
    int code = 0;
    print_start(group);
    imp_cli_catch_signals();
    int status = step_all(group);
    if (status && (status != IMP_ERR_NUMERIC || !has_failed_photo(group))) return end_by_failure(group, status);
    if (status) snprintf(message, sizeof message, "%s", imp_error(group->job->base.context));
    for (int i = 0; i < group->count; i++) {
        int failure = group->progress[i].failed ? end_numeric(group, i, message) : write_picture(group, i);
        imp_cli_note_code(&code, failure);
        if (failure) continue;
        print_done(group, i);
        group->job->base.painted++;
    }
    if (group->job->settings->job.verbose && !status)
        imp_cli_print_profile(node_at, group->painting, group->job->settings->job.json);
    return code;
}
