/* Which learner a recipe describes. */
#include "style/learner.h"

#include "formats/safetensors.h"

int imp_learner_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                       imp_learner *learner) {
    *learner = (imp_learner){0};
    return recipe->task == IMP_RECIPE_STYLE ? imp_styler_learner_create(context, recipe, source, learner)
                                            : imp_student_learner_create(context, recipe, source, learner);
}

uint32_t imp_network_checksum(const imp_network *network) {
    uint32_t sum = 0;
    for (int i = 0; i < network->parameter_count; i++) {
        const imp_parameter *parameter = &network->parameters[i];
        sum = imp_checksum_add(sum, parameter->data, imp_parameter_count(parameter) * sizeof(float));
    }
    return sum;
}
