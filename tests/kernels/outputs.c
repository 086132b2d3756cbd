/* What every way to convolve must hold: the outputs are near the exact ones, nothing else is touched, and how the work is
 * cut does not change a bit. */
#include "check.h"

#include <string.h>

void run_in_pieces(piece_function *run, const imp_convolution *job) {
    int blocks = imp_blocks(job->out.channels), height = job->out.height, next;
    for (int block = 0; block < blocks; block = next) {
        next = block + 1 + random_below(blocks - block);
        for (int row = 0, row_next; row < height; row = row_next) {
            row_next = row + 1 + random_below(height - row);
            run(job, block, next, row, row_next);
        }
    }
}

/* The first output that is too far off. Channels past the last are zero; pixels between the outputs are as before. */
static void compare(const output_check *check, const test_map *out) {
    const imp_view *view = &out->view;
    int step = imp_out_step(check->job);
    for (int c = 0; c < imp_blocks(view->channels) * IMP_BLOCK; c++)
        for (int y = 0; y < view->height; y++)
            for (int x = 0; x < view->width; x++) {
                output_range range = {0, 0};
                double value = (double)*map_at(out, c, y, x);
                if (x % step)
                    range.exact = (double)*map_at(check->before, c, y, x);
                else if (c < view->channels)
                    range = check->range(check->test, check->kernels, c, y, x / step);
                if (near(value, range.exact, range.tolerance)) continue;
                expect(0, "%s %s: channel %d (%d, %d): %g, not %g +- %g", check->kernels->name, check->name, c, y, x,
                       value, range.exact, range.tolerance);
                return;
            }
}

/* Runs into a copy of what was there before. */
static test_map run_into_copy(const output_check *check, int in_pieces) {
    test_map out = map_copy(check->before);
    check->job->out = *map_give(&out, check->kernels);
    check->job->out.width = (out.view.width - 1) / imp_out_step(check->job) + 1;
    check->run(check->test, check->kernels, check->job, in_pieces);
    map_take(&out, check->kernels);
    return out;
}

void check_outputs(const output_check *check) {
    test_map whole = run_into_copy(check, 0), cut = run_into_copy(check, 1);
    compare(check, &whole);
    expect(guarded(&whole, 0, imp_blocks(whole.view.channels), 0, whole.view.height), "%s %s: halo touched",
           check->kernels->name, check->name);
    expect(!memcmp(whole.memory, cut.memory, whole.count * sizeof(float)), "%s %s: depends on the cut",
           check->kernels->name, check->name);
    map_free(&whole);
    map_free(&cut);
}
