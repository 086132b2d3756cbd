/* `impasto train`: steps, and beside them checkpoints, validations, the log and the report. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/pictures.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/train_report.h"
#include "cli/train_sheet.h"
#include "cli/trainer.h"
#include "impasto_picture.h"

#define CHECKPOINT "checkpoint.safetensors"
#define MODEL "model.safetensors"
#define LINE_INTERVAL 10.0 /* seconds between two lines where standard output is no terminal */
#define BAR_INTERVAL 0.2

typedef struct train_settings {
    imp_cli_trainer_settings trainer;
    const char *output, *store;
    int steps;
    bool resume, json, quiet;
} train_settings;

static const char *storage_at(int index) {
    static const char *const names[] = {"f32", "f16", "bf16", NULL}; /* as imp_storage counts them */
    return names[index];
}

#define AT(field) .offset = offsetof(train_settings, field)
/* clang-format off: a table reads best as one */
static const imp_cli_option train_options[] = {
    {"output", 'o', .kind = IMP_CLI_TEXT, AT(output), .value = "FOLDER",
     .help = "Where everything goes: " CHECKPOINT ", " MODEL ", log.jsonl, report.html, pictures."},
    {"resume", 0, .kind = IMP_CLI_FLAG, AT(resume),
     .help = "Go on from the checkpoint in the folder, if there is one."},
    {"steps", 'n', .kind = IMP_CLI_INTEGER, .minimum = 1, .maximum = 10000000, AT(steps), .value = "N",
     .help = "Stop after so many steps of this run, with a checkpoint, as Ctrl-C does; --resume goes on."},
    {"store", 0, .kind = IMP_CLI_CHOICE, .choice = storage_at, AT(store), .value = "TYPE",
     .help = "How the model's weights are stored; f32 where it is not given."},
    IMP_CLI_TRAINER_OPTIONS(train_settings, trainer),
    {"json", 0, .kind = IMP_CLI_FLAG, AT(json), .help = "Print events for programs: one JSON object a line."},
    {"quiet", 0, .kind = IMP_CLI_FLAG, AT(quiet), .help = "Print nothing but warnings and errors."},
    {0}};
/* clang-format on */

static void train_defaults(void *user) {
    train_settings *settings = user;
    settings->trainer.prefetch = 1;
}

typedef struct train_run {
    const train_settings *settings;
    imp_cli_trainer trainer;
    imp_cli_train_log log;
    imp_training_progress progress; /* of the last step */
    char checkpoint[IMP_CLI_PATH], model[IMP_CLI_PATH];
    double shown_at;
    bool locked;      /* the folder is this run's */
    int steps;        /* of this run */
    int64_t saved_at; /* the step of the checkpoint; 0: none, as there is nothing to save before the first step */
    bool stopped;     /* a signal came */
} train_run;

/* ---- Before ------------------------------------------------------------------------------------------------------ */

/* Has the folder for this run alone. */
static int lock(train_run *run) {
    const char *folder = run->settings->output;
    run->locked = true;
    switch (imp_cli_lock_folder(folder)) {
    case IMP_CLI_LOCKED:
        return 0;
    case IMP_CLI_TAKEN:
        return imp_cli_fail(IMP_CLI_FAILURE, "%s: another 'impasto train' is writing to this folder", folder);
    default:
        imp_cli_warn("%s: cannot tell whether another 'impasto train' is writing to this folder: %s", folder,
                     strerror(errno));
        return 0;
    }
}

static int check_files(const train_run *run) {
    bool begun = imp_cli_is_file(run->checkpoint);
    if (begun && !run->settings->resume)
        return imp_cli_fail(IMP_CLI_USAGE, "-o: %s is there already; --resume goes on from it, or give another folder",
                            run->checkpoint);
    if (!begun && imp_cli_is_file(run->model)) /* a training of ours has a checkpoint before it has a model */
        return imp_cli_fail(IMP_CLI_USAGE,
                            "-o: %s is there already, without a checkpoint beside it, and would be lost; give another "
                            "folder",
                            run->model);
    return 0;
}

/* A folder that is not there yet is made and locked once the recipe is known to be good. */
static int check_folder(train_run *run) {
    const char *folder = run->settings->output;
    if (!folder) return imp_cli_fail(IMP_CLI_USAGE, "-o is missing: the folder to write to");
    if (!imp_cli_path_beside(folder, CHECKPOINT, run->checkpoint) || !imp_cli_path_beside(folder, MODEL, run->model))
        return imp_cli_fail(IMP_CLI_USAGE, "-o: the path is too long");
    int code = imp_cli_is_folder(folder) ? lock(run) : 0;
    return code ? code : check_files(run);
}

/* Goes on from the checkpoint where that is asked for, and opens the log. */
static int begin(train_run *run) {
    const char *folder = run->settings->output;
    imp_training *training = run->trainer.training;
    run->progress = (imp_training_progress){.size = sizeof run->progress, .steps = run->trainer.info.steps};
    if (!imp_cli_make_folder(folder)) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", folder, strerror(errno));
    int code = run->locked ? 0 : lock(run);
    if (!code) code = check_files(run); /* while the recipe was read another run may have been here */
    if (code) return code;
    if (run->settings->resume && imp_cli_is_file(run->checkpoint)) {
        int status = imp_training_load(training, run->checkpoint);
        if (status) return imp_cli_trainer_fail(&run->trainer, status);
        imp_training_tell(training, &run->progress);
        run->saved_at = run->progress.step;
    }
    imp_cli_trainer_prefetch(&run->trainer, run->progress.step);
    return imp_cli_train_log_open(&run->log, &run->trainer, folder, run->progress.step, run->settings->json);
}

/* ---- While ------------------------------------------------------------------------------------------------------- */

/* Over the last line of a terminal that is so wide, or as a line of its own where it is 0. */
static void print_line(char *text, int width) {
    if (width > 0) {
        if (width <= (int)strlen(text)) text[width - 1] = '\0'; /* a line that wraps could not be drawn over */
        imp_cli_bar(text);
    } else {
        imp_cli_print_text(text);
        putchar('\n');
        imp_cli_flush();
    }
}

/* That what comes before the first step has begun. */
static void show_measuring(void *user) {
    const train_run *run = user;
    const imp_recipe_info *info = &run->trainer.info;
    bool features = strcmp(info->task, "features") == 0;
    char text[512];
    if (run->settings->quiet) return;
    if (run->settings->json) {
        printf("{\"event\":\"measuring\",\"task\":\"%s\"}\n", info->task);
        imp_cli_flush();
        return;
    }
    snprintf(text, sizeof text, "before the first step: measuring %s on crops",
             features ? "which directions the features have" : "how large the loss of each style is");
    print_line(text, imp_cli_terminal_width());
}

/* " (thaw)"; nothing for a stage without a name. */
enum { STAGE_TEXT = 64 };
static const char *stage_text(char buffer[STAGE_TEXT], const train_run *run) {
    const char *name = imp_recipe_stage_name(run->trainer.recipe, run->progress.stage - 1);
    snprintf(buffer, STAGE_TEXT, name && *name ? " (%.40s)" : "", name);
    return buffer;
}

static void show(train_run *run, bool now) {
    const imp_training_progress *progress = &run->progress;
    char text[512], left[IMP_CLI_DURATION_TEXT], stage[STAGE_TEXT];
    int width = imp_cli_terminal_width();
    double time = imp_cli_seconds();
    if (run->settings->quiet || run->settings->json) return;
    if (!now && time - run->shown_at < (width ? BAR_INTERVAL : LINE_INTERVAL)) return;
    run->shown_at = time;
    int used = snprintf(text, sizeof text, "step %lld/%lld, stage %d/%d%s, %s left, %.3g pictures/s",
                        (long long)progress->step, (long long)progress->steps, progress->stage, progress->stages,
                        stage_text(stage, run), imp_cli_duration_text(left, progress->seconds_left),
                        progress->pictures_per_second);
    for (int i = 0; imp_training_loss_name(run->trainer.training, i) && used < (int)sizeof text; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, ", %s %.4g",
                         imp_training_loss_name(run->trainer.training, i), progress->losses[i]);
    print_line(text, width);
}

static int save(train_run *run) {
    if (run->saved_at == run->progress.step) return 0;
    int status = imp_training_save(run->trainer.training, run->checkpoint);
    if (status) return imp_cli_trainer_fail(&run->trainer, status);
    run->saved_at = run->progress.step;
    return 0;
}

static int report(const train_run *run) {
    return imp_cli_train_report(&run->trainer, run->settings->output, &run->log, &run->progress);
}

static int validate(train_run *run) {
    double losses[IMP_TRAINING_MAX_LOSSES];
    const imp_recipe_info *info = &run->trainer.info;
    int status = imp_training_validate(run->trainer.training, info->validation_count, losses);
    if (status) return imp_cli_trainer_fail(&run->trainer, status);
    if (!imp_cli_train_log_validation(&run->log, run->progress.step, losses)) return IMP_CLI_FAILURE;
    int code = imp_cli_write_sheet(&run->trainer, run->settings->output, run->progress.step);
    return code ? code : report(run);
}

static bool is_due(int64_t step, int every) {
    return step % every == 0;
}

static bool validates_at(const train_run *run, int64_t step) {
    const imp_recipe_info *info = &run->trainer.info;
    return *info->validation && step > 0 && (step == run->progress.steps || is_due(step, info->validation_every));
}

/* A run that ended between a checkpoint and its validation left that to this one. */
static int catch_up(train_run *run) {
    int64_t step = run->progress.step;
    return validates_at(run, step) && !imp_cli_train_log_has_validation(&run->log, step) ? validate(run) : 0;
}

/* A step that failed changed nothing: what was learnt before it is kept, unless its weights are what went bad. */
static int fail_step(train_run *run, int status) {
    int code = imp_cli_trainer_fail(&run->trainer, status);
    if (status != IMP_ERR_NUMERIC && imp_cli_train_log_flush(&run->log, &run->progress)) save(run);
    return code;
}

/* One step, and what is due after it; last: it is the last one of this run. */
static int step(train_run *run, bool last) {
    int status = imp_training_step(run->trainer.training, &run->progress);
    if (status) return fail_step(run, status);
    const imp_training_progress *progress = &run->progress;
    run->stopped = imp_cli_signal() != 0; /* once: a later one is seen by the next step, which logs and saves */
    last = last || progress->done || run->stopped;
    bool validates = validates_at(run, progress->step);
    bool saves = last || validates || is_due(progress->step, run->trainer.info.checkpoint_every);
    show(run, last);
    /* The log has a point wherever the checkpoint is, so that it goes on where that does. */
    bool logged = imp_cli_train_log_step(&run->log, progress, saves);
    int code = saves || !logged ? save(run) : 0; /* before the validation, which may fail */
    if (!logged) return IMP_CLI_FAILURE;
    return !code && validates ? validate(run) : code;
}

static int step_all(train_run *run) {
    int code = 0, most = run->settings->steps;
    while (!code && run->progress.step < run->progress.steps && !run->stopped && (most == 0 || run->steps < most)) {
        code = step(run, ++run->steps == most);
    }
    return code;
}

/* ---- After ------------------------------------------------------------------------------------------------------- */

static int finish(train_run *run) {
    int storage = 0;
    while (run->settings->store && strcmp(storage_at(storage), run->settings->store)) storage++;
    int status = imp_training_export(run->trainer.training, run->model, (imp_storage)storage);
    int code = status ? imp_cli_trainer_fail(&run->trainer, status) : report(run);
    imp_cli_bar_end();
    if (code || run->settings->quiet) return code;
    if (run->settings->json) {
        fputs("{\"event\":\"done\",\"model\":", stdout);
        imp_json_text(stdout, run->model);
        printf(",\"step\":%lld,\"finished\":%s}\n", (long long)run->progress.step,
               run->progress.step < run->progress.steps ? "false" : "true");
    } else {
        printf("%s, after step %lld of %lld\n", run->model, (long long)run->progress.step,
               (long long)run->progress.steps);
    }
    return 0;
}

static int run_train(void *settings, char **arguments, int count) {
    (void)count;
    train_run *run = calloc(1, sizeof *run);
    if (!run) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    run->settings = settings;
    int code = check_folder(run);
    if (!code) code = imp_cli_trainer_open(&run->trainer, &run->settings->trainer, arguments[0], show_measuring, run);
    if (!code) code = begin(run);
    imp_cli_catch_signals();
    if (!code) code = catch_up(run);
    if (!code) code = step_all(run);
    if (!code) code = finish(run);
    if (!code && imp_cli_signal()) code = 128 + imp_cli_signal();
    imp_cli_train_log_close(&run->log);
    imp_cli_trainer_close(&run->trainer);
    free(run);
    return code;
}

const imp_cli_command imp_cli_train = {
    .name = "train",
    .arguments = "RECIPE",
    .least = 1,
    .most = 1,
    .summary = "Teach a network by a recipe.",
    .description =
        "Trains the network that RECIPE, a JSON file, describes, and writes checkpoints, the model, a log and a report "
        "to FOLDER. Ctrl-C stops early, with a checkpoint from which --resume goes on to the same bits. 'impasto help "
        "--recipe' lists the keys of a recipe.",
    .options = train_options,
    .settings_size = sizeof(train_settings),
    .defaults = train_defaults,
    .run = run_train};
