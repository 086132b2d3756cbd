/* What the tests of model files begin with: a context, a folder with a place for a file to read and one for a file to
   write, and how a refusal is told. */
#ifndef IMP_TESTS_MODEL_FILES_H
#define IMP_TESTS_MODEL_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiny_model.h"
#include "unit.h"

static imp_context *context;
static char folder[] = "/tmp/impasto-models-XXXXXX";
static char path[sizeof folder + 32], other[sizeof folder + 32];

static int setup(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/in", folder);
    snprintf(other, sizeof other, "%s/out.safetensors", folder);
    tiny_fill();
    context = make_context(1, 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    imp_context_free(context);
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static void refuse(int got, int status, const char *words) {
    if (got != status) fail_msg("%d, not %d: %s", got, status, imp_error(context));
    if (!strstr(imp_error(context), words)) fail_msg("\"%s\" lacks \"%s\"", imp_error(context), words);
    assert_null(strchr(imp_error(context), '\n'));
}

#endif
