/* Losses of several networks together, and a sketch by one network that others finish. */
#include <math.h>
#include <string.h>

#include "failing_allocator.h"
#include "painting_fixture.h"
#include "unit.h"

#define STEPS 6
#define VALUES (3 * WIDTH * HEIGHT)

/* The tiny network with another preprocessing, so that its features and losses are others. */
static imp_model *other;

static int set_up(void **state) {
    int status = painting_set_up(state);
    if (!status) other = tiny_model("torchvision");
    return status;
}

static int tear_down(void **state) {
    imp_model_free(other);
    return painting_tear_down(state);
}

/* ---- Mixed features ---------------------------------------------------------------------------------------------- */

typedef struct course {
    double losses[STEPS][3];
    uint16_t samples[VALUES];
} course;

static void paint(const imp_model *model, const imp_painting_options *options, course *out) {
    imp_painting *painting = NULL;
    imp_progress progress = {.size = sizeof progress};
    imp_image picture;
    memset(out, 0, sizeof *out); /* bytes are compared */
    assert_int_equal(imp_painting_create(shared.context, model, &shared.photos[0], options, &painting), IMP_OK);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
        out->losses[i][0] = progress.total_loss;
        out->losses[i][1] = progress.content_loss;
        out->losses[i][2] = progress.style_loss;
    }
    assert_true(progress.done);
    assert_int_equal(imp_painting_image(painting, IMP_DEPTH_16, &picture), IMP_OK);
    memcpy(out->samples, picture.pixels, sizeof out->samples);
    imp_image_release(shared.context, &picture);
    imp_painting_free(painting);
}

static imp_painting_options mixed_options(const char *optimizer, const imp_weighted_model *models, int count) {
    imp_painting_options options = tiny_options(optimizer);
    options.iterations = STEPS;
    options.models = models;
    options.model_count = count;
    return options;
}

/* A half of everything is exact in floating point, and so is the sum of two halves: the same bits. */
static void one_network_in_any_way(void **state) {
    const imp_weighted_model one[] = {{shared.model, 1}}, halves[] = {{shared.model, 0.5}, {shared.model, 0.5}};
    static const char *const ways[][2] = {{"adam", "f32"}, {"lbfgs", "f32"}, {"lbfgs", "bf16"}};
    static course plain, listed, halved;
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        imp_painting_options options = mixed_options(ways[i][0], NULL, 0);
        options.precision = ways[i][1];
        paint(shared.model, &options, &plain);
        options.models = one;
        options.model_count = 1;
        paint(NULL, &options, &listed);
        options.models = halves;
        options.model_count = 2;
        paint(other, &options, &halved); /* the list is in its place */
        assert_memory_equal(&plain, &listed, sizeof plain);
        assert_memory_equal(&plain, &halved, sizeof plain);
    }
}

static void evaluate(const imp_painting_options *options, imp_progress *losses, float *gradient) {
    imp_painting *painting = painting_of(shared.context, options);
    *losses = (imp_progress){.size = sizeof *losses};
    assert_int_equal(imp_painting_losses(painting, losses, gradient), IMP_OK);
    imp_painting_free(painting);
}

/* Losses and gradient of two are those of each, times the weights. The photo begins with a content loss of 0, so that
   another start makes both count. */
static void losses_are_added(void **state) {
    const imp_weighted_model both[] = {{shared.model, 0.25}, {other, 3}}, each[2][1] = {{both[0]}, {both[1]}};
    static float sum[VALUES], one[2][VALUES];
    imp_progress losses, parts[2];
    double square = 0, error = 0;
    (void)state;
    imp_painting_options options = mixed_options("adam", both, 2);
    options.start_image = &shared.photos[1];
    options.variation_weight = 0;
    options.precision = "f32";
    evaluate(&options, &losses, sum);
    options.model_count = 1;
    for (int i = 0; i < 2; i++) {
        options.models = each[i];
        evaluate(&options, &parts[i], one[i]);
    }
    assert_true(parts[0].content_loss > 0 && parts[1].content_loss > 0);
    /* Doubles, added in another order. */
    assert_true(fabs(parts[0].content_loss + parts[1].content_loss - losses.content_loss) <
                1e-12 * losses.content_loss);
    assert_true(fabs(parts[0].style_loss + parts[1].style_loss - losses.style_loss) < 1e-12 * losses.style_loss);
    for (int i = 0; i < VALUES; i++) {
        double wanted = (double)one[0][i] + one[1][i];
        square += wanted * wanted;
        error += (sum[i] - wanted) * (sum[i] - wanted);
    }
    assert_true(square > 0 && error <= 1e-13 * square); /* one rounding of a float, 6e-8, squared, is 4e-15 */
}

/* Each takes the layers that it has: "wide" has no second block. */
static void layers_go_to_those_that_have_them(void **state) {
    static float gradient[VALUES];
    imp_progress losses;
    imp_model *wide = NULL;
    (void)state;
    assert_int_equal(imp_model_make(shared.context, imp_architecture_find(tiny_known, "wide"), NULL, &wide), IMP_OK);
    assert_int_equal(imp_model_set_preprocessing(shared.context, wide, "torchvision"), IMP_OK);
    assert_int_equal(imp_model_initialize(shared.context, wide, 1), IMP_OK);
    const imp_weighted_model both[] = {{shared.model, 1}, {wide, 1}}, alone[] = {{wide, 1}};
    imp_painting_options options = mixed_options("adam", both, 2);
    evaluate(&options, &losses, gradient);
    assert_true(losses.style_loss > 0);

    imp_painting *painting;
    options.content_layers = options.style_layers = "conv2_1";
    assert_int_equal(imp_painting_create(shared.context, NULL, &shared.photos[0], &options, &painting),
                     IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "wide has none of the content and style layers"));
    options.models = alone;
    options.model_count = 1;
    assert_int_equal(imp_painting_create(shared.context, NULL, &shared.photos[0], &options, &painting),
                     IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "unknown layer \"conv2_1\" in the content layers"));
    imp_model_free(wide);
}

/* A network with sums and strides runs whole: beside others, and where memory is short, which the words then say. */
static void a_network_that_cannot_be_cut(void **state) {
    imp_context_options context_options;
    imp_context *small;
    imp_model *slim = NULL;
    imp_progress losses;
    static float gradient[VALUES];
    double square = 0;
    (void)state;
    assert_int_equal(imp_model_make(shared.context, imp_architecture_find(tiny_known, "slim"), NULL, &slim), IMP_OK);
    assert_int_equal(imp_model_set_preprocessing(shared.context, slim, "torchvision"), IMP_OK);
    assert_int_equal(imp_model_initialize(shared.context, slim, 1), IMP_OK);
    const imp_weighted_model both[] = {{shared.model, 1}, {slim, 1}};
    imp_painting_options options = mixed_options("lbfgs", both, 2);
    options.content_layers = "conv2_2,layer2.0";
    options.style_layers = "conv1_1,conv1,maxpool,layer1.0,layer2.0.conv2";
    evaluate(&options, &losses, gradient);
    for (int i = 0; i < VALUES; i++) square += (double)gradient[i] * gradient[i];
    assert_true(losses.style_loss > 0 && square > 0 && isfinite(square));

    imp_context_options_default(&context_options);
    context_options.threads = 1;
    context_options.memory_limit = (size_t)1 << 20; /* the pictures are in; half of what slim's maps take */
    assert_int_equal(imp_context_create(&context_options, &small), IMP_OK);
    imp_painting *painting = painting_of(small, &options);
    imp_estimate estimate = {.size = sizeof estimate};
    assert_int_equal(imp_painting_estimate(painting, &estimate), IMP_ERR_MEMORY);
    assert_non_null(strstr(imp_error(small), "since slim cannot run in strips"));
    imp_painting_free(painting);
    imp_context_free(small);
    imp_model_free(slim);
}

static void refuse(const imp_painting_options *options, const char *words) {
    imp_painting *painting = NULL;
    assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[0], options, &painting),
                     IMP_ERR_ARGUMENT);
    assert_null(painting);
    if (!strstr(imp_error(shared.context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(shared.context), words);
}

static void what_cannot_be_is_refused(void **state) {
    imp_weighted_model models[IMP_MAX_MODELS + 1];
    (void)state;
    for (int i = 0; i <= IMP_MAX_MODELS; i++) models[i] = (imp_weighted_model){shared.model, 1};
    imp_painting_options options = mixed_options("adam", models, IMP_MAX_MODELS + 1);
    refuse(&options, "9 networks in the losses; there may be 1 to 8");
    options.model_count = 0;
    refuse(&options, "0 networks");
    options.model_count = 2;
    models[1].weight = 0;
    refuse(&options, "the weight of tiny in the losses is 0; it must be above 0");
    models[1].weight = NAN;
    refuse(&options, "it must be above 0");
    models[1].model = NULL;
    refuse(&options, "network 2 of the losses is NULL");
    models[1] = models[0];
    options.style_layers = "conv1_1,relu1_1";
    refuse(&options, "stands twice");
    options.style_layers = "conv1_1";
    options.sketch = other;
    options.sketch_share = 1.5;
    refuse(&options, "the sketch's share is 1.5");
}

/* ---- Sketch ------------------------------------------------------------------------------------------------------ */

/* One scale of 6 iterations, of which the sketch's network has 3: the sketch is to the bit what that network paints
   alone. What follows is what the main one makes of that picture, with nothing left of the sketch's optimiser. */
static void a_sketch_is_finished(void **state) {
    static const char *const optimizers[] = {"adam", "lbfgs"};
    imp_painting *painting = NULL, *alone = NULL, *after = NULL;
    imp_progress here = {.size = sizeof here}, there = {.size = sizeof there};
    imp_image picture;
    (void)state;
    for (int i = 0; i < 2; i++) {
        imp_painting_options options = mixed_options(optimizers[i], NULL, 0), half = options;
        options.preset = half.preset = "classic"; /* no margin: a result is all that there is */
        options.precision = half.precision = "f32";
        options.sketch = other;
        half.iterations = STEPS / 2;
        painting = painting_of(shared.context, &options);
        assert_int_equal(imp_painting_create(shared.context, other, &shared.photos[0], &half, &alone), IMP_OK);
        assert_int_equal(imp_painting_add_style(alone, &shared.style, 1), IMP_OK);
        for (int step = 0; step < STEPS / 2; step++) {
            assert_int_equal(imp_painting_step(painting, &here), IMP_OK);
            assert_int_equal(imp_painting_step(alone, &there), IMP_OK);
            assert_true(here.total_loss == there.total_loss);
            assert_true(here.scale == 1 && here.scales == 2 && here.iterations == STEPS);
        }
        assert_true(there.done && !here.done);
        assert_int_equal(imp_painting_image(alone, IMP_DEPTH_F32, &picture), IMP_OK);
        half.start_image = &picture;
        after = painting_of(shared.context, &half);
        for (int step = 0; step < STEPS / 2; step++) {
            assert_int_equal(imp_painting_step(painting, &here), IMP_OK);
            assert_int_equal(imp_painting_step(after, &there), IMP_OK);
            assert_true(here.scale == 2);
            /* Through an image a pixel is rounded to 6e-8 of itself; Adam keeps its moments, so only its first loss. */
            if (step == 0 || i == 1) assert_true(fabs(here.total_loss - there.total_loss) < 1e-4 * there.total_loss);
        }
        assert_true(here.done);
        imp_image_release(shared.context, &picture);
        imp_painting_free(painting);
        imp_painting_free(alone);
        imp_painting_free(after);
    }
}

/* How many of the steps are the sketch's. */
static void shares_of_a_sketch(void **state) {
    static const struct {
        int iterations;
        double share;
        int sketched;
    } cases[] = {{6, 0.5, 3}, {6, IMP_PRESET_VALUE, 3}, {6, 0, 0}, {6, 1, 5}, {1, 1, 0}, {5, 0.3, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        imp_painting_options options = tiny_options("adam");
        imp_progress progress = {.size = sizeof progress};
        int sketched = 0;
        options.iterations = cases[i].iterations;
        options.sketch = other;
        options.sketch_share = cases[i].share;
        imp_painting *painting = painting_of(shared.context, &options);
        while (!progress.done) {
            assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
            sketched += progress.scale < progress.scales;
        }
        assert_int_equal(sketched, cases[i].sketched);
        assert_int_equal(progress.iteration, cases[i].iterations);
        imp_painting_free(painting);
    }
}

/* Coarser scales are the sketch's alone. The preset "crowsonkb" has 128 and 200 pixels here. */
static void coarse_scales_are_sketched(void **state) {
    static uint8_t samples[160 * 200 * 3];
    imp_image large = {sizeof large, 200, 160, 3, IMP_DEPTH_8, 600, samples};
    imp_painting_options options = tiny_options("adam");
    imp_estimate estimate = {.size = sizeof estimate};
    imp_progress with = {.size = sizeof with}, without = {.size = sizeof without};
    imp_painting *painting = NULL, *plain = NULL;
    (void)state;
    for (int i = 0; i < 160 * 200 * 3; i++) samples[i] = (uint8_t)(i * 7919 >> 3);
    options.preset = "crowsonkb";
    options.iterations = 9;
    options.variation_weight = 0;
    assert_int_equal(imp_painting_create(shared.context, other, &large, &options, &plain), IMP_OK);
    options.sketch = other;
    assert_int_equal(imp_painting_create(shared.context, shared.model, &large, &options, &painting), IMP_OK);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
    assert_int_equal(imp_painting_add_style(plain, &shared.style, 1), IMP_OK);
    assert_int_equal(imp_painting_estimate(painting, &estimate), IMP_OK);
    assert_true(estimate.scales == 3 && estimate.iterations == 9);
    while (!with.done) {
        assert_int_equal(imp_painting_step(painting, &with), IMP_OK);
        assert_int_equal(imp_painting_step(plain, &without), IMP_OK);
        assert_int_equal(with.total_loss == without.total_loss, with.scale < 3);
    }
    imp_painting_free(painting);
    imp_painting_free(plain);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static imp_painting_options rich_options(const char *optimizer) {
    static imp_weighted_model models[2];
    models[0] = (imp_weighted_model){shared.model, 1};
    models[1] = (imp_weighted_model){other, 0.5};
    imp_painting_options options = mixed_options(optimizer, models, 2);
    options.iterations = 4;
    options.sketch = other;
    options.precision = "f32"; /* bf16 makes of another order of sums another path */
    return options;
}

/* After a failure the step is made once more, now with memory: it must work as if nothing had been. */
static int paint_whole(imp_context *context, void *user) {
    imp_painting *painting = NULL;
    imp_progress progress = {.size = sizeof progress};
    int failed = IMP_OK, status = imp_painting_create(context, NULL, &shared.photos[0], user, &painting);
    if (!status) status = imp_painting_add_style(painting, &shared.style, 1);
    while (!status && !progress.done) {
        status = imp_painting_step(painting, &progress);
        if (status == IMP_ERR_MEMORY && !failed) {
            failed = status;
            status = imp_painting_step(painting, &progress);
        }
    }
    imp_painting_free(painting);
    return status ? status : failed;
}

static int estimate_seconds(imp_context *context, void *user) {
    imp_painting *painting = NULL;
    double seconds;
    int status = imp_painting_create(context, NULL, &shared.photos[0], user, &painting);
    if (!status) status = imp_painting_add_style(painting, &shared.style, 1);
    if (!status) status = imp_painting_estimate_seconds(painting, &seconds);
    imp_painting_free(painting);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    imp_painting_options options = rich_options("lbfgs");
    assert_int_equal(imp_test_every_allocation(paint_whole, &options), 0);
    assert_int_equal(imp_test_every_allocation(estimate_seconds, &options), 0);
}

/* Paints within the limit (0: none); the last total loss, or 0 when the library says that it cannot. *most: bytes that
   the context had at most. */
static double paint_within(size_t limit, size_t *most, uint64_t *estimated) {
    imp_painting_options options = rich_options("lbfgs");
    imp_context_options context_options;
    imp_context *context;
    imp_context_info info = {.size = sizeof info};
    imp_estimate estimate = {.size = sizeof estimate};
    imp_progress progress = {.size = sizeof progress};
    imp_context_options_default(&context_options);
    context_options.threads = 2;
    context_options.memory_limit = limit;
    assert_int_equal(imp_context_create(&context_options, &context), IMP_OK);
    imp_context_get_info(context, &info);
    size_t before = info.memory_now;
    imp_painting *painting = painting_of(context, &options);
    int status = imp_painting_estimate(painting, &estimate);
    if (status) assert_non_null(strstr(imp_error(context), "need at least"));
    while (!status && !progress.done) assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
    imp_context_get_info(context, &info);
    *most = info.memory_peak - before;
    *estimated = estimate.bytes;
    imp_painting_free(painting);
    imp_context_free(context);
    if (limit) assert_true(info.memory_peak <= limit);
    return status ? 0 : progress.total_loss;
}

/* The estimate counts every network, limits are kept down to where the library refuses, and the losses are those without
   a limit up to the rounding of sums. */
static void memory_is_counted(void **state) {
    size_t most;
    uint64_t estimated;
    double whole = paint_within(0, &most, &estimated), loss = whole;
    int limited = 0, limits = 0;
    (void)state;
    assert_true(most <= estimated);
    size_t step = most / 24;
    for (size_t limit = most; loss > 0 && limits < 24; limit -= step, limits++) {
        loss = paint_within(limit, &most, &estimated);
        if (loss > 0) assert_true(fabs(loss - whole) <= 1e-4 * whole);
        limited += loss > 0 && loss != whole;
    }
    assert_true(loss == 0 && limited > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_network_in_any_way),
        cmocka_unit_test(losses_are_added),
        cmocka_unit_test(layers_go_to_those_that_have_them),
        cmocka_unit_test(a_network_that_cannot_be_cut),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_sketch_is_finished),
        cmocka_unit_test(shares_of_a_sketch),
        cmocka_unit_test(coarse_scales_are_sketched),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(memory_is_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
