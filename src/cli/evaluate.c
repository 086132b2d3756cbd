/* `impasto evaluate`: how near outputs are to their photos and to their paintings, and what those figures mean. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/evaluation.h"
#include "cli/models_folder.h"
#include "cli/report.h"
#include "cli/shared_options.h"
#include "cli/system.h"
#include "impasto_picture.h"

/* Of the longer side where --size does not say otherwise: it bounds time and memory, to 1.2 GB. */
#define USUAL_SIDE 1024

typedef struct evaluate_settings {
    imp_evaluation_options evaluation;
    const char *photo, *style, *other, *list, *csv, *html, *model, *instruction_set;
    int size, threads;
    bool json;
} evaluate_settings;

#define AT(field) .offset = offsetof(evaluate_settings, field)
#define TEXT .kind = IMP_CLI_TEXT
#define WHOLE(low, high) .kind = IMP_CLI_INTEGER, .minimum = low, .maximum = high

/* clang-format off: a table reads best as one */
static const imp_cli_option evaluate_options[] = {
    {"photo", 'p', TEXT, AT(photo), .value = "PHOTO",
     .help = "The photo that OUTPUT was painted from; or a folder, in which each OUTPUT has one of its own name."},
    {"style", 's', TEXT, AT(style), .value = "PAINTING",
     .help = "The painting whose manner was taken; or a folder, as for --photo."},
    {"list", 'l', TEXT, AT(list), .value = "FILE",
     .help =
         "In place of all these: a CSV file with the columns photo, style, output and, if wanted, label, by which "
         "means are taken. Paths are seen from the file's own folder. Rows of one photo and painting take less time "
         "one after the other."},
    {"other", 0, TEXT, AT(other), .value = "PAINTING",
     .help = "Another painting, whose scores are what some painting or other gets; where it is not given, the next "
             "other one among the paintings, if there are several."},
    {"size", 0, WHOLE(IMP_EVALUATION_LEAST_SIDE, IMP_IMAGE_MAX_SIDE), AT(size), .value = "PIXELS",
     .help = "Longer side to which larger outputs are made smaller; 1024 where it is not given."},
    {"content-layers", 0, TEXT, AT(evaluation.content_layers), .value = "LAYERS",
     .help = "Layers of the model for the content loss, with weights; conv4_2 where it is not given."},
    {"style-layers", 0, TEXT, AT(evaluation.style_layers), .value = "LAYERS",
     .help = "Layers for the scores of style, with weights for the style loss; conv1_1 to conv5_1 where it is not "
             "given."},
    {"style-loss", 0, .kind = IMP_CLI_CHOICE, .choice = imp_style_loss_name, .describe = imp_style_loss_description,
     AT(evaluation.style_loss), .value = "NAME", .help = "The style loss that is told; gram where it is not given."},
    {"ssim", 0, .kind = IMP_CLI_CHOICE, .choice = imp_ssim_window_name, AT(evaluation.ssim_window), .value = "WINDOW",
     .help = "The window of SSIM: Wang et al.'s of 11x11 pixels, or all of 7x7 alike; gaussian where it is not given."},
    {"directions", 0, WHOLE(1, IMP_MAX_DIRECTIONS), AT(evaluation.directions), .value = "N",
     .help = "Directions of the sliced Wasserstein distance; as many as a layer has channels where it is not given."},
    {"seed", 0, .kind = IMP_CLI_SEED, AT(evaluation.seed), .value = "N",
     .help = "Of the directions: the same seed gives the same scores."},
    {"csv", 0, TEXT, AT(csv), .value = "FILE", .help = "Write the scores of every output as a CSV file."},
    {"html", 0, TEXT, AT(html), .value = "FILE",
     .help = "Write a page with the pictures, the scores, and a plot of SSIM against Gram similarity."},
    IMP_CLI_ROW_EVENTS(AT(json)),
    {"model", 'm', TEXT, AT(model), .value = "MODEL",
     .help = "The network whose features are compared: a model file, or the name of an installed one; vgg19 where it "
             "is not given."},
    {"threads", 'j', WHOLE(1, IMP_CLI_MAX_THREADS), AT(threads), .value = "N",
     .help = "Threads; one for each processor where it is not given. The scores are the same for any number."},
    IMP_CLI_ROW_INSTRUCTION_SET(AT(instruction_set)),
    {0}};
/* clang-format on */

static void evaluate_defaults(void *user) {
    evaluate_settings *settings = user;
    imp_evaluation_options_default(&settings->evaluation);
    settings->size = USUAL_SIDE;
}

typedef struct evaluate_job {
    const evaluate_settings *settings;
    imp_context *context;
    imp_model *model;
    imp_evaluation *evaluation;
    imp_cli_triples triples;
    imp_cli_rows rows;
    imp_cli_row pair; /* what the evaluation compares with now, and the scores beside; triple NULL: nothing */
} evaluate_job;

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

static int check_arguments(const evaluate_settings *settings, int outputs) {
    if (settings->list && (outputs || settings->photo || settings->style))
        return imp_cli_fail(IMP_CLI_USAGE,
                            "--list has the photos, paintings and outputs; leave out OUTPUT, --photo and "
                            "--style");
    if (settings->list) return 0;
    if (!outputs) return imp_cli_fail(IMP_CLI_USAGE, "evaluate needs OUTPUT or --list; see 'impasto help evaluate'");
    if (!settings->photo) return imp_cli_fail(IMP_CLI_USAGE, "--photo is missing: what the output was painted from");
    if (!settings->style) return imp_cli_fail(IMP_CLI_USAGE, "--style is missing: the painting that was followed");
    return 0;
}

/* Reports may replace older ones, but nothing that they are made from. */
static int check_report(const evaluate_job *job, const char *option, const char *path) {
    if (!path) return 0;
    const char *inputs[] = {job->settings->list, job->settings->other};
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++)
        if (inputs[i] && imp_cli_same_file(path, inputs[i]))
            return imp_cli_fail(IMP_CLI_USAGE, "--%s: %s is read here; give another name", option, path);
    for (int i = 0; i < job->triples.count && imp_cli_is_file(path); i++) {
        const imp_cli_triple *triple = &job->triples.items[i];
        if (imp_cli_same_file(path, triple->photo) || imp_cli_same_file(path, triple->style) ||
            imp_cli_same_file(path, triple->output))
            return imp_cli_fail(IMP_CLI_USAGE, "--%s: %s is one of the pictures; give another name", option, path);
    }
    int status = imp_file_can_write(job->context, path);
    return status ? imp_cli_fail_status(job->context, status) : 0;
}

static int check_reports(const evaluate_job *job) {
    const evaluate_settings *settings = job->settings;
    int code = check_report(job, "csv", settings->csv);
    if (!code) code = check_report(job, "html", settings->html);
    if (!code && settings->csv && settings->html &&
        (strcmp(settings->csv, settings->html) == 0 || imp_cli_same_file(settings->csv, settings->html)))
        code = imp_cli_fail(IMP_CLI_USAGE, "--csv and --html: both would be written to %s", settings->csv);
    return code;
}

static void log_warning(void *user, imp_log_level level, const char *message) {
    (void)user;
    if (level == IMP_LOG_WARNING) imp_cli_warn("%s", message);
}

static int create_evaluation(evaluate_job *job) {
    imp_context_options options;
    imp_context_options_default(&options);
    options.threads = job->settings->threads;
    options.instruction_set = job->settings->instruction_set;
    options.log = log_warning;
    int status = imp_context_create(&options, &job->context);
    if (status) return imp_cli_fail_status(NULL, status);
    int code = check_reports(job);
    if (!code) code = imp_cli_open_model(job->context, job->settings->model, &job->model);
    if (code) return code;
    status = imp_evaluation_create(job->context, job->model, &job->settings->evaluation, &job->evaluation);
    return status ? imp_cli_fail_status(job->context, status) : 0;
}

static int make_rows(evaluate_job *job) {
    imp_layer_scores layer = {.size = sizeof layer};
    while (imp_evaluation_layer(job->evaluation, job->rows.layer_count, &layer) == IMP_OK) job->rows.layer_count++;
    job->rows.items = calloc((size_t)job->triples.count + 1, sizeof *job->rows.items); /* never 0 */
    job->rows.json = job->settings->json;
    return job->rows.items ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
}

/* ---- Scores ------------------------------------------------------------------------------------------------------ */

static int score(evaluate_job *job, const imp_image *picture, imp_cli_candidate candidate) {
    job->pair.scores[candidate].size = sizeof(imp_scores);
    return imp_evaluation_score(job->evaluation, picture, &job->pair.scores[candidate]);
}

/* Of a painting, the largest part of the pair's proportions in its middle: stretched, its strokes would be others. */
static int score_painting(evaluate_job *job, const imp_image *painting, imp_cli_candidate candidate) {
    imp_image part = *painting;
    double wanted = (double)job->pair.width / job->pair.height;
    if (wanted < (double)part.width / part.height)
        part.width = (int)(part.height * wanted + 0.5);
    else
        part.height = (int)(part.width / wanted + 0.5);
    if (part.width < 1) part.width = 1;
    if (part.height < 1) part.height = 1;
    size_t left = (size_t)(painting->width - part.width) / 2, top = (size_t)(painting->height - part.height) / 2;
    part.pixels =
        (char *)painting->pixels + top * painting->stride + left * (size_t)painting->channels * (size_t)painting->depth;
    return score(job, &part, candidate);
}

static int score_other(evaluate_job *job) {
    imp_image other = {.size = sizeof other};
    int status = job->pair.other ? imp_picture_read(job->context, job->pair.other, &other) : IMP_OK;
    if (!status && job->pair.other) status = score_painting(job, &other, IMP_CLI_OTHER);
    imp_image_release(job->context, &other);
    return status;
}

/* Photo and painting of job->pair, and what an output's scores are read beside. */
static int set_pair(evaluate_job *job) {
    imp_image photo = {.size = sizeof photo}, style = {.size = sizeof style};
    imp_context *context = job->context;
    int status = imp_picture_read(context, job->pair.triple->photo, &photo);
    if (!status) status = imp_picture_read(context, job->pair.triple->style, &style);
    if (!status) status = imp_evaluation_set_pair(job->evaluation, &photo, &style, job->pair.width, job->pair.height);
    if (!status) status = score(job, &photo, IMP_CLI_UNTOUCHED);
    imp_image_release(context, &photo);
    if (!status) status = score_painting(job, &style, IMP_CLI_ORIGINAL);
    imp_image_release(context, &style);
    return status ? status : score_other(job);
}

/* --other, or the next painting in the list that is not this one's; NULL where there is none. */
static const char *find_other(const evaluate_job *job, int index) {
    if (job->settings->other) return job->settings->other;
    const imp_cli_triples *triples = &job->triples;
    for (int i = 1; i < triples->count; i++) {
        const char *style = triples->items[(index + i) % triples->count].style;
        if (strcmp(style, triples->items[index].style) != 0) return style;
    }
    return NULL;
}

static bool is_same_pair(const imp_cli_row *a, const imp_cli_row *b) {
    return a->triple && a->width == b->width && a->height == b->height &&
           strcmp(a->triple->photo, b->triple->photo) == 0 && strcmp(a->triple->style, b->triple->style) == 0;
}

/* The output's size, or what of it is left by --size. */
static int find_size(const evaluate_job *job, const imp_image *output, imp_cli_row *row) {
    imp_painting_options options;
    imp_painting_options_default(&options);
    options.longer_side = job->settings->size;
    return imp_painting_size(job->context, output->width, output->height, &options, &row->width, &row->height);
}

/* Compares with the pair of this row from here on, where it is not the one that is compared with already. */
static int prepare_pair(evaluate_job *job, const imp_cli_row *row) {
    if (is_same_pair(&job->pair, row)) return IMP_OK;
    job->pair = *row;
    int status = set_pair(job);
    if (status) job->pair.triple = NULL;
    return status;
}

static int keep_row(evaluate_job *job, const imp_cli_triple *triple) {
    imp_cli_rows *rows = &job->rows;
    imp_cli_row *row = &rows->items[rows->count];
    *row = job->pair;
    row->triple = triple;
    row->layers = calloc((size_t)rows->layer_count, sizeof *row->layers);
    if (!row->layers) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    for (int i = 0; i < rows->layer_count; i++) {
        row->layers[i].size = sizeof row->layers[i];
        imp_evaluation_layer(job->evaluation, i, &row->layers[i]);
    }
    rows->count++;
    imp_cli_number_label(rows);
    imp_cli_print_row(rows);
    return 0;
}

/* One output, whose failure is told by its name. */
static int evaluate_output(evaluate_job *job, int index) {
    imp_cli_row row = {.triple = &job->triples.items[index], .other = find_other(job, index)};
    imp_image output = {.size = sizeof output};
    int status = imp_picture_read(job->context, row.triple->output, &output);
    if (status) return imp_cli_fail_status(job->context, status);
    status = find_size(job, &output, &row);
    if (!status) status = prepare_pair(job, &row);
    if (!status) status = score(job, &output, IMP_CLI_OUTPUT);
    imp_image_release(job->context, &output);
    if (!status) return keep_row(job, row.triple);
    return imp_cli_fail(imp_cli_exit_code(status), "%s: %s", row.triple->output, imp_error(job->context));
}

/* All outputs, one after the other. Returns the exit code of the first failure, or 0. */
static int evaluate_all(evaluate_job *job) {
    int code = job->triples.missing ? IMP_CLI_FAILURE : 0;
    imp_cli_catch_signals();
    for (int i = 0; i < job->triples.count && !imp_cli_signal(); i++) {
        int failure = evaluate_output(job, i);
        if (!code) code = failure;
    }
    imp_cli_print_means(&job->rows, job->triples.count + job->triples.missing);
    return imp_cli_signal() ? 128 + imp_cli_signal() : code; /* as a shell reports who is ended by a signal */
}

/* ---- Reports ----------------------------------------------------------------------------------------------------- */

static void describe(const evaluate_job *job, char *words, size_t size) {
    const imp_evaluation_options *options = &job->settings->evaluation;
    imp_model_info model = {.size = sizeof model};
    imp_model_get_info(job->model, &model);
    int used = snprintf(
        words, size, "Features of %s (%s); SSIM with the %s window; style loss %s; seed %llu; layers",
        model.architecture, model.origin, options->ssim_window ? options->ssim_window : imp_ssim_window_name(0),
        options->style_loss ? options->style_loss : imp_style_loss_name(0), (unsigned long long)options->seed);
    for (int i = 0; i < job->rows.layer_count && used > 0 && (size_t)used < size; i++)
        used += snprintf(words + used, size - (size_t)used, " %s", job->rows.items[0].layers[i].name);
}

/* What there is, after failures and interruptions too. */
static int write_reports(evaluate_job *job) {
    char words[1024];
    imp_cli_page page = {.context = job->context, .rows = &job->rows, .settings = words};
    if (job->rows.count == 0) return 0;
    int status =
        job->settings->csv ? imp_file_write(job->context, job->settings->csv, imp_cli_write_csv, &job->rows) : IMP_OK;
    int code = status ? imp_cli_fail_status(job->context, status) : 0;
    describe(job, words, sizeof words);
    status =
        job->settings->html ? imp_file_write(job->context, job->settings->html, imp_cli_write_page, &page) : IMP_OK;
    if (status) code = imp_cli_fail_status(job->context, status);
    return code;
}

static int run_job(evaluate_job *job, char **outputs, int count) {
    const evaluate_settings *settings = job->settings;
    int code = check_arguments(settings, count);
    if (!code)
        code = settings->list
                   ? imp_cli_triples_from_list(&job->triples, settings->list)
                   : imp_cli_triples_from_outputs(&job->triples, outputs, count, settings->photo, settings->style);
    if (!code) code = create_evaluation(job);
    if (!code) code = make_rows(job);
    if (code) return code;
    code = evaluate_all(job);
    int failure = write_reports(job);
    return code ? code : failure;
}

static int run_evaluate(void *user, char **arguments, int count) {
    evaluate_job job = {.settings = user};
    int code = run_job(&job, arguments, count);
    for (int i = 0; i < job.rows.count; i++) free(job.rows.items[i].layers);
    free(job.rows.items);
    imp_cli_triples_free(&job.triples);
    imp_evaluation_free(job.evaluation);
    imp_model_free(job.model);
    imp_context_free(job.context);
    return code;
}

const imp_cli_command imp_cli_evaluate = {
    .name = "evaluate",
    .arguments = "[OUTPUT...]",
    .least = 0,
    .most = INT_MAX,
    .summary = "Score paintings beside their photographs and their models.",
    .description =
        "Tells how much of the photo is left in OUTPUT (SSIM, PSNR, content loss), how near it is to the painting "
        "(Gram "
        "similarity, style loss, sliced Wasserstein distance of features) and how much fine detail it has. Beside them "
        "stand the scores of the untouched photo, of another painting and of the painting itself. OUTPUT may be a "
        "folder of pictures, whose name is then their label. What cannot be read is named, and the others are "
        "evaluated. docs/metrics.md defines each score.",
    .options = evaluate_options,
    .settings_size = sizeof(evaluate_settings),
    .defaults = evaluate_defaults,
    .run = run_evaluate};
