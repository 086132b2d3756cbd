/* Crops by their number. */
#include "cli/crops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/crop_queue.h"
#include "cli/pictures.h"
#include "cli/report.h"
#include "cli/system.h"
#include "impasto_picture.h"

#define WHITE 255.0f

struct imp_cli_crops {
    const char *path, *base; /* of the recipe, and where its paths begin */
    imp_recipe_info recipe;
    imp_cli_pictures *sources; /* [source_count] all zero: noise */
    double *shares;            /* [source_count] running sums */
    imp_cli_pictures validation;
    imp_context *context; /* of what is made when it is asked for */
    imp_cli_crop_queue *queue;
    bool said;                     /* what failed, since it was asked for */
    void (*on_sample)(void *user); /* NULL: nobody wants to know, or was told */
    void *on_sample_user;
};

/* ---- Random numbers: splitmix64 (Blackman and Vigna, public domain) ---------------------------------------------- */

static uint64_t next_bits(uint64_t *state) {
    uint64_t mixed = *state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

/* [0, 1): the upper 53 bits, as many as a double's mantissa has. */
static double uniform(uint64_t *state) {
    return (double)(next_bits(state) >> 11) * 0x1p-53;
}

/* A stream for a crop, far from those of its neighbours. */
static uint64_t stream_of(uint64_t seed, uint64_t number) {
    uint64_t state = seed;
    state = next_bits(&state) ^ number;
    return next_bits(&state);
}

/* ---- Pixels ------------------------------------------------------------------------------------------------------ */

/* Sample index of a row, on 0..255. */
static float sample(const imp_image *image, const uint8_t *row, size_t index) {
    return image->depth == IMP_DEPTH_16 ? ((const uint16_t *)(const void *)row)[index] * (1 / 257.0f) : row[index];
}

/* A square image as planes [3][side][side]: grey expanded, on white, mirrored where asked. */
static void fill_planes(const imp_image *image, bool flip, float *planes) {
    size_t side = (size_t)image->width, channels = (size_t)image->channels;
    for (size_t y = 0; y < side; y++) {
        const uint8_t *row = (const uint8_t *)image->pixels + y * image->stride;
        for (size_t x = 0; x < side; x++) {
            size_t from = (flip ? side - 1 - x : x) * channels;
            float opacity = channels % 2 ? 1 : sample(image, row, from + channels - 1) * (1 / 255.0f);
            for (size_t c = 0; c < 3; c++) {
                float value = sample(image, row, from + (channels >= 3 ? c : 0));
                planes[(c * side + y) * side + x] = WHITE + (value - WHITE) * opacity;
            }
        }
    }
}

/* The square of image at (x, y), resized to side. */
static int resize_square(imp_context *context, const imp_image *image, int x, int y, int square, int side, bool flip,
                         float *planes) {
    imp_image part = *image, resized;
    size_t pixel = (size_t)image->channels * (size_t)image->depth;
    part.width = part.height = square;
    part.pixels = (uint8_t *)image->pixels + (size_t)y * image->stride + (size_t)x * pixel;
    int status = imp_image_resize(context, &part, side, side, &resized);
    if (!status) fill_planes(&resized, flip, planes);
    imp_image_release(context, &resized);
    return status;
}

/* ---- Crops ------------------------------------------------------------------------------------------------------- */

/* A coarse grid of random colours, enlarged: smooth shapes, or with a grid as fine as the crop, noise. */
static int make_noise(imp_context *context, int side, uint64_t *stream, float *planes) {
    enum { SIZES = 6 };
    int grid = side >> next_bits(stream) % SIZES;
    imp_image image;
    if (grid < 2) grid = 2;
    int status = imp_image_create(context, grid, grid, 3, IMP_DEPTH_8, &image);
    for (int y = 0; y < grid && !status; y++)
        for (int i = 0; i < 3 * grid; i++)
            ((uint8_t *)image.pixels)[(size_t)y * image.stride + (size_t)i] = (uint8_t)(next_bits(stream) >> 56);
    if (!status) status = resize_square(context, &image, 0, 0, grid, side, false, planes);
    imp_image_release(context, &image);
    return status;
}

/* All numbers are drawn before the picture is read, so that they do not depend on which one can be. */
static int make_crop(const imp_cli_crops *crops, imp_context *context, uint64_t number, float *planes) {
    const imp_recipe_info *recipe = &crops->recipe;
    uint64_t stream = stream_of(recipe->seed, number);
    double draw = uniform(&stream) * crops->shares[recipe->source_count - 1];
    int source = 0, side = recipe->crop_side;
    while (source + 1 < recipe->source_count && draw >= crops->shares[source]) source++;
    imp_cli_pictures *list = &crops->sources[source];
    if (list->count == 0) return make_noise(context, side, &stream, planes);
    int index = (int)(uniform(&stream) * list->count);
    double scale = recipe->least_scale + (recipe->most_scale - recipe->least_scale) * uniform(&stream);
    double across = uniform(&stream), down = uniform(&stream);
    bool flip = (next_bits(&stream) & 1) && recipe->flip;
    imp_image image;
    int status = imp_cli_pictures_read(list, context, index, &image);
    if (status) return status;
    int shorter = image.width < image.height ? image.width : image.height;
    int square = (int)fmax(1, round(shorter / scale));
    status = resize_square(context, &image, (int)(across * (image.width - square + 1)),
                           (int)(down * (image.height - square + 1)), square, side, flip, planes);
    imp_image_release(context, &image);
    return status;
}

static int make_queued(const void *user, imp_context *context, uint64_t number, float *planes) {
    return make_crop(user, context, number, planes);
}

/* The square in the middle of a picture that is never learned on. */
static int make_validation(imp_cli_crops *crops, imp_context *context, uint64_t number, int side, float *planes) {
    imp_cli_pictures *list = &crops->validation;
    imp_image image;
    if (list->count == 0) return IMP_ERR_STATE; /* nobody asks where the recipe has none */
    int status = imp_cli_pictures_read(list, context, (int)(number % (uint64_t)list->count), &image);
    if (status) return status;
    int square = image.width < image.height ? image.width : image.height;
    status = resize_square(context, &image, (image.width - square) / 2, (image.height - square) / 2, square, side,
                           false, planes);
    imp_image_release(context, &image);
    return status;
}

int imp_cli_crops_validation(imp_cli_crops *crops, imp_context *context, int number, imp_image *image) {
    int side = crops->recipe.validation_side;
    size_t pixels = (size_t)side * (size_t)side;
    float *planes = malloc(3 * pixels * sizeof *planes);
    int status = planes ? make_validation(crops, context, (uint64_t)number, side, planes) : IMP_ERR_MEMORY;
    *image = (imp_image){.size = sizeof *image};
    if (!status) status = imp_image_create(context, side, side, 3, IMP_DEPTH_8, image);
    for (size_t i = 0; i < pixels && !status; i++)
        for (size_t c = 0; c < 3; c++) {
            uint8_t *row = (uint8_t *)image->pixels + i / (size_t)side * image->stride;
            row[i % (size_t)side * 3 + c] = (uint8_t)(planes[c * pixels + i] + 0.5f);
        }
    free(planes);
    imp_cli_pictures_tell(&crops->validation);
    return status;
}

/* ---- The source of a training ------------------------------------------------------------------------------------ */

/* The words about a picture that there was no memory for; NULL: there was enough for all. */
static const char *find_failure(imp_cli_crops *crops) {
    const char *words = imp_cli_pictures_failure(&crops->validation);
    for (int i = 0; i < crops->recipe.source_count && !words; i++) words = imp_cli_pictures_failure(&crops->sources[i]);
    return words;
}

/* Says why there is no crop, once. */
static int fail_crop(imp_cli_crops *crops, const char *set, uint64_t number, int status) {
    const char *words = status == IMP_ERR_IO ? "none of the pictures can be read" : imp_status_string(status);
    const char *failure = status == IMP_ERR_MEMORY ? find_failure(crops) : NULL;
    if (!crops->said)
        imp_cli_fail(IMP_CLI_FAILURE, "crop %llu of %s: %s", (unsigned long long)number, set,
                     failure ? failure : words);
    crops->said = true;
    return status;
}

static void tell_sample(imp_cli_crops *crops) {
    if (crops->on_sample) crops->on_sample(crops->on_sample_user);
    crops->on_sample = NULL;
}

static int crop(void *user, const char *set, uint64_t number, int side, float *planes) {
    imp_cli_crops *crops = user;
    int status;
    if (strcmp(set, "sample") == 0) tell_sample(crops);
    if (strcmp(set, "validation") == 0)
        status = make_validation(crops, crops->context, number, side, planes);
    else if (strcmp(set, "train") != 0 || !crops->queue ||
             !imp_cli_crop_queue_take(crops->queue, number, planes, &status))
        status = make_crop(crops, crops->context, number, planes);
    for (int i = 0; i < crops->recipe.source_count; i++) imp_cli_pictures_tell(&crops->sources[i]);
    imp_cli_pictures_tell(&crops->validation);
    return status ? fail_crop(crops, set, number, status) : IMP_OK;
}

static int picture(void *user, imp_context *context, const char *name, imp_image *image) {
    imp_cli_crops *crops = user;
    char path[IMP_CLI_PATH];
    int status = IMP_ERR_ARGUMENT;
    if (!imp_cli_path_beside(crops->base, name, path))
        imp_cli_fail(IMP_CLI_FAILURE, "%s, styles[].picture: %s: the path is too long", crops->path, name);
    else if ((status = imp_picture_read(context, path, image)))
        imp_cli_fail(imp_cli_exit_code(status), "%s, styles[].picture: %s", crops->path, imp_error(context));
    if (status) crops->said = true;
    return status;
}

/* A file beside the recipe, or what imp_cli_open_model finds. */
static int model(void *user, imp_context *context, const char *name, imp_model **opened) {
    imp_cli_crops *crops = user;
    char path[IMP_CLI_PATH];
    bool beside = imp_cli_path_beside(crops->base, name, path) && imp_cli_is_file(path);
    int code = imp_cli_open_model(context, beside ? path : name, opened);
    if (!code) return IMP_OK;
    crops->said = true;
    return IMP_ERR_IO;
}

imp_training_source imp_cli_crops_source(imp_cli_crops *crops) {
    return (imp_training_source){
        .size = sizeof(imp_training_source), .user = crops, .crop = crop, .picture = picture, .model = model};
}

bool imp_cli_crops_said(imp_cli_crops *crops) {
    bool said = crops->said;
    crops->said = false;
    return said;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static int list_sources(const imp_recipe *recipe, imp_cli_crops *crops) {
    double sum = 0, share;
    for (int i = 0; i < crops->recipe.source_count; i++) {
        const char *pictures;
        char key[40];
        snprintf(key, sizeof key, "data.sources[%d].pictures", i);
        imp_recipe_get_source(recipe, i, &pictures, &share);
        crops->shares[i] = sum += share;
        int code = *pictures ? imp_cli_pictures_list(crops->base, pictures, crops->path, key, &crops->sources[i]) : 0;
        if (code) return code;
    }
    if (!*crops->recipe.validation) return 0;
    return imp_cli_pictures_list(crops->base, crops->recipe.validation, crops->path, "validation.pictures",
                                 &crops->validation);
}

int imp_cli_crops_create(const imp_recipe *recipe, const char *path, const char *base, imp_cli_crops **crops) {
    imp_context_options options;
    imp_cli_crops *made = calloc(1, sizeof *made);
    *crops = NULL;
    if (!made) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    made->path = path;
    made->base = base;
    made->recipe.size = sizeof made->recipe;
    imp_recipe_get_info(recipe, &made->recipe);
    made->sources = calloc((size_t)made->recipe.source_count, sizeof *made->sources);
    made->shares = calloc((size_t)made->recipe.source_count, sizeof *made->shares);
    imp_context_options_default(&options);
    options.threads = 1;
    int code = made->sources && made->shares ? 0 : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    int status = code ? IMP_OK : imp_context_create(&options, &made->context);
    if (status) code = imp_cli_fail_status(NULL, status);
    if (!code) code = list_sources(recipe, made);
    if (code)
        imp_cli_crops_free(made);
    else
        *crops = made;
    return code;
}

void imp_cli_crops_on_sample(imp_cli_crops *crops, void (*tell)(void *user), void *user) {
    crops->on_sample = tell;
    crops->on_sample_user = user;
}

void imp_cli_crops_prefetch(imp_cli_crops *crops, uint64_t first, int threads, int depth) {
    size_t side = (size_t)crops->recipe.crop_side;
    crops->queue = imp_cli_crop_queue_create(first, threads, depth, 3 * side * side, make_queued, crops);
}

void imp_cli_crops_free(imp_cli_crops *crops) {
    if (!crops) return;
    imp_cli_crop_queue_free(crops->queue);
    for (int i = 0; crops->sources && i < crops->recipe.source_count; i++) imp_cli_pictures_free(&crops->sources[i]);
    imp_cli_pictures_free(&crops->validation);
    imp_context_free(crops->context);
    free(crops->sources);
    free(crops->shares);
    free(crops);
}
