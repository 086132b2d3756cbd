/* paint.c: the library in 30 lines, as C and as C++.    cc paint.c -limpasto_picture -limpasto -o paint
 *                                                       ./paint photo.jpg painting.jpg vgg19.safetensors out.jpg */
#include <impasto_picture.h>
#include <stdio.h>

int main(int count, char **words) {
    static imp_image photo, style, picture; /* of zero: nothing to release yet */
    static imp_progress progress;
    imp_context *context = NULL;
    imp_model *model = NULL;
    imp_painting *painting = NULL;
    progress.size = sizeof progress;
    if (count != 5) return fprintf(stderr, "usage: paint PHOTO PAINTING MODEL OUT\n"), 2;
    int status = imp_context_create(NULL, &context);
    if (status) return fprintf(stderr, "paint: %s\n", imp_status_string(status)), 1;
    status = imp_picture_read(context, words[1], &photo);
    if (!status) status = imp_picture_read(context, words[2], &style);
    if (!status) status = imp_model_open(context, words[3], &model);
    if (!status) status = imp_painting_create(context, model, &photo, NULL, &painting);
    if (!status) status = imp_painting_add_style(painting, &style, 1.0);
    while (!status && !progress.done) status = imp_painting_step(painting, &progress);
    if (!status) status = imp_painting_image(painting, IMP_DEPTH_8, &picture);
    if (!status) status = imp_picture_write(context, words[4], &picture, 0);
    if (status) fprintf(stderr, "paint: %s\n", imp_error(context));
    imp_painting_free(painting);
    imp_model_free(model);
    imp_image_release(context, &photo);
    imp_image_release(context, &style);
    imp_image_release(context, &picture);
    imp_context_free(context);
    return status ? 1 : 0;
}
