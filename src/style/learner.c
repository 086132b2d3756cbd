/* Which learner a recipe describes. */
#include "style/learner.h"

int imp_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_learner *learner) {
    *learner = (imp_learner){0};
    return recipe->task == IMP_RECIPE_STYLE ? imp_styler_learner_create(context, recipe, source, learner)
                                            : imp_student_learner_create(context, recipe, source, learner);
}
