/* A model: a network joined with its weights, and what its file says of itself. */
#ifndef IMP_MODELS_MODEL_H
#define IMP_MODELS_MODEL_H

#include "formats/tensors.h"
#include "graph/network.h"

#define IMP_MAX_OPTIONS 8          /* of an architecture */
#define IMP_OPTION_STYLES "styles" /* the option that counts the styles */
#define IMP_OPTION_NORMS "norms"   /* the one that says whether it has batch norms */
#define IMP_STYLE_NAME_LIMIT 100   /* bytes */

/* A number that an architecture takes: how wide, how deep. */
typedef struct imp_architecture_option {
    const char *name; /* NULL ends a list */
    int initial, least, most;
    const char *help;
} imp_architecture_option;

/* A network that this library knows: its layers as data. */
typedef struct imp_architecture {
    const char *name;          /* "vgg19"; NULL ends a table */
    int imported;              /* weights of other programs are brought in for it, */
    int normed;                /* and in those, each convolution has a batch norm, which is folded in */
    const char *preprocessing; /* that a training begins with */
    /* What losses look at where nobody says; NULL: what the preset says, which is a VGG's. */
    const char *content_layers, *style_layers;
    const imp_architecture_option *options;
    /* Fills layers and parameters (names and shapes, data NULL). options: a value for each of the list's. */
    int (*build)(imp_context *context, const int *options, imp_network *network);
    /* Changes random weights to what a training of it begins with; NULL: they are it. */
    void (*begin)(const imp_network *network);
} imp_architecture;

struct imp_model {
    imp_network network;
    imp_preprocessing preprocessing; /* network.preprocessing points here: the table's, with the file's feature scale */
    const imp_architecture *architecture;
    int options[IMP_MAX_OPTIONS];
    char *origin, *licence; /* from network.allocator */
    char *styles;           /* names of the styles, a line each; NULL: none */
    char **style_names;     /* the same, each by itself, [style count] */
};

/* All of them. */
extern const imp_architecture imp_architectures[];

const imp_architecture *imp_architecture_find(const imp_architecture *known, const char *name);
int imp_architecture_option_count(const imp_architecture *architecture);
int imp_architecture_find_option(const imp_architecture *architecture, const char *name); /* its index; -1: none */

/* How many styles the model paints; 0: it paints none. */
int imp_model_style_count(const imp_model *model);

/* imp_model_open and imp_model_import among other architectures than imp_architectures: tests have small ones. */
int imp_model_open_known(imp_context *context, const char *path, const imp_architecture *known, imp_model **model);
int imp_model_import_known(imp_context *context, const char *path, const char *preprocessing,
                           const imp_architecture *known, imp_model **model);

/* A model of the architecture without weights; released by imp_model_free. options: a value for each; NULL: the initial
   ones. IMP_ERR_ARGUMENT: a value out of its range. */
int imp_model_make(imp_context *context, const imp_architecture *architecture, const int *options, imp_model **model);
int imp_model_set_preprocessing(imp_context *context, imp_model *model, const char *name);
int imp_model_set_words(imp_context *context, imp_model *model, const char *origin, const char *licence);
/* Names of its styles, a line each: as many as the option says, none empty or longer than IMP_STYLE_NAME_LIMIT. */
int imp_model_set_styles(imp_context *context, imp_model *model, const char *names);

/* architectures.c: random weights to begin a training with. */
int imp_model_initialize(imp_context *context, imp_model *model, uint64_t seed);

/* Makes the parameter's data; the caller fills it. */
int imp_model_make_data(imp_context *context, imp_model *model, int parameter);
/* Takes the tensor, which must have the parameter's shape and finite values only. Messages call it by its own name. */
int imp_model_take(imp_context *context, imp_model *model, int parameter, imp_tensors *tensors,
                   const imp_named_tensor *tensor);
int imp_model_check_finite(imp_context *context, const imp_parameter *parameter, const char *name);

/* Builds the model of Impasto's own file; messages do not name the file. */
int imp_model_from_tensors(imp_context *context, imp_tensors *tensors, const imp_architecture *known,
                           imp_model **model);
int imp_model_is_own(const imp_tensors *tensors);

/* Biases of conv1_1 of Oxford's VGG19, by which its family is known. */
#define IMP_OXFORD_CHANNELS 64
extern const float imp_oxford_biases[IMP_OXFORD_CHANNELS];

/* preprocessing.c: what a first convolution expects. NULL, with the error set, when it is neither of the known ones. */
const char *imp_model_guess_preprocessing(imp_context *context, const imp_parameter *weight, const imp_parameter *bias);

/* identify.c: words for the network that a file seems to hold: "a ResNet"; NULL for an unknown one. */
const char *imp_identify_network(const imp_tensors *tensors);

#endif
