/* The network that trains: a model made by a recipe, its parameters as training wants them, and its file. */
#ifndef IMP_STYLE_TRAINEE_H
#define IMP_STYLE_TRAINEE_H

#include "graph/plan.h"
#include "models/model.h"
#include "style/learner.h"

typedef struct imp_trainee {
    imp_context *context;
    imp_model *model;
    imp_learner_parameter *parameters; /* those of model->network, then those that were added */
    int parameter_count;
    imp_element element; /* of its feature maps */
    float *moments;      /* of all batch norms' channels, what imp_trainee_look saw: a mean and a variance */
} imp_trainee;

/* With the recipe's options and seed, or the weights that it starts from. IMP_ERR_ARGUMENT: an architecture or option that is
   not known. What was made is released by imp_trainee_release, after a failure too. */
int imp_trainee_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_trainee *trainee);
void imp_trainee_release(imp_trainee *trainee);

/* What a learner keeps in checkpoints beside the network: adds a state to the parameters, up to IMP_TRAINEE_MORE. name and
   data stay the caller's. Returns it. */
#define IMP_TRAINEE_MORE 8
imp_learner_parameter *imp_trainee_add_state(imp_trainee *trainee, const char *name, int dimensions,
                                             const int64_t *shape, float *data);

/* Makes packed copies of the weights anew. */
int imp_trainee_refresh(imp_trainee *trainee);

/* Plan options for the recipe's batch of crops. */
imp_plan_options imp_recipe_plan_options(const imp_recipe *recipe, imp_element element, const imp_tap *taps, int count);

/* Finds layers of a network by a recipe's names; those are 1 at least. what: "style". */
int imp_recipe_find_layers(imp_context *context, const imp_network *network, const imp_recipe_numbers *names,
                           const char *what, int *layers, double *weights, int most);

/* The names of the styles, or of their pictures, a line each; their order is what the network knows them by. NULL: no
   memory. */
char *imp_recipe_join_styles(imp_context *context, const imp_recipe *recipe, int pictures);

/* IMP_ERR_ARGUMENT: crops have a side that is no multiple of what the network needs. */
int imp_recipe_check_crop(imp_context *context, const imp_recipe *recipe, int multiple);

/* The recipe's batch of the source's crops, from number first of set on: [batch, 3, side, side]. The status is the
   source's. */
int imp_recipe_take_crops(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                          const char *set, uint64_t first, float *crops);

/* Of maps that are compared with for one step: targets[i] become NULL. */
void imp_map_targets_free(imp_context *context, imp_map_target **targets, int count);

/* Clears the gradients that are wanted and has the plan add to them; returns whether there are any. */
int imp_trainee_want(const imp_trainee *trainee, imp_plan *plan, float *const *gradients);

/* Batch norms' running means and variances, in two parts: what they saw in the plan's forward pass, to be called before its
   backward pass, is taken, and comes into the model once the step is made. */
void imp_trainee_look(imp_trainee *trainee, const imp_plan *plan);
void imp_trainee_follow(imp_trainee *trainee);

/* The model file, with batch norms folded into the convolutions. */
int imp_trainee_write(const imp_trainee *trainee, const char *path, imp_storage storage);

/* How a recipe's precision is had on this machine. */
imp_element imp_recipe_element(const imp_context *context, int precision);

/* The model that the recipe calls loss network. IMP_ERR_ARGUMENT: it paints. */
int imp_recipe_open_teacher(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                            imp_model **model);

#endif
