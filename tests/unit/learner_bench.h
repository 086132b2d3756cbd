/* What tests of learners share: pictures and models of random weights, a learner with its crops and gradients, and checks
 * that hold for any of them. All end the test where something fails. */
#ifndef IMP_TESTS_LEARNER_BENCH_H
#define IMP_TESTS_LEARNER_BENCH_H

#include "models/model.h"
#include "style/learner.h"

#define STYLER_IN(precision, more)                                                                                     \
    "{\"task\": \"style\", \"network\": {\"architecture\": \"fine\", \"options\": {\"channels\": 16, \"blocks\": 1},"  \
    " \"precision\": \"" precision "\"}, \"loss_network\": {\"model\": \"tiny\", \"precision\": \"" precision "\"},"   \
    " \"losses\": {\"content\": {\"conv2_2\": 1}, \"content_weight\": 2,"                                              \
    " \"style\": {\"conv1_1\": 1, \"conv2_1\": 0.5}, \"variation_weight\": 1" more "}, \"styles\": ["                  \
    "{\"name\": \"one\", \"picture\": \"a\", \"side\": 16}, {\"name\": \"two\", \"picture\": \"b\", \"side\": 20}],"   \
    " \"data\": {\"sources\": [{}], \"crop\": 16}, \"batch\": 3, \"seed\": 5, \"stages\": [{\"steps\": 1}]}"
#define STYLER(more) STYLER_IN("f32", more)

#define STUDENT(name, options)                                                                                         \
    "{\"task\": \"features\", \"network\": {\"architecture\": \"" name "\"" options "},"                               \
    " \"loss_network\": {\"model\": \"vgg19\"}, \"losses\": {\"features\": {\"conv2_1\": 1, \"conv4_2\": 0.5},"        \
    " \"style\": {\"conv3_1\": 1}, \"style_weight\": 0.1},"                                                            \
    " \"data\": {\"sources\": [{}], \"crop\": 32}, \"batch\": 4, \"seed\": 5, \"stages\": [{\"steps\": 1}]}"

#define MOST_PARAMETERS 192

typedef struct bench {
    imp_context *context;
    imp_recipe *recipe;
    imp_learner learner;
    float *crops;
    float *gradients[MOST_PARAMETERS], *others[MOST_PARAMETERS];
    double losses[IMP_TRAINING_MAX_LOSSES];
} bench;

/* Where pictures and models come from: soft blobs, so that layers see more than noise, and "tiny", a VGG of two blocks, or a
   known network. */
extern const imp_training_source bench_source;
float bench_pixel(uint64_t number, int c, int y, int x);
int bench_crop(void *user, const char *set, uint64_t number, int side, float *planes);
int bench_model(void *user, imp_context *context, const char *name, imp_model **made);

void bench_begin(bench *on, const char *recipe, int threads);
void bench_end(bench *on);
size_t bench_length(const bench *on, int i); /* values of a parameter */

/* The losses of the crops, and where they are not NULL the gradients. */
void bench_evaluate(bench *on, float *const *gradients);
void bench_evaluate_step(bench *on, int64_t number, float *const *gradients);

/* The loss has the slope that the gradient says. */
void bench_check_slope(bench *on, double step);

/* A few steps of plain descent make the loss smaller. */
void bench_descend(const char *recipe, double rate);

/* What other crops told gives way to what a checkpoint has. name: of a state that they tell. */
void bench_go_on(const char *recipe, const char *name);

#endif
