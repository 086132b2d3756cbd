/* AMX beside an alternate signal stack that is too small for it: not asked for where it is not allowed, and done without where
   Linux refuses. In a program of its own, as a process that once has AMX keeps it. */
#include <signal.h>
#include <string.h>

#include "impasto.h"
#include "unit.h"

#define OLD_STACK 8192 /* SIGSTKSZ of the C library before AVX-512 made it a question to the system */

static char memory[OLD_STACK];

static imp_context *make(const char *instruction_set, const char **name) {
    imp_context_options options;
    imp_context_info info = {.size = sizeof info};
    imp_context *context;
    imp_context_options_default(&options);
    options.instruction_set = instruction_set;
    options.threads = 2;
    assert_int_equal(imp_context_create(&options, &context), IMP_OK);
    assert_int_equal(imp_context_get_info(context, &info), IMP_OK);
    *name = info.instruction_set;
    return context;
}

static void small_stacks_go_without_amx(void **state) {
    const stack_t small = {.ss_sp = memory, .ss_size = sizeof memory}, none = {.ss_flags = SS_DISABLE};
    const char *limited, *refused, *granted;
    (void)state;
    imp_context *context = make("avx512bf16", &limited);
    assert_int_equal(sigaltstack(&small, NULL), 0);
    imp_context *beside = make(NULL, &refused);
    assert_string_not_equal(refused, "amx");
    assert_string_equal(refused, limited);
    assert_int_equal(sigaltstack(&none, NULL), 0);
    imp_context *best = make(NULL, &granted);
    assert_true(strcmp(granted, "amx") == 0 || strcmp(granted, limited) == 0);
    imp_context_free(best);
    imp_context_free(beside);
    imp_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_stacks_go_without_amx)};
    return cmocka_run_group_tests_name("signal stacks", tests, NULL, NULL);
}
