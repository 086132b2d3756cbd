/* A model: a network joined with its weights, and what its file says of itself. */
#ifndef IMP_MODELS_MODEL_H
#define IMP_MODELS_MODEL_H

#include "formats/tensors.h"
#include "graph/network.h"

struct imp_model {
    imp_network network;
    imp_preprocessing preprocessing; /* network.preprocessing points here: the table's, with the file's feature scale */
    char *origin, *licence;          /* from network.allocator */
};

/* A network that this library knows: its layers as data. */
typedef struct imp_architecture {
    const char *name; /* "vgg19" */
    /* Fills layers and parameters (names and shapes, data NULL), from the input to the last pool; no classifier. */
    int (*build)(imp_context *context, imp_network *network);
} imp_architecture;

/* All of them, up to one whose name is NULL. */
extern const imp_architecture imp_architectures[];

const imp_architecture *imp_architecture_find(const imp_architecture *known, const char *name);

/* imp_model_open and imp_model_import among other architectures than imp_architectures: tests have small ones. */
int imp_model_open_known(imp_context *context, const char *path, const imp_architecture *known, imp_model **model);
int imp_model_import_known(imp_context *context, const char *path, const char *preprocessing,
                           const imp_architecture *known, imp_model **model);

/* For import.c. A model of the architecture without weights; released by imp_model_free. */
int imp_model_make(imp_context *context, const imp_architecture *architecture, imp_model **model);
int imp_model_set_preprocessing(imp_context *context, imp_model *model, const char *name);
int imp_model_set_words(imp_context *context, imp_model *model, const char *origin, const char *licence);

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
