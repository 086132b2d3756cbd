/* Contexts, errors and memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/thread.h"
#include "unit.h"

/* An allocator that does not keep to what impasto.h asks. */
static void *allocate_askew(void *user, size_t bytes) {
    (void)user;
    return (char *)aligned_alloc(IMP_ALIGNMENT, (bytes + 2 * IMP_ALIGNMENT) / IMP_ALIGNMENT * IMP_ALIGNMENT) + 16;
}

static void release_askew(void *user, void *memory) {
    (void)user;
    free((char *)memory - 16);
}

static void context_checks_its_options(void **state) {
    imp_context_options options;
    imp_context *context;
    (void)state;
    assert_int_equal(imp_context_create(NULL, NULL), IMP_ERR_ARGUMENT);
    for (int wrong = 0; wrong < 6; wrong++) {
        imp_context_options_default(&options);
        if (wrong == 0) options.threads = -1;
        if (wrong == 1) options.threads = 257;
        if (wrong == 2) options.instruction_set = "mmx";
        if (wrong == 3) options.release = release_askew;
        if (wrong == 4) options.size = 0;
        if (wrong == 5) options.size = sizeof(size_t) - 1;
        assert_int_equal(imp_context_create(&options, &context), IMP_ERR_ARGUMENT);
        assert_null(context);
    }
}

static void context_takes_older_and_newer_options(void **state) {
    struct {
        imp_context_options options;
        char newer[64];
    } future = {0};
    imp_context *context;
    (void)state;
    imp_context_options_default(&future.options);
    future.options.threads = 1;
    future.options.size = sizeof future;
    memset(future.newer, 1, sizeof future.newer);
    assert_int_equal(imp_context_create(&future.options, &context), IMP_OK);
    imp_context_free(context);

    /* One compiled when there was only `threads`: what lies behind it must not be read. */
    memset(&future, 0xFF, sizeof future);
    future.options.size = offsetof(imp_context_options, memory_limit);
    future.options.threads = 3;
    assert_int_equal(imp_context_create(&future.options, &context), IMP_OK);
    assert_int_equal(imp_thread_pool_size(context->pool), 3);
    imp_context_free(context);
}

static void context_tells_what_runs(void **state) {
    imp_context_info info = {.size = sizeof info}, untouched = {.size = offsetof(imp_context_info, threads)};
    unsigned before = 0;
    (void)state;
    assert_string_equal(imp_instruction_set_name(0), "c");
    assert_null(imp_instruction_set_name(-1));
    for (int i = 0; imp_instruction_set_name(i); i++) {
        const char *name = imp_instruction_set_name(i);
        unsigned allowed = (unsigned)imp_cpu_features_allowed(name);
        imp_context_options options;
        imp_context *context;
        assert_true(i == 0 ? allowed == 0 : (allowed & before) == before && allowed != before);
        assert_string_equal(imp_cpu_features_name(allowed), name);
        before = allowed;
        imp_context_options_default(&options);
        options.threads = 2;
        options.instruction_set = name;
        assert_int_equal(imp_context_create(&options, &context), IMP_OK);
        assert_int_equal(context->cpu_features, imp_cpu_features(allowed));
        assert_int_equal(imp_context_get_info(context, &info), IMP_OK);
        assert_int_equal(info.threads, 2);
        assert_string_equal(info.instruction_set, imp_cpu_features_name(imp_cpu_features(allowed)));
        untouched.threads = 77;
        assert_int_equal(imp_context_get_info(context, &untouched), IMP_OK);
        assert_int_equal(untouched.threads, 77);
        assert_int_equal(imp_context_get_info(context, NULL), IMP_ERR_ARGUMENT);
        imp_context_free(context);
    }
    assert_true(imp_cpu_features(IMP_CPU_VECTORS)); /* plain C only runs where asked for */
    imp_context_free(NULL);
    assert_int_equal(imp_context_get_info(NULL, &info), IMP_ERR_ARGUMENT);
    assert_true(imp_cpu_count() >= 1);
}

static void every_status_has_words(void **state) {
    (void)state;
    for (int status = IMP_OK; status >= IMP_ERR_STATE; status--) {
        assert_string_not_equal(imp_status_string(status), "unknown error");
        for (int other = status - 1; other >= IMP_ERR_STATE; other--)
            assert_string_not_equal(imp_status_string(status), imp_status_string(other));
    }
    assert_string_equal(imp_status_string(1), "unknown error");
    assert_string_equal(imp_status_string(IMP_ERR_STATE - 1), "unknown error");
    assert_string_equal(imp_version(), "0.1.0");
}

static void errors_are_one_clean_line(void **state) {
    imp_context *context = make_context(1, 0);
    char longer[2 * IMP_ERROR_LENGTH];
    (void)state;
    assert_string_equal(imp_error(context), "");
    assert_string_equal(imp_error(NULL), "");
    assert_int_equal(imp_fail(context, IMP_ERR_IO, "a\nb\x1b[31m%s\x7f", "\t\xC3\xA4"), IMP_ERR_IO);
    assert_string_equal(imp_error(context), "a?b?[31m?\xC3\xA4?");
    assert_int_equal(imp_fail_prefix(context, IMP_ERR_FORMAT, "%s: ", "cat.jpg"), IMP_ERR_FORMAT);
    assert_string_equal(imp_error(context), "cat.jpg: a?b?[31m?\xC3\xA4?");
    imp_fail(context, IMP_ERR_IO, "again: %s", imp_error(context));
    assert_string_equal(imp_error(context), "again: cat.jpg: a?b?[31m?\xC3\xA4?");
    assert_int_equal(imp_fail(NULL, IMP_ERR_IO, "nobody hears"), IMP_ERR_IO);

    /* A cut never leaves a part of a character: with 1 byte in front, 2-byte characters do not fit evenly. */
    longer[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof longer; i += 2) memcpy(longer + i, "\xC3\xA4", 3);
    imp_fail(context, IMP_ERR_IO, "%s", longer);
    assert_int_equal(strlen(imp_error(context)), IMP_ERROR_LENGTH - 1);
    imp_fail(context, IMP_ERR_IO, "%s", longer + 1);
    assert_int_equal(strlen(imp_error(context)), IMP_ERROR_LENGTH - 2);
    imp_fail_prefix(context, IMP_ERR_IO, "xy");
    assert_int_equal(strlen(imp_error(context)), IMP_ERROR_LENGTH - 2);
    imp_fail_prefix(context, IMP_ERR_IO, "%s", longer);
    assert_memory_equal(imp_error(context), longer, IMP_ERROR_LENGTH - 1);
    imp_context_free(context);
}

static void keep_line(void *user, imp_log_level level, const char *message) {
    snprintf(user, IMP_ERROR_LENGTH, "%d %s", (int)level, message);
}

static void log_reaches_the_caller(void **state) {
    char line[IMP_ERROR_LENGTH] = "";
    imp_context_options options;
    imp_context *context;
    (void)state;
    imp_context_options_default(&options);
    options.threads = 1;
    options.log = keep_line;
    options.user = line;
    assert_int_equal(imp_context_create(&options, &context), IMP_OK);
    imp_log(context, IMP_LOG_INFO, "%d layers\n", 5);
    assert_string_equal(line, "2 5 layers?");
    imp_context_free(context);
}

static void memory_is_aligned_and_counted(void **state) {
    imp_context *context = make_context(1, 0);
    imp_context_info info = {.size = sizeof info};
    size_t start = atomic_load(&context->memory_now);
    void *blocks[100];
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = imp_allocate(context, i * 7);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % IMP_ALIGNMENT, 0);
        memset(blocks[i], 0xAA, i * 7);
    }
    imp_context_get_info(context, &info);
    assert_in_range(info.memory_now, start + 99 * 50 * 7, start + 99 * 50 * 7 + 100 * IMP_ALIGNMENT);
    for (size_t i = 0; i < 100; i++) imp_release(context, blocks[i]);
    imp_release(context, NULL);
    assert_int_equal(atomic_load(&context->memory_now), start);
    assert_int_equal(atomic_load(&context->memory_peak), info.memory_peak);
    assert_true(info.memory_peak >= info.memory_now);
    imp_context_free(context);
}

static void memory_limit_holds(void **state) {
    imp_context *context = make_context(1, 10000000);
    void *first = imp_allocate(context, 4000000), *grown;
    (void)state;
    assert_non_null(first);
    memset(first, 0x5A, 4000000);
    assert_null(imp_allocate(context, 12000000));
    assert_string_equal(imp_error(context),
                        "out of memory: 12.0 MB more are needed, 4.0 MB are held, the limit is 10.0 MB; use a smaller "
                        "picture or raise the limit");
    assert_null(imp_reallocate(context, first, 7000000)); /* both must be held for a moment */
    assert_int_equal(((uint8_t *)first)[3999999], 0x5A);
    grown = imp_reallocate(context, first, 5000000);
    assert_non_null(grown);
    for (size_t i = 0; i < 4000000; i += 999) assert_int_equal(((uint8_t *)grown)[i], 0x5A);
    imp_release(context, grown);
    assert_true(atomic_load(&context->memory_peak) <= 10000000);
    imp_context_free(context);
}

static void memory_sizes_that_overflow_fail(void **state) {
    imp_context *context = make_context(1, 0);
    size_t product = 5;
    (void)state;
    assert_null(imp_allocate(context, SIZE_MAX));
    assert_null(imp_allocate(context, SIZE_MAX - 63));
    assert_null(imp_allocate(context, SIZE_MAX / 2));
    assert_non_null(strstr(imp_error(context), "out of memory: 9.2 EB more are needed"));
    assert_null(imp_allocate_zero(context, SIZE_MAX / 4 + 1, 4));
    assert_null(imp_allocate_zero(context, (size_t)1 << 33, (size_t)1 << 33));
    assert_false(imp_multiply((size_t)1 << 32, (size_t)1 << 32, &product));
    assert_true(imp_multiply(SIZE_MAX, 1, &product));
    assert_true(product == SIZE_MAX);
    assert_true(imp_multiply(SIZE_MAX, 0, &product));
    assert_true(product == 0);
    imp_context_free(context);
}

static void memory_helpers(void **state) {
    imp_context *context = make_context(1, 0);
    imp_allocator allocator = imp_context_allocator(context);
    uint64_t *zeros = imp_allocate_zero(context, 1000, 8);
    char *copy = imp_duplicate(context, "brush");
    void *fresh = imp_reallocate(context, NULL, 10), *outside;
    (void)state;
    for (int i = 0; i < 1000; i++) assert_true(zeros[i] == 0);
    assert_string_equal(copy, "brush");
    assert_non_null(fresh);
    fresh = imp_reallocate(context, fresh, 0);
    assert_non_null(fresh);
    imp_release(context, fresh);
    imp_release(context, copy);
    imp_release(context, zeros);
    imp_context_free(context);
    outside = imp_allocator_take(&allocator, 0); /* after the context's end */
    assert_non_null(outside);
    imp_allocator_give(&allocator, outside);
    imp_allocator_give(&allocator, NULL);
}

static void an_allocator_that_does_not_align_is_refused(void **state) {
    imp_context *context = make_context(1, 0);
    void *(*allocate)(void *, size_t) = context->options.allocate;
    void (*release)(void *, void *) = context->options.release;
    size_t held = atomic_load(&context->memory_now);
    (void)state;
    context->options.allocate = allocate_askew;
    context->options.release = release_askew;
    assert_null(imp_allocate(context, 100));
    assert_non_null(strstr(imp_error(context), "not aligned to 64 bytes"));
    assert_int_equal(atomic_load(&context->memory_now), held);
    context->options.allocate = allocate;
    context->options.release = release;
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_checks_its_options),
        cmocka_unit_test(context_takes_older_and_newer_options),
        cmocka_unit_test(context_tells_what_runs),
        cmocka_unit_test(every_status_has_words),
        cmocka_unit_test(errors_are_one_clean_line),
        cmocka_unit_test(log_reaches_the_caller),
        cmocka_unit_test(memory_is_aligned_and_counted),
        cmocka_unit_test(memory_limit_holds),
        cmocka_unit_test(memory_sizes_that_overflow_fail),
        cmocka_unit_test(memory_helpers),
        cmocka_unit_test(an_allocator_that_does_not_align_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
