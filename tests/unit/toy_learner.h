/* A learner of a few numbers: it learns to tell a crop's mean colour from its opposite. With it, a recipe and crops. */
#ifndef IMP_TESTS_TOY_LEARNER_H
#define IMP_TESTS_TOY_LEARNER_H

#include "style/training.h"

enum { TOY_PARAMETERS = 4 }; /* "mix.weight" [3, 3], "mix.bias" [3], "wind.weight" [2, 5], "mean" [3], a state */

typedef struct toy {
    float mix[9], bias[3], wind[10], mean[3], copy[12]; /* copy: of mix and bias, made by refresh */
    imp_learner_parameter parameters[TOY_PARAMETERS];
    int batch, side;
    int released, refreshes;
    int fail; /* the next evaluation does */
} toy;

/* Of the recipe's batch and crop side; toy must stay. */
imp_learner toy_learner(toy *made, const imp_recipe *recipe);

/* Its crops are the same for a number; user points to an int: from that number of "train" on they are not finite, and
   from minus that number on there are none. NULL: all are good. */
imp_training_source toy_source(int *bad);

#endif
