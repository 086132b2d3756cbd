/* Batch norm, which in a trained network is a factor and an offset of each channel, folded into the convolution before it. */
#ifndef IMP_MODELS_FOLD_H
#define IMP_MODELS_FOLD_H

#include "models/model.h"

/* For files of other programs. Suffixes of a norm's tensors, as PyTorch names them. */
#define IMP_NORM_TENSORS 4
extern const char *const imp_norm_suffixes[IMP_NORM_TENSORS];

/* Changes the layer's weight, which is there already, and makes its bias. keys: of the norm's tensors, in the order of
   imp_norm_suffixes; all of them are in tensors. */
int imp_fold_norm(imp_context *context, imp_model *model, int layer, imp_tensors *tensors, const char *const *keys);

/* The model as it is once training ends: of the same architecture without norms (IMP_OPTION_NORMS), its convolutions with
   what the norms behind them kept. NULL where it has none. */
int imp_model_fold_norms(imp_context *context, const imp_model *model, imp_model **folded);

#endif
