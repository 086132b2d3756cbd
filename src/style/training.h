/* Training: steps of AdamW on a learner's parameters, by a recipe's stages. Everything that a step does follows from the
 * state that a checkpoint keeps, so that a training that goes on from one makes the same bits. */
#ifndef IMP_STYLE_TRAINING_H
#define IMP_STYLE_TRAINING_H

#include "optim/optim.h"
#include "style/learner.h"

/* What belongs to one of the learner's parameters. */
typedef struct imp_trained {
    uint64_t stages; /* bit k: it trains in stage k */
    double rate;     /* times the stage's */
    imp_adam *adam;  /* NULL: no stage trains it; then the two below are NULL too */
    float *gradient;
    float *average; /* NULL too where the recipe asks for none; of a state as well, then without the others */
} imp_trained;

struct imp_training {
    imp_context *context;
    const imp_recipe *recipe;
    imp_training_source source;
    imp_learner learner;
    imp_trained *trained; /* [parameter_count] */
    size_t *lengths;      /* [parameter_count] of each in floats */
    float **gradients;    /* [parameter_count] NULL where the stage at work trains nothing */
    double *squares;      /* [parameter_count] of imp_clip_norm */
    float *crops;         /* [batch, 3, side, side] */
    int64_t step;         /* done so far */
    int stale;            /* the parameters were changed, and the learner's copies not made anew yet */
    double begin;         /* when this run began, and at which step */
    int64_t begin_step;
};

/* Takes the learner over, also when it fails. imp_training_create makes the learner of the recipe; tests have others. */
int imp_train_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                     const imp_learner *learner, imp_training **training);

/* Puts the averages in the place of the weights, or back again: calls come in pairs. */
void imp_training_swap(imp_training *training);

/* Has the learner make its copies anew where they are stale. */
int imp_training_refresh(imp_training *training);

#endif
