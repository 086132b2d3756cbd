/* The options of `impasto optimize`, as data. */
#include "cli/optimize_options.h"

#include "cli/shared_options.h"

/* Bounds that no picture needs to pass; what they mean is in impasto.h. */
#define MAX_WEIGHT 1e12
#define MAX_ITERATIONS 1000000
#define MAX_SECONDS (30 * 24 * 3600.0)

static IMP_CLI_NAMES(optimizer_at, "adam", "lbfgs", "lbfgs-linesearch") static IMP_CLI_NAMES(
    pooling_at, "max",
    "average") static IMP_CLI_NAMES(padding_at, "zero",
                                    "replicate") static IMP_CLI_NAMES(colors_at, "before",
                                                                      "after") static IMP_CLI_NAMES(start_at, "content",
                                                                                                    "noise")

    void imp_cli_optimize_defaults(void *user) {
    imp_cli_optimize_settings *settings = user;
    imp_painting_options_default(&settings->painting);
}

#define AT(field) .offset = offsetof(imp_cli_optimize_settings, field)
#define FLAG .kind = IMP_CLI_FLAG
#define TEXT .kind = IMP_CLI_TEXT
#define CHOICE(names) .kind = IMP_CLI_CHOICE, .choice = names
#define WHOLE(low, high) .kind = IMP_CLI_INTEGER, .minimum = low, .maximum = high
#define REAL(low, high) .kind = IMP_CLI_NUMBER, .minimum = low, .maximum = high

/* clang-format off: a table reads best as one */
const imp_cli_option imp_cli_optimize_options[] = {
    {"style", 's', .kind = IMP_CLI_TEXTS, AT(styles), .value = "PAINTING[:WEIGHT]",
     .help = "The painting whose manner is taken. May be given several times, each with its weight (1 where none is "
             "given)."},
    IMP_CLI_ROW_OUTPUT(AT(job.output)),
    IMP_CLI_ROW_SIZE(AT(job.longer_side)),
    IMP_CLI_ROW_ENLARGE(AT(job.enlarge)),
    {"style-size", 0, WHOLE(IMP_CLI_MIN_SIDE, IMP_IMAGE_MAX_SIDE), AT(painting.style_side), .value = "PIXELS",
     .help = "Longer side to which paintings are resized: the size of the strokes; that of the result where it is not "
             "given."},
    {"preset", 'p', CHOICE(imp_preset_name), .describe = imp_preset_description, AT(painting.preset), .value = "NAME",
     .help = "Where the settings that are not given come from."},
    {"iterations", 'n', WHOLE(0, MAX_ITERATIONS), AT(painting.iterations), .value = "N",
     .help = "Iterations over all scales; 0 writes the start picture."},
    {"time", 't', .kind = IMP_CLI_SECONDS, .maximum = MAX_SECONDS, .above = true, AT(painting.time_limit),
     .value = "TIME", .help = "Stop after this time (90, 60s, 2m, 1h) for each photo, shared out over the scales."},
    {"least-gain", 0, REAL(0, 1), AT(painting.least_gain), .value = "SHARE",
     .help = "End a scale early when ten iterations lower its loss by less than this share of it (0.02); 0: never."},
    {"content-weight", 0, REAL(0, MAX_WEIGHT), AT(painting.content_weight), .value = "WEIGHT",
     .help = "How much the result keeps to the photo."},
    {"style-weight", 0, REAL(0, MAX_WEIGHT), AT(painting.style_weight), .value = "WEIGHT",
     .help = "How much the result keeps to the paintings."},
    {"tv-weight", 0, REAL(0, MAX_WEIGHT), AT(painting.variation_weight), .value = "WEIGHT",
     .help = "How much the result is smoothed (total variation)."},
    {"content-layers", 0, TEXT, AT(painting.content_layers), .value = "LAYERS",
     .help =
         "Layers at which the photo is compared, with weights: conv4_2:1,conv3_2:0.5. Of several networks each takes "
         "those that it has."},
    {"style-layers", 0, TEXT, AT(painting.style_layers), .value = "LAYERS",
     .help =
         "Layers at which the paintings are compared, with weights: conv1_1:1,conv2_1:0.5. Of several networks each "
         "takes those that it has."},
    {"style-loss", 0, CHOICE(imp_style_loss_name), .describe = imp_style_loss_description, AT(painting.style_loss),
     .value = "NAME", .help = "What of a painting is compared."},
    {"optimizer", 0, CHOICE(optimizer_at), AT(painting.optimizer), .value = "NAME",
     .help = "How the loss is made small."},
    {"learning-rate", 0, REAL(0, 255), .above = true, AT(painting.learning_rate), .value = "RATE",
     .help = "Adam's step, in units of 1/255 of a colour; for L-BFGS a factor of its own step, 1 as a rule."},
    {"pooling", 0, CHOICE(pooling_at), AT(painting.pooling), .value = "NAME",
     .help = "The network's pooling: max is more painterly, average smoother."},
    {"padding", 0, CHOICE(padding_at), AT(painting.padding), .value = "NAME",
     .help = "What stands around the picture for the first layer."},
    {"keep-colors", 'k', CHOICE(colors_at), AT(keep_colors), .value = "WHEN",
     .help = "Keep the photo's colours: recolour the paintings before, or take over the photo's hues after."},
    {"start", 0, CHOICE(start_at), AT(painting.start), .value = "NAME", .help = "What the painting starts from."},
    {"init", 0, TEXT, AT(initial), .value = "PICTURE", .help = "Start from this picture."},
    {"seed", 0, .kind = IMP_CLI_SEED, AT(painting.seed), .value = "N",
     .help = "Of the noise: the same seed gives the same picture."},
    IMP_CLI_ROW_DEPTH(AT(job.depth)),
    IMP_CLI_ROW_QUALITY(AT(job.quality)),
    IMP_CLI_ROW_MODEL(AT(job.model)),
    {"features", 0, TEXT, AT(job.features), .value = "MODELS",
     .help = "Networks whose losses are added, in place of --model, each with its weight: vgg19:1,resnet50:0.5"},
    {"sketch", 0, TEXT, AT(job.sketch), .value = "MODEL",
     .help = "A cheap network that paints the first part of the run, which the others finish: all sizes but the last, "
             "and of that --sketch-share of its iterations."},
    {"sketch-share", 0, REAL(0, 1), AT(painting.sketch_share), .value = "SHARE",
     .help = "How much of the last size's iterations the sketch has; 0.5 where it is not given."},
    IMP_CLI_ROW_THREADS(AT(job.threads)),
    IMP_CLI_ROW_MEMORY(AT(job.memory_limit), ": a large picture is then painted in strips, which takes longer."),
    {"batch", 0, WHOLE(1, IMP_MAX_PHOTOS), AT(batch), .value = "N",
     .help =
         "Paint up to N photos of one size together; where it is not given, as many as gain by it. Each comes out as "
         "it would alone, but takes memory of its own; --max-memory lowers N."},
    IMP_CLI_ROW_PRECISION(AT(job.precision)),
    IMP_CLI_ROW_INSTRUCTION_SET(AT(job.instruction_set)),
    IMP_CLI_ROW_EVENTS(AT(job.json)),
    IMP_CLI_ROW_QUIET(AT(job.quiet)),
    IMP_CLI_ROW_VERBOSE(AT(job.verbose)),
    {0}};
/* clang-format on */
