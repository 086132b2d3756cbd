/* Several photos in one painting: each is painted as it would be alone. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "painting_fixture.h"
#include "unit.h"

/* Painted alone: the losses of each step, and the picture. */
typedef struct alone {
    double losses[8][3];
    uint16_t samples[HEIGHT * WIDTH * 3];
} alone;

static void keep_losses(alone *to, int step, const imp_progress *progress) {
    to->losses[step][0] = progress->total_loss;
    to->losses[step][1] = progress->content_loss;
    to->losses[step][2] = progress->style_loss;
}

static void keep_picture(alone *to, imp_painting *painting, int photo) {
    imp_image picture;
    assert_int_equal(imp_painting_image_of(painting, photo, IMP_DEPTH_16, &picture), IMP_OK);
    assert_true(picture.width == WIDTH && picture.height == HEIGHT);
    memcpy(to->samples, picture.pixels, sizeof to->samples);
    imp_image_release(shared.context, &picture);
}

/* Paints all photos, together or each in a painting of its own; kept: [PHOTOS]. */
static void paint_all(const imp_painting_options *options, int together, alone *kept) {
    memset(kept, 0, PHOTOS * sizeof *kept); /* bytes are compared */
    for (int first = 0; first < PHOTOS; first += together ? PHOTOS : 1) {
        int photos = together ? PHOTOS : 1;
        imp_painting *painting = NULL;
        imp_progress progress = {.size = sizeof progress};
        assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[first], options, &painting),
                         IMP_OK);
        for (int i = 1; i < photos; i++)
            assert_int_equal(imp_painting_add_photo(painting, &shared.photos[i], NULL), IMP_OK);
        assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
        for (int step = 0; !progress.done; step++) {
            assert_int_equal(imp_painting_step(painting, NULL), IMP_OK);
            for (int i = 0; i < photos; i++) {
                assert_int_equal(imp_painting_progress(painting, i, &progress), IMP_OK);
                keep_losses(&kept[first + i], step, &progress);
            }
        }
        for (int i = 0; i < photos; i++) keep_picture(&kept[first + i], painting, i);
        imp_painting_free(painting);
    }
}

static void together_as_alone(void **state) {
    static const struct {
        const char *optimizer, *loss, *start, *precision;
        imp_keep_colors colors;
    } cases[] = {
        {"adam", "gram", "content", "f32", IMP_COLORS_OF_STYLE},
        {"lbfgs", "gram", "noise", "f32", IMP_COLORS_AFTER},
        {"lbfgs-linesearch", "wasserstein", "content", "f32", IMP_COLORS_OF_STYLE},
        {"lbfgs", "gram-mean-deviation", "content", "bf16", IMP_COLORS_OF_STYLE},
    };
    static alone single[PHOTOS], batch[PHOTOS];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        imp_painting_options options = tiny_options(cases[i].optimizer);
        options.style_loss = cases[i].loss;
        options.start = cases[i].start;
        options.precision = cases[i].precision;
        options.keep_colors = cases[i].colors;
        options.iterations = 8;
        paint_all(&options, 0, single);
        paint_all(&options, 1, batch);
        assert_memory_equal(single, batch, sizeof single);
        assert_true(single[0].losses[7][0] != single[1].losses[7][0]);
    }
}

/* A model whose conv2_2 gives features so large that only a copy of the photo has a finite loss or gradient. */
static imp_model *large_model(void) {
    char path[64];
    file_maker file;
    imp_model *model = NULL;
    snprintf(path, sizeof path, "large_%ld.pth", (long)getpid());
    for (size_t i = tiny_offsets[4]; i < tiny_offsets[5]; i++) tiny_values[i] *= 1e34f;
    make_tiny(&file, "features.", tiny_numbers);
    assert_int_equal(write_torch(&file, path, 0), 0);
    assert_int_equal(imp_model_import_known(shared.context, path, "caffe", tiny_known, &model), IMP_OK);
    remove(path);
    tiny_fill();
    return model;
}

static void one_fails_and_the_others_go_on(void **state) {
    static const char *const optimizers[] = {"adam", "lbfgs"};
    imp_model *model = large_model();
    (void)state;
    for (int i = 0; i < 2; i++) {
        imp_painting_options options = tiny_options(optimizers[i]);
        imp_painting *painting = NULL;
        imp_progress progress = {.size = sizeof progress};
        imp_image picture;
        int steps = 0;
        options.iterations = 30; /* L-BFGS tries for 20 */
        options.style_layers = "conv1_1";
        options.style_weight = options.variation_weight = 0;
        options.start_image = &shared.photos[1];
        assert_int_equal(imp_painting_create(shared.context, model, &shared.photos[0], &options, &painting), IMP_OK);
        assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
        assert_int_equal(imp_painting_add_photo(painting, &shared.photos[2], NULL), IMP_OK);
        for (; !progress.done; steps++) assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
        assert_int_equal(steps, 30);
        assert_int_equal(progress.failed, 1); /* a step tells of the first photo */
        assert_int_equal(imp_painting_progress(painting, 1, &progress), IMP_OK);
        assert_int_equal(progress.failed, 0);
        assert_true(progress.iteration == 30 && progress.total_loss == 0);
        assert_int_equal(imp_painting_image_of(painting, 1, IMP_DEPTH_8, &picture), IMP_OK);
        assert_memory_equal(picture.pixels, shared.samples[2], sizeof shared.samples[2]);
        imp_image_release(shared.context, &picture);
        imp_painting_free(painting);
    }
    imp_model_free(model);
}

static void none_is_left(void **state) {
    imp_model *model = large_model();
    imp_painting_options options = tiny_options("adam");
    imp_painting *painting = NULL;
    imp_image picture;
    (void)state;
    options.start_image = &shared.photos[1];
    assert_int_equal(imp_painting_create(shared.context, model, &shared.photos[0], &options, &painting), IMP_OK);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
    assert_int_equal(imp_painting_add_photo(painting, &shared.photos[2], &shared.photos[1]), IMP_OK);
    assert_int_equal(imp_painting_step(painting, NULL), IMP_ERR_NUMERIC);
    assert_non_null(strstr(imp_error(shared.context), "no longer a finite number"));
    assert_int_equal(imp_painting_step(painting, NULL), IMP_ERR_STATE);
    assert_int_equal(imp_painting_image_of(painting, 1, IMP_DEPTH_8, &picture), IMP_OK);
    imp_image_release(shared.context, &picture);
    imp_painting_free(painting);
    imp_model_free(model);
}

static void photos_that_cannot_be_together(void **state) {
    imp_painting_options options = tiny_options("adam");
    imp_painting *painting = painting_of(shared.context, &options);
    imp_image half = shared.photos[0], picture;
    imp_progress progress = {.size = sizeof progress};
    int width = 0, height = 0;
    (void)state;
    half.height /= 2;
    assert_int_equal(imp_painting_size(shared.context, WIDTH, HEIGHT / 2, &options, &width, &height), IMP_OK);
    assert_true(width == WIDTH && height == HEIGHT / 2);
    assert_int_equal(imp_painting_size(shared.context, 4000, 3000, NULL, &width, &height), IMP_OK);
    assert_true(width == 512 && height == 384);
    assert_int_equal(imp_painting_size(shared.context, 0, 3000, NULL, &width, &height), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_add_photo(painting, &half, NULL), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "40 x 16 pixels, and those of this painting at 40 x 32"));
    assert_int_equal(imp_painting_add_photo(painting, NULL, NULL), IMP_ERR_ARGUMENT);
    for (int i = 1; i < IMP_MAX_PHOTOS; i++)
        assert_int_equal(imp_painting_add_photo(painting, &shared.photos[0], NULL), IMP_OK);
    assert_int_equal(imp_painting_add_photo(painting, &shared.photos[0], NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_progress(painting, IMP_MAX_PHOTOS - 1, &progress), IMP_OK);
    assert_int_equal(imp_painting_progress(painting, IMP_MAX_PHOTOS, &progress), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_image_of(painting, -1, IMP_DEPTH_8, &picture), IMP_ERR_ARGUMENT);
    assert_null(picture.pixels);
    imp_painting_free(painting);

    painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_step(painting, NULL), IMP_OK);
    assert_int_equal(imp_painting_add_photo(painting, &shared.photos[0], NULL), IMP_ERR_STATE);
    imp_painting_free(painting);

    options.keep_colors = IMP_COLORS_BEFORE;
    painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_add_photo(painting, &shared.photos[0], NULL), IMP_ERR_ARGUMENT);
    imp_painting_free(painting);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(together_as_alone),
        cmocka_unit_test(one_fails_and_the_others_go_on),
        cmocka_unit_test(none_is_left),
        cmocka_unit_test(photos_that_cannot_be_together),
    };
    return cmocka_run_group_tests(tests, painting_set_up, painting_tear_down);
}
