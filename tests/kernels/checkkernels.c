/* Tests every kernel of every table that this CPU can run; --bench times them instead, --products only
 * the products inside Winograd, --all takes every shape of convolution instead of one in a few, --table NAME one table
 * only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "impasto.h"

#define SHAPES_SKIPPED 6 /* one shape of convolution of so many, so that sanitizers end in time */

/* The tables from the plainest on, each once: for f32 maps, then for bf16. */
static int find_tables(const char *only, const imp_kernels *tables[MOST_TABLES]) {
    const imp_kernels *last = NULL;
    int count = 0;
    for (imp_element element = IMP_ELEMENT_F32; element <= IMP_ELEMENT_BF16; element++)
        for (int set = 0; imp_instruction_set_name(set); set++) {
            unsigned allowed = (unsigned)imp_cpu_features_allowed(imp_instruction_set_name(set));
            const imp_kernels *table = imp_kernels_get(imp_cpu_features(allowed), element);
            if (table != last && (!only || !strcmp(only, table->name))) tables[count++] = table;
            last = table;
        }
    return count;
}

int main(int argc, char **argv) {
    int timing = 0, products_only = 0, every = SHAPES_SKIPPED;
    const char *only = NULL;
    const imp_kernels *tables[MOST_TABLES];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            timing = 1;
        else if (!strcmp(argv[i], "--products"))
            timing = products_only = 1;
        else if (!strcmp(argv[i], "--all"))
            every = 1;
        else if (!strcmp(argv[i], "--table") && i + 1 < argc)
            only = argv[++i];
        else {
            fprintf(stderr, "usage: %s [--bench | --products] [--all] [--table c|sse2|neon|avx2|avx512|...]\n",
                    argv[0]);
            return 2;
        }
    }
    int count = find_tables(only, tables);
    if (count == 0) {
        fprintf(stderr, "this CPU has no table named %s\n", only);
        return 2;
    }
    if (timing) {
        bench(tables, count, products_only);
        return 0;
    }
    check_packing();
    check_convolution(tables, count, every);
    check_winograd(tables, count, every);
    check_depthwise(tables, count);
    check_weights(tables, count);
    check_resizing(tables, count);
    for (int i = 0; i < count; i++) {
        check_pooling(tables[i]);
        check_differences(tables[i]);
        check_activations(tables[i]);
        check_blends(tables[i]);
        check_statistics(tables[i]);
        check_products(tables[i]);
    }
    printf("%d failures\n", failure_count());
    return failure_count() ? 1 : 0;
}
