/* Paintings through the public interface, on a network small enough for each allocation to fail in turn. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_allocator.h"
#include "painting_fixture.h"
#include "style/pace.h"
#include "unit.h"

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* A whole painting, of several photos. After a failure each call is made once more, now with memory: it must work
   as if nothing had been. */
static int paint_whole(imp_context *context, void *user) {
    const imp_painting_options *options = user;
    imp_painting *painting = NULL;
    imp_progress progress = {.size = sizeof progress};
    imp_image picture;
    int failed = IMP_OK, status = imp_painting_create(context, shared.model, &shared.photos[0], options, &painting);
    if (status) assert_null(painting);
    if (!status) status = imp_painting_add_style(painting, &shared.style, 1);
    if (!status) status = imp_painting_add_photo(painting, &shared.photos[1], NULL);
    if (!status) status = imp_painting_add_photo(painting, &shared.photos[2], &shared.photos[0]);
    while (!status && !progress.done) {
        status = imp_painting_step(painting, &progress);
        if (status == IMP_ERR_MEMORY && !failed) {
            failed = status;
            status = imp_painting_step(painting, &progress);
            if (status == IMP_ERR_MEMORY) break; /* this time all that follow fail */
        }
    }
    if (!status) {
        status = imp_painting_image_of(painting, PHOTOS - 1, IMP_DEPTH_16, &picture);
        if (status) assert_null(picture.pixels);
        imp_image_release(context, &picture);
    }
    imp_painting_free(painting);
    return status ? status : failed;
}

static int estimate_seconds(imp_context *context, void *user) {
    imp_painting *painting = NULL;
    double seconds;
    int status = imp_painting_create(context, shared.model, &shared.photos[0], user, &painting);
    if (!status) status = imp_painting_add_style(painting, &shared.style, 1);
    if (!status) status = imp_painting_add_photo(painting, &shared.photos[1], NULL);
    if (!status) status = imp_painting_estimate_seconds(painting, &seconds);
    imp_painting_free(painting);
    return status;
}

static void every_allocation_may_fail(void **state) {
    static const char *const optimizers[] = {"adam", "lbfgs"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        imp_painting_options options = tiny_options(optimizers[i]);
        if (i == 0) options.keep_colors = IMP_COLORS_AFTER, options.style_loss = "wasserstein";
        assert_int_equal(imp_test_every_allocation(paint_whole, &options), 0);
        assert_int_equal(imp_test_every_allocation(estimate_seconds, &options), 0);
    }
}

static void is_enough(int photos) {
    imp_painting_options options = tiny_options("lbfgs");
    imp_painting *painting;
    imp_estimate estimate = {.size = sizeof estimate};
    imp_context_info before = {.size = sizeof before}, after = {.size = sizeof after};
    imp_context *context;
    assert_int_equal(imp_context_create(NULL, &context), IMP_OK);
    imp_context_get_info(context, &before);
    painting = painting_of(context, &options);
    assert_int_equal(imp_painting_estimate(painting, &estimate), IMP_OK);
    int most;
    assert_int_equal(imp_painting_most_photos(painting, &most), IMP_OK);
    assert_int_equal(most, IMP_MAX_PHOTOS);
    uint64_t one = estimate.bytes;
    while (--photos > 0) assert_int_equal(imp_painting_add_photo(painting, &shared.photos[1], NULL), IMP_OK);
    assert_int_equal(imp_painting_estimate(painting, &estimate), IMP_OK);
    assert_true(estimate.bytes >= one);
    assert_int_equal(estimate.width, WIDTH);
    assert_int_equal(estimate.height, HEIGHT);
    assert_int_equal(estimate.iterations, 3);
    while (estimate.iterations--) assert_int_equal(imp_painting_step(painting, NULL), IMP_OK);
    imp_context_get_info(context, &after);
    if (after.memory_peak - before.memory_now > estimate.bytes)
        print_error("%zu bytes were taken, %llu estimated\n", after.memory_peak - before.memory_now,
                    (unsigned long long)estimate.bytes);
    assert_true(after.memory_peak - before.memory_now <= estimate.bytes);
    imp_painting_free(painting);
    imp_context_free(context);
}

static void the_estimate_is_enough(void **state) {
    (void)state;
    is_enough(1);
    is_enough(5);
}

/* That it is right is seen in bench/ only: here other tests run beside it. */
static void seconds_are_estimated(void **state) {
    imp_painting_options options = tiny_options("adam");
    double seconds = 0, many = 0, limited = 0;
    imp_progress progress = {.size = sizeof progress};
    (void)state;
    imp_painting *painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_estimate_seconds(painting, &seconds), IMP_OK);
    assert_true(seconds > 0 && seconds < 60);
    assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
    assert_true(progress.seconds_left > 0);
    assert_int_equal(imp_painting_estimate_seconds(painting, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_estimate_seconds(NULL, &seconds), IMP_ERR_ARGUMENT);
    imp_painting_free(painting);

    options.iterations = 300000; /* 100000 times as many: beside them neither preparation nor disturbance counts */
    painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_estimate_seconds(painting, &many), IMP_OK);
    assert_true(many > 1000 * seconds);
    imp_painting_free(painting);

    options.time_limit = 1e-3;
    painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_estimate_seconds(painting, &limited), IMP_OK);
    assert_true(limited == 1e-3);
    imp_painting_free(painting);
}

static void *estimate_and_step(void *status) {
    imp_painting_options options = tiny_options("lbfgs");
    imp_context *context = NULL;
    imp_painting *painting = NULL;
    int *failed = status;
    double seconds;
    *failed = imp_context_create(NULL, &context);
    if (!*failed) *failed = imp_painting_create(context, shared.model, &shared.photos[0], &options, &painting);
    if (!*failed) *failed = imp_painting_add_style(painting, &shared.style, 1);
    if (!*failed) *failed = imp_painting_estimate_seconds(painting, &seconds);
    if (!*failed) *failed = imp_painting_step(painting, NULL);
    imp_painting_free(painting);
    imp_context_free(context);
    return NULL;
}

/* One packs the model's weights while the other tries the network out: the thread sanitizer watches. */
static void threads_share_a_model(void **state) {
    pthread_t other;
    int failed[2];
    (void)state;
    assert_int_equal(pthread_create(&other, NULL, estimate_and_step, &failed[0]), 0);
    estimate_and_step(&failed[1]);
    pthread_join(other, NULL);
    assert_true(!failed[0] && !failed[1]);
}

/* The first scale takes 10 + 2 x (1 + 3 x 4) seconds, the second nothing, the third 40 + 5 x (1 + 3 x 8). */
static void seconds_add_up_over_scales(void **state) {
    imp_settings settings = {.scales = {{.iterations = 2, .operations = 4, .preparation = 10.0 / 3},
                                        {.iterations = 0, .operations = 6, .preparation = 7},
                                        {.iterations = 5, .operations = 8, .preparation = 40.0 / 3}},
                             .scale_count = 3};
    const imp_paces pace = {.main = {.fixed = 1, .each = 3}};
    (void)state;
    assert_true(fabs(imp_pace_run(&pace, &settings, 3, 0) - (36 + 165)) < 1e-9);
    assert_true(fabs(imp_pace_run(&pace, &settings, 0, 1) - 23) < 1e-9);
    assert_true(fabs(imp_pace_run(&pace, &settings, 2, 5) - (36 + 165)) < 1e-9);
    settings.scales[0].optimizers = 1; /* takes time in its two steps alone */
    assert_true(imp_pace_run(&pace, &settings, 0, 2) > 36 && imp_pace_run(&pace, &settings, 0, 0) < 36 - 20);
}

/* What the library told while painting within a limit. */
typedef struct limit_log {
    int strips, pairs; /* lines on strips, warnings on pairs */
} limit_log;

static void log_limit(void *user, imp_log_level level, const char *message) {
    limit_log *log = user;
    if (level == IMP_LOG_INFO && strstr(message, "strips")) log->strips++;
    if (level == IMP_LOG_WARNING && strstr(message, "L-BFGS keeps")) log->pairs++;
}

/* Paints within the limit; returns the total loss of the last step, or 0 with the error checked when nothing fits. */
static double paint_within(size_t limit, limit_log *log) {
    imp_painting_options options = tiny_options("lbfgs");
    imp_context_options context_options;
    imp_context *context;
    imp_context_info info = {.size = sizeof info};
    imp_estimate estimate = {.size = sizeof estimate};
    imp_progress progress = {.size = sizeof progress};
    options.precision = "f32"; /* bf16 makes of another order of sums another path */
    imp_context_options_default(&context_options);
    context_options.threads = 2;
    context_options.memory_limit = limit;
    context_options.log = log_limit;
    context_options.user = log;
    assert_int_equal(imp_context_create(&context_options, &context), IMP_OK);
    imp_painting *painting = painting_of(context, &options);
    int status = imp_painting_estimate(painting, &estimate);
    if (status) {
        assert_int_equal(status, IMP_ERR_MEMORY);
        assert_non_null(strstr(imp_error(context), "need at least"));
        assert_int_equal(imp_painting_step(painting, &progress), IMP_ERR_MEMORY);
    }
    while (!status && !progress.done) assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
    imp_context_get_info(context, &info);
    if (limit) assert_true(info.memory_peak <= limit);
    imp_painting_free(painting);
    imp_context_free(context);
    return status ? 0 : progress.total_loss;
}

/* First strips, then fewer pairs, then the words that say what is needed. Three steps make two pairs, so that the losses
   are those without a limit, up to the rounding of sums that three steps of a tiny network hardly enlarge. */
static void limits_are_kept(void **state) {
    double whole = paint_within(0, &(limit_log){0});
    limit_log told = {0};
    int strips_alone = 0, limits = 0;
    (void)state;
    for (size_t limit = (size_t)4 << 20; limits < 200; limit -= (size_t)3 << 13, limits++) {
        double loss = paint_within(limit, &told);
        if (loss == 0) break;
        assert_true(fabs(loss - whole) <= 1e-4 * whole);
        strips_alone |= told.strips && !told.pairs;
    }
    assert_true(limits < 200 && strips_alone && told.pairs);
}

/* As many photos as a limit lets be painted at ease are; one more is painted too, but not at ease. */
static void a_limit_tells_how_many_photos(void **state) {
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        limit_log told = {0};
        imp_painting_options options = tiny_options("lbfgs");
        imp_context_options context_options;
        imp_context *context;
        imp_context_info info = {.size = sizeof info};
        int most;
        imp_context_options_default(&context_options);
        context_options.threads = 2;
        context_options.memory_limit = (size_t)12 << 20;
        context_options.log = log_limit;
        context_options.user = &told;
        assert_int_equal(imp_context_create(&context_options, &context), IMP_OK);
        imp_painting *painting = painting_of(context, &options);
        assert_int_equal(imp_painting_most_photos(painting, NULL), IMP_ERR_ARGUMENT);
        assert_int_equal(imp_painting_most_photos(painting, &most), IMP_OK);
        assert_in_range(most, 2, IMP_MAX_PHOTOS - 1);
        for (int i = 1; i < most + extra; i++)
            assert_int_equal(imp_painting_add_photo(painting, &shared.photos[1], NULL), IMP_OK);
        assert_int_equal(imp_painting_step(painting, NULL), IMP_OK);
        assert_int_equal(told.strips + told.pairs > 0, extra);
        assert_int_equal(imp_painting_most_photos(painting, &most), IMP_ERR_STATE);
        imp_context_get_info(context, &info);
        assert_true(info.memory_peak <= context_options.memory_limit);
        imp_painting_free(painting);
        imp_context_free(context);
    }
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

static void steps_are_as_many_as_asked_for(void **state) {
    static uint8_t samples[160 * 200 * 3];
    imp_image large = {sizeof large, 200, 160, 3, IMP_DEPTH_8, 600, samples};
    (void)state;
    for (int i = 0; i < 160 * 200 * 3; i++) samples[i] = (uint8_t)(i * 7919 >> 3);
    /* The preset "crowsonkb" has scales of 128 and 181 pixels, and 200 there; fewer iterations
       than scales leave some out. */
    for (int iterations = 0; iterations < 5; iterations++) {
        imp_painting_options options = tiny_options("adam");
        imp_progress progress = {.size = sizeof progress};
        imp_painting *painting = NULL;
        imp_image picture = {0};
        int steps = 0;
        options.preset = "crowsonkb";
        options.iterations = iterations;
        assert_int_equal(imp_painting_create(shared.context, shared.model, &large, &options, &painting), IMP_OK);
        assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
        for (; !progress.done; steps++) assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
        assert_int_equal(progress.iteration, iterations);
        assert_int_equal(progress.iterations, iterations);
        assert_int_equal(steps, iterations ? iterations : 1);
        assert_int_equal(imp_painting_step(painting, &progress), IMP_OK); /* nothing more */
        assert_int_equal(progress.iteration, iterations);
        assert_int_equal(imp_painting_image(painting, IMP_DEPTH_8, &picture), IMP_OK);
        assert_true(picture.width == 200 && picture.height == 160 && picture.channels == 3);
        imp_image_release(shared.context, &picture);
        imp_painting_free(painting);
    }
}

/* Of a gain that nothing reaches, eleven iterations are left; where it is the preset's, asked-for iterations are all done. */
static void it_ends_when_it_no_longer_pays(void **state) {
    (void)state;
    for (int given = 0; given < 2; given++) {
        imp_painting_options options = tiny_options("adam");
        imp_progress progress = {.size = sizeof progress};
        options.preset = "fast";
        options.iterations = 40;
        options.variation_weight = 0;
        if (given) options.least_gain = 1;
        imp_painting *painting = painting_of(shared.context, &options);
        while (!progress.done) assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
        /* The content leads for 0.45 x 40 = 18 iterations, which are not judged. */
        assert_int_equal(progress.iteration, given ? 18 + 11 : 40);
        imp_painting_free(painting);
    }
}

static void losses_agree_with_the_step(void **state) {
    imp_painting_options options = tiny_options("adam");
    imp_painting *painting = painting_of(shared.context, &options);
    imp_progress losses = {.size = sizeof losses}, progress = {.size = sizeof progress};
    float *gradient = calloc(3 * WIDTH * HEIGHT, sizeof *gradient);
    double squares = 0;
    (void)state;
    assert_non_null(gradient);
    assert_int_equal(imp_painting_losses(painting, &losses, gradient), IMP_OK);
    assert_int_equal(imp_painting_losses(painting, NULL, NULL), IMP_OK);
    assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
    assert_true(losses.total_loss > 0 && losses.total_loss == progress.total_loss);
    assert_true(losses.style_loss == progress.style_loss && losses.content_loss == progress.content_loss);
    assert_true(losses.iteration == 0 && progress.iteration == 1);
    for (int i = 0; i < 3 * WIDTH * HEIGHT; i++) squares += (double)gradient[i] * gradient[i];
    assert_true(squares > 0 && isfinite(squares));
    free(gradient);
    imp_painting_free(painting);
}

/* ---- Structs and arguments --------------------------------------------------------------------------------------- */

static void structs_of_other_versions_are_taken(void **state) {
    imp_painting_options options = tiny_options("adam");
    imp_painting *painting;
    imp_progress progress = {.size = offsetof(imp_progress, seconds), .seconds = 77, .done = 77};
    imp_estimate estimate = {.size = offsetof(imp_estimate, iterations), .iterations = 77};
    imp_node_profile profile = {.size = offsetof(imp_node_profile, calls), .calls = 77};
    (void)state;
    options.size = offsetof(imp_painting_options, keep_colors); /* what follows keeps its default */
    options.keep_colors = 99;
    options.start = "nothing that is known";
    painting = painting_of(shared.context, &options);
    assert_int_equal(imp_painting_estimate(painting, &estimate), IMP_OK);
    assert_true(estimate.size == offsetof(imp_estimate, iterations) && estimate.iterations == 77 && estimate.bytes);
    assert_int_equal(imp_painting_step(painting, &progress), IMP_OK);
    assert_true(progress.iteration == 1 && progress.seconds == 77 && progress.done == 77);
    assert_int_equal(imp_painting_profile(painting, 0, &profile), IMP_OK);
    assert_true(profile.calls == 77 && profile.name != NULL);

    progress.size = 0;
    assert_int_equal(imp_painting_step(painting, &progress), IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "progress: its size field is 0"));
    assert_int_equal(imp_painting_estimate(painting, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_profile(painting, 1000000, &profile), IMP_ERR_ARGUMENT);
    imp_painting_free(painting);
}

static void what_cannot_be_is_refused(void **state) {
    imp_painting_options options = tiny_options("adam");
    imp_painting *painting = NULL;
    imp_image picture;
    (void)state;
    options.style_layers = "conv1_1:0,5";
    assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[0], &options, &painting),
                     IMP_ERR_ARGUMENT);
    assert_null(painting);
    options.style_layers = "conv1_1:0.5x";
    assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[0], &options, &painting),
                     IMP_ERR_ARGUMENT);
    options = tiny_options("adam");
    options.least_gain = 1.5;
    assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[0], &options, &painting),
                     IMP_ERR_ARGUMENT);
    assert_non_null(strstr(imp_error(shared.context), "the least gain is 1.5"));
    options = tiny_options("adam");
    assert_int_equal(imp_painting_create(shared.context, shared.model, &shared.photos[0], &options, &painting), IMP_OK);
    assert_int_equal(imp_painting_step(painting, NULL), IMP_ERR_STATE);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 0), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_OK);
    assert_int_equal(imp_painting_step(painting, NULL), IMP_OK);
    assert_int_equal(imp_painting_add_style(painting, &shared.style, 1), IMP_ERR_STATE);
    memset(&picture, 0xFF, sizeof picture);
    assert_int_equal(imp_painting_image(painting, (imp_depth)3, &picture), IMP_ERR_ARGUMENT);
    assert_null(picture.pixels);
    imp_painting_free(painting);
    assert_int_equal(imp_painting_step(NULL, NULL), IMP_ERR_ARGUMENT);
    imp_painting_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_a_model), /* first, while nothing is packed */
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_estimate_is_enough),
        cmocka_unit_test(seconds_are_estimated),
        cmocka_unit_test(seconds_add_up_over_scales),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(a_limit_tells_how_many_photos),
        cmocka_unit_test(steps_are_as_many_as_asked_for),
        cmocka_unit_test(it_ends_when_it_no_longer_pays),
        cmocka_unit_test(losses_agree_with_the_step),
        cmocka_unit_test(structs_of_other_versions_are_taken),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, painting_set_up, painting_tear_down);
}
