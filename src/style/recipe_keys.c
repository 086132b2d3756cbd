/* The keys of a recipe, as data: what each takes, what it is when it is not given, and what it means. The reader and
 * the page of docs come from here. */
#include <stdio.h>
#include <string.h>

#include "optim/optim.h"
#include "style/losses.h"
#include "style/recipe.h"

#define MOST_WEIGHT 1e12
#define MOST_STYLES 1024
#define MOST_SOURCES 64
#define MOST_STAGES 64
#define MOST_LAYERS 32
#define MOST_PATTERNS 64
#define MOST_SIDE 4096 /* pixels */
#define MOST_RATE 1000 /* times a stage's */

/* Declares name_at(index) over a list of names. */
#define NAMES(function, ...)                                                                                           \
    static const char *function(int index) {                                                                           \
        static const char *const names[] = {__VA_ARGS__, NULL};                                                        \
        return names[index];                                                                                           \
    }

NAMES(task_at, "style", "features")
NAMES(precision_at, "f32", "bf16", "auto")
NAMES(schedule_at, "constant", "step", "cosine")

static const char *style_loss_at(int index) {
    const imp_style_loss *loss = imp_style_loss_at(index);
    return loss ? loss->name : NULL;
}

#define TEXT(initial) .kind = IMP_RECIPE_TEXT, .text = initial
#define NEEDED_TEXT .kind = IMP_RECIPE_TEXT, .required = 1
#define NUMBER(low, high, initial) .kind = IMP_RECIPE_NUMBER, .minimum = low, .maximum = high, .number = initial
#define WHOLE(low, high, initial) .kind = IMP_RECIPE_WHOLE, .minimum = low, .maximum = high, .number = initial
#define FLAG(initial) .kind = IMP_RECIPE_FLAG, .number = initial
#define CHOICE(names, initial) .kind = IMP_RECIPE_CHOICE, .choice = names, .number = initial
#define LAYERS(most_items) .kind = IMP_RECIPE_NUMBERS, .minimum = 0, .maximum = MOST_WEIGHT, .most = most_items
#define GROUP(its) .kind = IMP_RECIPE_GROUP, .group = its
#define GROUPS(its, most_items) .kind = IMP_RECIPE_GROUPS, .group = its, .most = most_items
#define NOTE                                                                                                           \
    { "note", .kind = IMP_RECIPE_NOTE, .help = "Anything: for people." }

/* clang-format off: a table reads best as one */
#define AT(field) .offset = offsetof(imp_recipe_network, field)
static const imp_recipe_key network_keys[] = {
    {"architecture", NEEDED_TEXT, AT(architecture), .help = "The network that trains."},
    {"start", TEXT(""), AT(start),
     .help =
         "A model whose weights it begins with, a file or an installed name; random weights where it is not given."},
    {"options", .kind = IMP_RECIPE_NUMBERS, .minimum = 0, .maximum = 1e6, .most = MOST_LAYERS, AT(options),
     .help = "Numbers that the architecture takes, by their names: {\"channels\": 32}. They stand behind the keys."},
    {"precision", CHOICE(precision_at, IMP_RECIPE_F32), AT(precision),
     .help = "Of its feature maps; the weights are always f32."},
    {"origin", TEXT("trained with Impasto"), AT(origin), .help = "Where the weights come from, for the model file."},
    {"licence", TEXT("unknown"), AT(licence), .help = "Their licence, for the model file."},
    NOTE,
    {0}};
static const imp_recipe_group network = {"the network", sizeof(imp_recipe_network), network_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_teacher, field)
static const imp_recipe_key teacher_keys[] = {
    {"model", NEEDED_TEXT, AT(model), .help = "A model file or the name of an installed one. It does not change."},
    {"precision", CHOICE(precision_at, IMP_RECIPE_F32), AT(precision), .help = "Of its feature maps."},
    NOTE,
    {0}};
static const imp_recipe_group teacher = {"the loss network", sizeof(imp_recipe_teacher), teacher_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_losses, field)
static const imp_recipe_key losses_keys[] = {
    {"content", LAYERS(IMP_RECIPE_CONTENT_LAYERS), AT(content),
     .help = "Layers at which a picture is compared with its photo, and their weights; the task style needs one."},
    {"content_weight", NUMBER(0, MOST_WEIGHT, IMP_RECIPE_CONTENT_WEIGHT), AT(content_weight),
     .help = "Of all content layers together; 0: their loss is told, and nothing is learnt from it."},
    {"style", LAYERS(MOST_LAYERS), AT(style),
     .help =
         "Layers at which a picture is compared with its painting, and their weights. For the task features: layers "
         "whose Gram matrices are taught beside their maps."},
    {"style_weight", NUMBER(0, MOST_WEIGHT, 1), AT(style_weight), .help = "Of all style layers together."},
    {"style_loss", CHOICE(style_loss_at, 0), AT(style_loss), .help = "What of a painting is compared."},
    {"per_style", FLAG(0), AT(per_style),
     .help = "Divide each style's loss by its own size, so that strong styles do not drown weak ones."},
    {"variation_weight", NUMBER(0, MOST_WEIGHT, 0), AT(variation_weight), .help = "Of total variation."},
    {"features", LAYERS(MOST_LAYERS), AT(features),
     .help = "For the task features: layers whose maps are taught, and their weights."},
    NOTE,
    {0}};
static const imp_recipe_group losses = {"the losses", sizeof(imp_recipe_losses), losses_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_style, field)
static const imp_recipe_key style_keys[] = {
    {"name", NEEDED_TEXT, AT(name), .help = "By which the model will know it."},
    {"picture", NEEDED_TEXT, AT(picture), .help = "The painting's file."},
    {"side", WHOLE(16, MOST_SIDE, 256), AT(side), .help = "Longer side to which it is resized, in pixels."},
    NOTE,
    {0}};
static const imp_recipe_group style = {"a style", sizeof(imp_recipe_style), style_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_pictures, field)
static const imp_recipe_key source_keys[] = {
    {"pictures", TEXT(""), AT(pictures),
     .help = "A folder, or a text file with the path of one picture a line. Noise of several sizes where it is not "
             "given."},
    {"share", NUMBER(0, 1e6, 1), .above = 1, AT(share),
     .help = "How often crops come from here, beside other sources."},
    NOTE,
    {0}};
static const imp_recipe_group source = {"a source", sizeof(imp_recipe_pictures), source_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_data, field)
static const imp_recipe_key data_keys[] = {
    {"sources", GROUPS(&source, MOST_SOURCES), .required = 1, AT(count), .list = offsetof(imp_recipe_data, sources),
     .help = "Where pictures come from."},
    {"crop", WHOLE(16, MOST_SIDE, 256), AT(crop), .help = "Side of the squares that are cut out, in pixels."},
    {"least_scale", NUMBER(1, 64, 1), AT(least_scale),
     .help = "A picture is resized before: its shorter side becomes the crop's, times a random number from this,"},
    {"most_scale", NUMBER(1, 64, 1.5), AT(most_scale), .help = "to this."},
    {"flip", FLAG(1), AT(flip), .help = "Mirror every other crop."},
    NOTE,
    {0}};
static const imp_recipe_group data = {"the data", sizeof(imp_recipe_data), data_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_validation, field)
static const imp_recipe_key validation_keys[] = {
    {"pictures", TEXT(""), AT(pictures), .help = "A folder or a list; no validation where it is not given."},
    {"count", WHOLE(1, 256, 4), AT(count),
     .help =
         "How many of them are used, from the first on; for losses as many as there are styles at least, rounded up "
         "to whole batches."},
    {"side", WHOLE(16, MOST_SIDE, 256), AT(side), .help = "Side of the squares from their middles that are painted."},
    {"every", WHOLE(1, IMP_RECIPE_MOST_STEPS, 500), AT(every), .help = "Steps from one validation to the next."},
    NOTE,
    {0}};
static const imp_recipe_group validation = {"the validation", sizeof(imp_recipe_validation), validation_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_optimizer, field)
static const imp_recipe_key optimizer_keys[] = {
    {"beta1", NUMBER(0, 0.999999, 0.9), AT(beta1), .help = "AdamW: how long gradients are remembered."},
    {"beta2", NUMBER(0, 0.9999999, 0.999), AT(beta2), .help = "AdamW: how long their squares are."},
    {"epsilon", NUMBER(0, 1, 1e-8), .above = 1, AT(epsilon), .help = "AdamW: beside the root of the squares."},
    {"decay", NUMBER(0, 10, 0), AT(decay), .help = "Weight decay, decoupled, of kernels; biases and norms have none."},
    {"clip", NUMBER(0, MOST_WEIGHT, 0), AT(clip), .help = "The most that the gradient's norm may be; 0: anything."},
    {"average", NUMBER(0, 0.9999999, 0.999), AT(average),
     .help = "Decay of the average of the weights, by which pictures are painted and which is exported; 0: the weights "
             "themselves."},
    {"rates", .kind = IMP_RECIPE_NUMBERS, .minimum = 0, .above = 1, .maximum = MOST_RATE, .most = MOST_PATTERNS,
     AT(rates),
     .help = "How many times the learning rate some parameters take, by patterns as in train: {\"*.norm.*\": 4}. Where "
             "several mean one, the last counts."},
    NOTE,
    {0}};
static const imp_recipe_group optimizer = {"the optimizer", sizeof(imp_recipe_optimizer), optimizer_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe_stage, field)
static const imp_recipe_key stage_keys[] = {
    {"name", TEXT(""), AT(name), .help = "For progress and the report."},
    {"steps", WHOLE(1, IMP_RECIPE_MOST_STEPS, 0), .required = 1, AT(steps), .help = "How long it lasts."},
    {"learning_rate", NUMBER(0, 10, 1e-3), .above = 1, AT(learning_rate), .help = "AdamW's step, after the warm-up."},
    {"warm_up", WHOLE(0, IMP_RECIPE_MOST_STEPS, 0), AT(warm_up), .help = "Steps in which the rate rises to that."},
    {"schedule", CHOICE(schedule_at, IMP_SCHEDULE_CONSTANT), AT(schedule), .help = "What the rate does then."},
    {"least", NUMBER(0, 1, 0), AT(least), .help = "For cosine: the share of the rate that is left at the end."},
    {"step_size", WHOLE(1, IMP_RECIPE_MOST_STEPS, 1000), AT(step_size),
     .help = "For step: the rate is multiplied every "
             "so many steps,"},
    {"gamma", NUMBER(0, 1, 0.5), .above = 1, AT(gamma), .help = "by this."},
    {"train", .kind = IMP_RECIPE_TEXTS, .most = MOST_PATTERNS, AT(train),
     .help = "Which parameters train: patterns of their names, * for any characters and ? for one. All where it is not "
             "given; the others stay the same to the bit."},
    NOTE,
    {0}};
static const imp_recipe_group stage = {"a stage", sizeof(imp_recipe_stage), stage_keys};
#undef AT

#define AT(field) .offset = offsetof(imp_recipe, field)
static const imp_recipe_key root_keys[] = {
    {"task", CHOICE(task_at, IMP_RECIPE_STYLE), AT(task),
     .help = "style: a network that paints learns from a loss network. features: a network learns another one's "
             "feature maps."},
    {"network", GROUP(&network), .required = 1, AT(network), .help = "What trains."},
    {"loss_network", GROUP(&teacher), .required = 1, AT(teacher), .help = "What it learns from."},
    {"losses", GROUP(&losses), AT(losses), .help = "What is made small."},
    {"styles", GROUPS(&style, MOST_STYLES), AT(style_count), .list = offsetof(imp_recipe, styles),
     .help = "The paintings, for the task style."},
    {"data", GROUP(&data), .required = 1, AT(data), .help = "What is learned on."},
    {"validation", GROUP(&validation), AT(validation), .help = "Pictures that are never learned on."},
    {"batch", WHOLE(1, 256, 4), AT(batch), .help = "Crops of one step."},
    {"checkpoint_every", WHOLE(1, IMP_RECIPE_MOST_STEPS, 500), AT(checkpoint_every),
     .help = "Steps from one checkpoint to the next: what is lost at most when the program is killed."},
    {"seed", .kind = IMP_RECIPE_SEED, AT(seed), .help = "The same seed gives the same training."},
    {"optimizer", GROUP(&optimizer), AT(optimizer), .help = "How steps are made."},
    {"stages", GROUPS(&stage, MOST_STAGES), .required = 1, AT(stage_count), .list = offsetof(imp_recipe, stages),
     .help = "One after the other; the steps of all are the training's."},
    NOTE,
    {0}};
const imp_recipe_group imp_recipe_root = {"the recipe", sizeof(imp_recipe), root_keys};
#undef AT
/* clang-format on */

const char *imp_recipe_range(const imp_recipe_key *key, char text[IMP_RECIPE_RANGE]) {
    const char *one = key->above ? "a number above %g and up to %g" : "a number from %g to %g";
    const char *many = key->above ? "an object of up to %d numbers above %g and up to %g"
                                  : "an object of up to %d numbers from %g to %g";
    switch (key->kind) {
    case IMP_RECIPE_NUMBER:
        snprintf(text, IMP_RECIPE_RANGE, one, key->minimum, key->maximum);
        break;
    case IMP_RECIPE_WHOLE:
        snprintf(text, IMP_RECIPE_RANGE, "a whole number from %.0f to %.0f", key->minimum, key->maximum);
        break;
    case IMP_RECIPE_SEED:
        snprintf(text, IMP_RECIPE_RANGE, "a whole number from 0 to %lld", (long long)INT64_MAX);
        break;
    case IMP_RECIPE_FLAG:
        snprintf(text, IMP_RECIPE_RANGE, "true or false");
        break;
    case IMP_RECIPE_CHOICE:
        snprintf(text, IMP_RECIPE_RANGE, "one of ");
        for (int i = 0; key->choice(i); i++) {
            size_t used = strlen(text);
            snprintf(text + used, IMP_RECIPE_RANGE - used, "%s%s", i ? ", " : "", key->choice(i));
        }
        break;
    case IMP_RECIPE_TEXTS:
        snprintf(text, IMP_RECIPE_RANGE, "a list of up to %d texts", key->most);
        break;
    case IMP_RECIPE_NUMBERS:
        snprintf(text, IMP_RECIPE_RANGE, many, key->most, key->minimum, key->maximum);
        break;
    case IMP_RECIPE_GROUPS:
        snprintf(text, IMP_RECIPE_RANGE, "a list of up to %d objects", key->most);
        break;
    default:
        snprintf(text, IMP_RECIPE_RANGE, "%s",
                 key->kind == IMP_RECIPE_GROUP  ? "an object"
                 : key->kind == IMP_RECIPE_NOTE ? "anything"
                 : key->required                ? "a text that is not empty"
                                                : "a text");
    }
    return text;
}
