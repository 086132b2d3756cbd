/* A model of its own context, and pictures. */
#include "painting_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "unit.h"

painting_fixture shared;

static imp_image picture_of(uint8_t *samples, unsigned seed) {
    for (int i = 0; i < HEIGHT * WIDTH * 3; i++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        samples[i] = (uint8_t)(seed >> 24);
    }
    return (imp_image){sizeof(imp_image), WIDTH, HEIGHT, 3, IMP_DEPTH_8, WIDTH * 3, samples};
}

imp_model *tiny_model(const char *preprocessing) {
    char path[64];
    file_maker file;
    imp_model *model;
    /* Programs that share this run side by side. */
    snprintf(path, sizeof path, "painting_%ld.pth", (long)getpid());
    tiny_fill();
    make_tiny(&file, "features.", tiny_numbers);
    assert_int_equal(write_torch(&file, path, 0), 0);
    assert_int_equal(imp_model_import_known(shared.context, path, preprocessing, tiny_known, &model), IMP_OK);
    remove(path);
    return model;
}

int painting_set_up(void **state) {
    (void)state;
    assert_int_equal(imp_context_create(NULL, &shared.context), IMP_OK);
    shared.model = tiny_model("caffe");
    for (unsigned i = 0; i < PHOTOS; i++) shared.photos[i] = picture_of(shared.samples[i], 1 + 2 * i);
    shared.style = picture_of(shared.samples[PHOTOS], 2);
    return 0;
}

int painting_tear_down(void **state) {
    (void)state;
    imp_model_free(shared.model);
    imp_context_free(shared.context);
    return 0;
}

imp_painting_options tiny_options(const char *optimizer) {
    imp_painting_options options;
    imp_painting_options_default(&options);
    options.optimizer = optimizer;
    options.iterations = 3;
    options.content_layers = "conv2_2";
    options.style_layers = "conv1_1,conv2_1:0.5";
    options.variation_weight = 1;
    options.style_weight = 1;
    return options;
}

imp_painting *painting_of(imp_context *context, const imp_painting_options *options) {
    imp_painting *painting = NULL;
    assert_int_equal(imp_painting_create(context, shared.model, &shared.photos[0], options, &painting), IMP_OK);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
    return painting;
}
