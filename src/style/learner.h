/* What training optimises: parameters, and a loss with its gradient on a batch of crops. Training knows no networks; a
 * styler, a student and a test's toy all are learners. */
#ifndef IMP_STYLE_LEARNER_H
#define IMP_STYLE_LEARNER_H

#include "graph/network.h"
#include "style/recipe.h"

#define IMP_LEARNER_DIMENSIONS 8

/* What values a parameter may have; a checkpoint with others is refused. */
typedef enum imp_learner_values { IMP_VALUES_ANY, IMP_VALUES_FROM_0, IMP_VALUES_ABOVE_0 } imp_learner_values;

typedef struct imp_learner_parameter {
    const char *name; /* "conv1_1.weight", at most 200 bytes: checkpoints put a word in front */
    int dimensions;
    int64_t shape[IMP_LEARNER_DIMENSIONS];
    float *data; /* the f32 masters, changed in place */
    int decays;  /* weight decay pulls it to zero: kernels, and not biases or what belongs to norms */
    int state;   /* no gradient trains it (a running mean): follow changes it, or nothing */
    imp_learner_values values;
} imp_learner_parameter;

typedef struct imp_learner {
    void *user;
    const char *architecture; /* what a checkpoint must be of: the name, with all that shapes do not tell */
    const imp_learner_parameter *parameters;
    int parameter_count;
    const char *const *losses; /* names: "total", then those that it is made of; up to IMP_TRAINING_MAX_LOSSES */
    int loss_count;

    /* Losses, and the gradients by parameter, of the recipe's batch: crops [batch, 3, side, side], number the step's, from
       which alone randomness may come. gradients[i] is overwritten; NULL: parameter i stays as it is. When all are NULL
       nothing changes, nor does follow change anything after it. */
    int (*evaluate)(void *user, int64_t number, const float *crops, double *losses, float *const *gradients);
    /* After an evaluation whose step is made: states take what it saw. NULL: there are none that change. */
    void (*follow)(void *user);
    /* After the parameters were changed: copies made of them (packed, rounded) are made anew. */
    int (*refresh)(void *user);
    /* out [3, height, width] from planes of that size, in a style. NULL: this network paints nothing. */
    int (*paint)(void *user, int style, const float *planes, int width, int height, float *out);
    /* Writes the model file. */
    int (*write)(void *user, const char *path, imp_storage storage);
    void (*release)(void *user);

    /* imp_network_checksum of the loss network that a checkpoint must have learnt from; 0: any may take over. */
    uint32_t teacher;
} imp_learner;

/* The learner that the recipe describes, for imp_training_create. On failure *learner is empty. */
int imp_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_learner *learner);

/* Of all weights, in their order. */
uint32_t imp_network_checksum(const imp_network *network);

/* learner_styler.c, learner_student.c: of the two tasks. */
int imp_styler_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                              imp_learner *learner);
int imp_student_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                               imp_learner *learner);

#endif
