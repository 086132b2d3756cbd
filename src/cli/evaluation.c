/* The scores of `impasto evaluate`: their kinds, as data, and means of them. */
#include "cli/evaluation.h"

#include <string.h>

const char *const imp_cli_candidate_titles[IMP_CLI_CANDIDATES] = {"output", "untouched photo", "another painting",
                                                                  "painting itself"};
const char *const imp_cli_candidate_keys[IMP_CLI_CANDIDATES] = {"output", "photo", "other", "painting"};

#define AT(field) offsetof(imp_scores, field)
/* clang-format off: a table reads best as one */
const imp_cli_score imp_cli_scores[] = {{"ssim", "SSIM", "%.4f", AT(ssim)},
                                        {"psnr", "PSNR", "%.2f", AT(psnr)},
                                        {"content_loss", "content loss", "%.4g", AT(content_loss)},
                                        {"gram_similarity", "Gram similarity", "%.4f", AT(gram_similarity)},
                                        {"style_loss", "style loss", "%.4g", AT(style_loss)},
                                        {"sliced_wasserstein", "sliced Wasserstein", "%.4g", AT(sliced_wasserstein)},
                                        {"texture_detail", "texture detail", "%.3f", AT(texture_detail)},
                                        {0}};
/* clang-format on */

double imp_cli_score_of(const imp_scores *scores, const imp_cli_score *kind) {
    double value;
    memcpy(&value, (const char *)scores + kind->offset, sizeof value);
    return value;
}

static void add_scores(imp_scores *sum, const imp_scores *scores, double factor) {
    for (const imp_cli_score *kind = imp_cli_scores; kind->key; kind++) {
        double value = imp_cli_score_of(sum, kind) + factor * imp_cli_score_of(scores, kind);
        memcpy((char *)sum + kind->offset, &value, sizeof value);
    }
}

void imp_cli_number_label(imp_cli_rows *rows) {
    imp_cli_row *last = &rows->items[rows->count - 1];
    int labels = 0;
    last->first_of_label = true;
    for (int i = 0; i < rows->count - 1 && last->first_of_label; i++) {
        const imp_cli_row *row = &rows->items[i];
        last->first_of_label = strcmp(row->triple->label, last->triple->label) != 0;
        last->label = row->label;
        labels += row->first_of_label;
    }
    if (last->first_of_label) last->label = labels;
}

imp_scores imp_cli_mean(const imp_cli_rows *rows, int label, imp_cli_candidate candidate, int *count) {
    imp_scores sum = {.size = sizeof sum}, mean = {.size = sizeof mean};
    *count = 0;
    for (int i = 0; i < rows->count; i++) {
        const imp_cli_row *row = &rows->items[i];
        if ((label >= 0 && row->label != label) || (candidate == IMP_CLI_OTHER && !row->other)) continue;
        add_scores(&sum, &row->scores[candidate], 1);
        ++*count;
    }
    if (*count) add_scores(&mean, &sum, 1.0 / *count);
    return mean;
}

bool imp_cli_shares_pair(const imp_cli_rows *rows, int index) {
    if (index == 0) return false;
    const imp_cli_row *row = &rows->items[index], *before = row - 1;
    bool same_other =
        row->other && before->other ? strcmp(row->other, before->other) == 0 : row->other == before->other;
    return same_other && row->width == before->width && row->height == before->height &&
           strcmp(row->triple->photo, before->triple->photo) == 0 &&
           strcmp(row->triple->style, before->triple->style) == 0;
}
