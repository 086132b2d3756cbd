/* What the tests of paintings share: a model of its own context, and pictures. */
#ifndef IMP_TESTS_PAINTING_FIXTURE_H
#define IMP_TESTS_PAINTING_FIXTURE_H

#include "tiny_model.h"

#define WIDTH 40
#define HEIGHT 32
#define PHOTOS 3

typedef struct painting_fixture {
    imp_context *context;
    imp_model *model;
    uint8_t samples[PHOTOS + 1][HEIGHT * WIDTH * 3];
    imp_image photos[PHOTOS], style;
} painting_fixture;
extern painting_fixture shared;

int painting_set_up(void **state);
int painting_tear_down(void **state);

/* The shared one's weights, for pixels preprocessed in this way; for imp_model_free. */
imp_model *tiny_model(const char *preprocessing);

/* Scales of 32 and 40 pixels cannot be had from a preset (they begin at 128); more than one scale is the parity
   test's. */
imp_painting_options tiny_options(const char *optimizer);

/* Of the first photo and the style. */
imp_painting *painting_of(imp_context *context, const imp_painting_options *options);

#endif
