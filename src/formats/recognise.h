/* What a file is, by its content. */
#ifndef IMP_FORMATS_RECOGNISE_H
#define IMP_FORMATS_RECOGNISE_H

#include "base/context.h"

typedef enum imp_file_kind { IMP_FILE_OTHER, IMP_FILE_SAFETENSORS, IMP_FILE_ZIP, IMP_FILE_PICKLE } imp_file_kind;

imp_file_kind imp_recognise(const uint8_t *bytes, size_t length);

/* Sets the error that says what a file of kind IMP_FILE_OTHER seems to be, and what to do about it. */
int imp_recognise_fail(imp_context *context, const uint8_t *bytes, size_t length);

#endif
