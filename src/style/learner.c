/* Which learner a recipe describes. */
#include "style/learner.h"

int imp_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_learner *learner) {
    (void)source;
    *learner = (imp_learner){0};
    return imp_fail(context, IMP_ERR_ARGUMENT, "there is no architecture \"%.60s\" that trains",
                    recipe->network.architecture);
}
