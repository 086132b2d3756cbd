/* Paints contact sheets. */
#include "cli/train_sheet.h"

#include <errno.h>
#include <string.h>

#include "cli/report.h"
#include "cli/train_report.h"
#include "impasto_picture.h"

enum { MOST_ROWS = 8, MOST_STYLES = 8, QUALITY = 90 };

/* Copies a picture of RGB and 8 bits into the sheet. */
static void place(imp_image *sheet, const imp_image *picture, int row, int column) {
    size_t bytes = (size_t)picture->width * 3;
    for (int y = 0; y < picture->height; y++)
        memcpy((uint8_t *)sheet->pixels + (size_t)(row * picture->height + y) * sheet->stride + (size_t)column * bytes,
               (const uint8_t *)picture->pixels + (size_t)y * picture->stride, bytes);
}

/* A photo and what each style makes of it. */
static int fill_row(imp_cli_trainer *trainer, imp_image *sheet, int row, int styles) {
    imp_image photo, painted;
    int status = imp_cli_crops_validation(trainer->crops, trainer->context, row, &photo);
    if (!status) place(sheet, &photo, row, 0);
    for (int style = 0; style < styles && !status; style++) {
        status = imp_training_paint(trainer->training, &photo, style, &painted);
        if (!status) place(sheet, &painted, row, 1 + style);
        imp_image_release(trainer->context, &painted);
    }
    imp_image_release(trainer->context, &photo);
    return status;
}

int imp_cli_write_sheet(imp_cli_trainer *trainer, const char *folder, int64_t step) {
    const imp_recipe_info *info = &trainer->info;
    char path[IMP_CLI_PATH], pictures[IMP_CLI_PATH];
    int styles = info->style_count < MOST_STYLES ? info->style_count : MOST_STYLES;
    int rows = info->validation_count < MOST_ROWS ? info->validation_count : MOST_ROWS, side = info->validation_side;
    imp_image sheet;
    if (styles == 0) return 0;
    if (!imp_cli_train_sheet(folder, step, path))
        return imp_cli_fail(IMP_CLI_FAILURE, "%s: the path is too long", folder);
    snprintf(pictures, sizeof pictures, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (!imp_cli_make_folder(pictures)) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", pictures, strerror(errno));
    int status = imp_image_create(trainer->context, side * (1 + styles), side * rows, 3, IMP_DEPTH_8, &sheet);
    for (int row = 0; row < rows && !status; row++) status = fill_row(trainer, &sheet, row, styles);
    if (!status) status = imp_picture_write(trainer->context, path, &sheet, QUALITY);
    imp_image_release(trainer->context, &sheet);
    return status ? imp_cli_trainer_fail(trainer, status) : 0;
}
