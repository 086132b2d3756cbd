/* The styles that a network is taught: of each painting what every style layer of the loss network should look like. */
#ifndef IMP_STYLE_STYLE_BANK_H
#define IMP_STYLE_STYLE_BANK_H

#include "graph/plan.h"
#include "style/losses.h"
#include "style/recipe.h"

#define IMP_BANK_LAYERS 32

typedef struct imp_style_bank {
    imp_context *context;
    const imp_recipe *recipe;
    const imp_network *network;
    imp_element element;
    int layer_count;
    int layers[IMP_BANK_LAYERS]; /* taps of the network, in the recipe's order of style layers */
    double weights[IMP_BANK_LAYERS];
    imp_style_target **targets; /* [styles, layer_count] */
    float *sizes;               /* [styles, layer_count]: what a loss is divided by; 1 at first */
} imp_style_bank;

/* Finds the recipe's style layers and looks at all paintings. Released by imp_style_bank_release, after a failure too. */
int imp_style_bank_create(imp_context *context, const imp_network *network, const imp_recipe *recipe,
                          const imp_training_source *source, imp_element element, imp_style_bank *bank);
void imp_style_bank_release(imp_style_bank *bank);

/* The sizes become the means of count losses whose sums these are, [styles, layer_count]. With those of untouched photos
   a photo's loss is about 1 for every style and layer, and the painting's 0. */
void imp_style_bank_set_sizes(imp_style_bank *bank, const double *sums, int count);

/* The loss of one layer in a style, divided by its size; by_second and by_sum as in imp_style_evaluate, of weight times
   that. */
int imp_style_bank_evaluate(imp_style_bank *bank, int style, int layer, const imp_statistics *statistics, double weight,
                            double *value, float *by_second, float *by_sum);

#endif
