/* What steers a descent: octaves, the content's lead, the rule for stopping. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "failing_allocator.h"
#include "style/course.h"
#include "style/octaves.h"
#include "unit.h"

#define MOST (3 * 61 * 50)

static const int sizes[][2] = {{61, 50}, {33, 64}, {16, 16}, {5, 17}, {4, 9}, {1, 1}}; /* odd, even, hardly any */
enum { size_count = sizeof sizes / sizeof sizes[0] };

static void fill(float *planes, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        planes[i] = (float)(seed >> 8) / (1 << 23) - 1;
    }
}

static double product(const float *a, const float *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}

static void apply(int height, int width, int threads, double growth, float *planes) {
    imp_context *context = make_context(threads, 0);
    imp_octaves *octaves;
    assert_int_equal(imp_octaves_create(context, height, width, growth, &octaves), IMP_OK);
    imp_octaves_apply(octaves, planes);
    imp_octaves_free(octaves);
    imp_context_free(context);
}

/* What L-BFGS needs of P: a . P b = b . P a and a . P a > 0; at least a . a, as P = 1 + something positive. */
static void octaves_are_symmetric_and_positive(void **state) {
    static float a[MOST], b[MOST], pa[MOST], pb[MOST];
    (void)state;
    for (int k = 0; k < size_count; k++) {
        size_t count = (size_t)(3 * sizes[k][0] * sizes[k][1]);
        fill(a, count, 1);
        fill(b, count, 2);
        memcpy(pa, a, sizeof pa);
        memcpy(pb, b, sizeof pb);
        apply(sizes[k][0], sizes[k][1], 1, 2, pa);
        apply(sizes[k][0], sizes[k][1], 1, 2, pb);
        double ab = product(a, pb, count), ba = product(b, pa, count), aa = product(a, pa, count);
        /* Sums of f32 products: each P a is right to about 1e-6 of itself. */
        assert_true(fabs(ab - ba) <= 1e-5 * (fabs(aa) + fabs(product(b, pb, count))));
        assert_true(aa >= product(a, a, count) * (1 - 1e-5));
    }
}

/* Waves along x of 2 and of 16 pixels: the finest does not pass the first halving, the other passes the first two. And
   a constant, away from odd edges, where there is half a coarse pixel: 1 + 1 + 2 + 4 + 8 = 16 at 64x64, which is halved
   four times. */
static void broad_changes_are_moved_more(void **state) {
    static float planes[3 * 64 * 64];
    double gain[2];
    (void)state;
    for (int wave = 0; wave < 2; wave++) {
        double length = wave ? 16 : 2, before = 0, along = 0;
        for (int i = 0; i < 3 * 64 * 64; i++) planes[i] = (float)cos(2 * M_PI * (i % 64 + 0.5 * wave) / length);
        for (int i = 0; i < 3 * 64 * 64; i++) before += (double)planes[i] * planes[i];
        apply(64, 64, 2, 2, planes);
        for (int i = 0; i < 3 * 64 * 64; i++)
            along += cos(2 * M_PI * (i % 64 + 0.5 * wave) / length) * (double)planes[i];
        gain[wave] = along / before;
    }
    assert_true(gain[0] >= 1 && gain[0] < 1.2); /* 1, but for what the edges leave */
    assert_true(gain[1] > 2.5 && gain[1] < 4);  /* three octaves would be 8 if bilinear filters were sharp */
    for (int i = 0; i < 3 * 64 * 64; i++) planes[i] = 1;
    apply(64, 64, 2, 2, planes);
    for (int i = 0; i < 3 * 64 * 64; i++) assert_true(fabsf(planes[i] - 16) < 1e-4f); /* eighths and sixteenths */
}

static void threads_do_not_change_octaves(void **state) {
    static float a[MOST], b[MOST];
    (void)state;
    fill(a, MOST, 3);
    memcpy(b, a, sizeof b);
    apply(61, 50, 1, 1.5, a);
    apply(61, 50, 3, 1.5, b);
    assert_memory_equal(a, b, sizeof a);
}

static int create_octaves(imp_context *context, void *user) {
    imp_octaves *octaves;
    (void)user;
    int status = imp_octaves_create(context, 40, 30, 2, &octaves);
    imp_octaves_free(octaves);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(create_octaves, NULL), 0);
}

static void the_lead_comes_down(void **state) {
    imp_preset preset = {.content_lead = 16, .lead_share = 0.5}, none = {0};
    (void)state;
    assert_true(imp_course_lead(&preset, 0) == 16);
    assert_true(fabs(imp_course_lead(&preset, 0.25) - 4) < 1e-12); /* rounding of pow */
    assert_true(imp_course_lead(&preset, 0.5) == 1 && imp_course_lead(&preset, 2) == 1);
    assert_true(imp_course_lead(&none, 0) == 1);
}

static void shares_go_from_0_to_1(void **state) {
    (void)state;
    assert_true(imp_course_share(4, 4, 8) == 0 && imp_course_share(4, 5, 8) == 0.25);
    assert_true(imp_course_share(4, 8, 8) == 1);
    assert_true(imp_course_share(4, 3, 8) == 0 && imp_course_share(4, 9, 8) == 1);
    assert_true(imp_course_share(8, 8, 8) == 1 && imp_course_share(9, 9, 8) == 1); /* begun too late */
}

/* The iteration, from 1, at which a loss that falls by so much each time no longer pays; 0: it goes on paying. */
static int stops_at(double factor, double least_gain) {
    imp_course course = {0};
    double loss = 100;
    for (int i = 1; i <= 60; i++, loss = i < 30 ? loss * factor : loss)
        if (imp_course_note(&course, least_gain, loss)) return i;
    return 0;
}

static void it_stops_when_it_no_longer_pays(void **state) {
    imp_course course = {0};
    (void)state;
    assert_int_equal(stops_at(0.99, 0), 0);    /* 0 never stops */
    assert_int_equal(stops_at(0.99, 0.2), 11); /* ten steps of 1 % gain 9.6 % */
    assert_int_equal(stops_at(0.9, 0.2), 37);  /* stands still from the 29th: two steps of 10 % are 19 % */
    assert_int_equal(stops_at(1.5, 0.01), 11); /* rises */
    for (int i = 0; i < 10; i++) assert_int_equal(imp_course_note(&course, 0.01, i % 2 ? NAN : 100 - 10 * i), 0);
    assert_int_equal(imp_course_note(&course, 0.01, NAN), 0); /* what is not a number gains nothing and loses nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(octaves_are_symmetric_and_positive),
        cmocka_unit_test(broad_changes_are_moved_more),
        cmocka_unit_test(threads_do_not_change_octaves),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_lead_comes_down),
        cmocka_unit_test(shares_go_from_0_to_1),
        cmocka_unit_test(it_stops_when_it_no_longer_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
