/* What the commands that paint photos share: options, context and model, the photos with their outputs, memory. */
#ifndef IMP_CLI_JOB_H
#define IMP_CLI_JOB_H

#include "cli/features.h"
#include "cli/photos.h"

/* What such commands are told; the beginning of their settings. */
typedef struct imp_cli_job_settings {
    const char *output, *depth, *model, *precision, *instruction_set;
    const char *features, *sketch; /* as imp_cli_features_open takes them; NULL for commands that have one model */
    int longer_side, quality, threads;
    size_t memory_limit;
    bool enlarge, json, quiet, verbose;
} imp_cli_job_settings;

typedef struct imp_cli_job {
    const imp_cli_job_settings *settings;
    imp_context *context;
    imp_cli_features features;
    const imp_model *model; /* the first of those */
    imp_cli_photo *photos;
    int photo_count;
    int tried, painted; /* photos that were taken so far, and those that were written whole */
    bool hopeless;      /* what failed would fail for every photo */
    double began;       /* imp_cli_seconds() */
} imp_cli_job;

/* Checks the settings, makes a context and names the outputs. Returns 0, or the exit code after saying what is wrong;
   imp_cli_job_free then, too. The paths must stay. */
int imp_cli_job_begin(imp_cli_job *job, const imp_cli_job_settings *settings, char **paths, int count);

/* Opens the models. The context is made anew where there is a memory limit: what models and program take, which that
   counts too, is known only then. */
int imp_cli_job_open_models(imp_cli_job *job);

void imp_cli_job_free(imp_cli_job *job);

/* The longer side and --enlarge, for the sizes of the results. */
imp_painting_options imp_cli_job_sizes(const imp_cli_job *job);

/* Finds each photo's size where there are several, which tells those that go together; those without one are taken. */
int imp_cli_job_find_sizes(imp_cli_job *job);

void imp_cli_job_take(imp_cli_job *job, imp_cli_photo *photo);
/* All that are left of the photo's size; returns how many. */
int imp_cli_job_take_size(imp_cli_job *job, const imp_cli_photo *photo);

/* What failed was not the photo's fault: nothing of its size can be painted, and all of them are taken. Returns the
   exit code after saying so. */
int imp_cli_job_fail_size(imp_cli_job *job, const imp_cli_photo *photo, int status);

/* Refuses what is known not to fit, and warns of what probably does not. smaller: the options that make it so.
   --max-memory is the library's affair. */
int imp_cli_job_check_memory(uint64_t bytes, const char *smaller);

imp_depth imp_cli_job_depth(const imp_cli_job *job);

/* Writes a photo's result. */
int imp_cli_job_write(const imp_cli_job *job, const imp_cli_photo *photo, const imp_image *picture);

/* Where there are several photos: how many were painted, and how fast. Returns the exit code: of a signal that came, as
   a shell reports it, else the given one. */
int imp_cli_job_tell_end(const imp_cli_job *job, int code);

/* Keeps the first failure's exit code. */
static inline void imp_cli_note_code(int *code, int failure) {
    if (!*code) *code = failure;
}

#endif
