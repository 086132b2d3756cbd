/* The networks that losses look at: what --model, --features and --sketch name, opened. */
#ifndef IMP_CLI_FEATURES_H
#define IMP_CLI_FEATURES_H

#include "impasto.h"

typedef struct imp_cli_features {
    imp_weighted_model models[IMP_MAX_MODELS];
    imp_model *opened[IMP_MAX_MODELS + 1]; /* those, and behind them the sketch's */
    int count;                             /* of models */
    const imp_model *sketch;               /* NULL: none */
} imp_cli_features;

/* features: "vgg19:1,resnet50:0.5", or NULL for model alone, which NULL makes vgg19; sketch: a model or NULL. Returns 0, or
   the exit code after saying what is wrong. Released by imp_cli_features_free, after a failure too. */
int imp_cli_features_open(imp_context *context, const char *model, const char *features, const char *sketch,
                          imp_cli_features *out);
void imp_cli_features_free(imp_cli_features *features);

/* Into a painting's options, which then point into features. */
void imp_cli_features_apply(const imp_cli_features *features, imp_painting_options *options);

/* The memory limit of a context in which all of them are used, so that the process takes no more than limit in all. */
size_t imp_cli_features_limit(const imp_cli_features *features, size_t limit);

#endif
