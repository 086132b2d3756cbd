/* Files of torch.save: a zip archive since PyTorch 1.6, before that a row of pickles with the numbers behind them. */
#ifndef IMP_FORMATS_TORCH_H
#define IMP_FORMATS_TORCH_H

#include "formats/tensors.h"

int imp_torch_parse_zip(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out);
int imp_torch_parse_pickle(imp_context *context, const uint8_t *bytes, size_t length, imp_tensors *out);

/* A record of length bytes out of an archive, released by imp_release. */
int imp_torch_unpack(imp_context *context, struct zip *archive, uint64_t record, size_t length, uint8_t **bytes);
void imp_torch_close(struct zip *archive); /* NULL is fine */

/* state_dict.c: the tensors of a pickle's value, named by the dictionary that holds them; areas are its storages. */
struct imp_pickle;
int imp_state_dict_collect(struct imp_pickle *pickle, int32_t root, imp_tensors *out);

#endif
