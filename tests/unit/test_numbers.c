/* Random numbers, 16-bit floats, the clock. */
#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/half.h"
#include "base/random.h"
#include "unit.h"

/* The first ten numbers of the authors' xoshiro256plusplus.c from the state 1, 2, 3, 4. */
static void random_numbers_are_the_authors(void **state) {
    static const uint64_t known[] = {41943041u,
                                     58720359u,
                                     3588806011781223u,
                                     3591011842654386u,
                                     9228616714210784205u,
                                     9973669472204895162u,
                                     14011001112246962877u,
                                     12406186145184390807u,
                                     15849039046786891736u,
                                     10450023813501588000u};
    /* The first four of splitmix64.c from 1234567. */
    static const uint64_t seeds[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                     4593380528125082431u};
    imp_random random = {{1, 2, 3, 4}};
    (void)state;
    for (int i = 0; i < 10; i++) assert_true(imp_random_next(&random) == known[i]);
    imp_random_seed(&random, 1234567);
    for (int i = 0; i < 4; i++) assert_true(random.state[i] == seeds[i]);
}

#define DRAWS 200000

static void random_distributions(void **state) {
    double sum = 0, squares = 0, least = 1, most = 0, normal = 0, normal_squares = 0, fourth = 0;
    imp_random random;
    (void)state;
    imp_random_seed(&random, 0);
    for (int i = 0; i < DRAWS; i++) {
        double value = imp_random_uniform(&random);
        sum += value;
        squares += value * value;
        least = fmin(least, value);
        most = fmax(most, value);
    }
    for (int i = 0; i < DRAWS; i++) {
        double value = imp_random_normal(&random);
        normal += value;
        normal_squares += value * value;
        fourth += value * value * value * value;
    }
    assert_true(least >= 0 && most < 1 && least < 1e-4 && most > 1 - 1e-4);
    /* Five deviations of each mean: sqrt(1/12 / n), sqrt(4/45 / n), sqrt(1 / n), sqrt(2 / n), sqrt(96 / n). */
    assert_true(fabs(sum / DRAWS - 0.5) < 5 * sqrt(1.0 / 12 / DRAWS));
    assert_true(fabs(squares / DRAWS - 1.0 / 3) < 5 * sqrt(4.0 / 45 / DRAWS));
    assert_true(fabs(normal / DRAWS) < 5 * sqrt(1.0 / DRAWS));
    assert_true(fabs(normal_squares / DRAWS - 1) < 5 * sqrt(2.0 / DRAWS));
    assert_true(fabs(fourth / DRAWS - 3) < 5 * sqrt(96.0 / DRAWS));
}

/* The value by the definition of a format with so many mantissa bits and such a bias. */
static double defined_value(unsigned bits, int mantissa_bits, int bias) {
    unsigned exponent = (bits & 0x7FFF) >> mantissa_bits, mantissa = bits & ((1u << mantissa_bits) - 1);
    unsigned top = 0x7FFFu >> mantissa_bits;
    double magnitude = exponent == 0 ? ldexp(mantissa, 1 - bias - mantissa_bits)
                                     : ldexp((1u << mantissa_bits) + mantissa, (int)exponent - bias - mantissa_bits);
    if (exponent == top) magnitude = mantissa ? NAN : INFINITY;
    return bits & 0x8000 ? -magnitude : magnitude;
}

/* Every value, back again, and what lies between it and its neighbour. */
static void check_format(float (*widen)(uint16_t), uint16_t (*narrow)(float), int mantissa_bits, int bias) {
    for (unsigned bits = 0; bits < 65536; bits++) {
        double value = defined_value(bits, mantissa_bits, bias);
        float wide = widen((uint16_t)bits), middle;
        double next;
        if (isnan(value)) {
            assert_true(isnan(wide));
            assert_true(isnan(defined_value(narrow(wide), mantissa_bits, bias)));
            assert_int_equal(narrow(wide) & 0x8000, bits & 0x8000);
            continue;
        }
        assert_true((double)wide == value);
        assert_int_equal(!!signbit(wide), bits >> 15);
        assert_int_equal(narrow(wide), bits);
        if (isinf(value)) continue;
        next = defined_value(bits + 1, mantissa_bits, bias);
        if (isinf(next)) /* the next power of two is where rounding to infinity is measured from */
            next = copysign(ldexp(1, ilogb(value) + 1), value);
        middle = (float)((value + next) / 2);
        assert_true((double)middle == (value + next) / 2);
        assert_int_equal(narrow(middle), bits & 1 ? bits + 1 : bits);
        assert_int_equal(narrow(nextafterf(middle, (float)value)), bits);
        assert_int_equal(narrow(nextafterf(middle, copysignf(INFINITY, (float)value))), bits + 1);
    }
}

static void every_binary16(void **state) {
    (void)state;
    check_format(imp_f16_to_f32, imp_f32_to_f16, 10, 15);
    assert_int_equal(imp_f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(imp_f32_to_f16(-1e30f), 0xFC00);
    assert_int_equal(imp_f32_to_f16(1e-30f), 0);
}

static void every_bfloat16(void **state) {
    (void)state;
    check_format(imp_bf16_to_f32, imp_f32_to_bf16, 7, 127);
}

static void clock_goes_forward(void **state) {
    double before = imp_seconds();
    (void)state;
    usleep(1000);
    assert_true(imp_seconds() - before >= 0.001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_numbers_are_the_authors),
        cmocka_unit_test(random_distributions),
        cmocka_unit_test(every_binary16),
        cmocka_unit_test(every_bfloat16),
        cmocka_unit_test(clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
