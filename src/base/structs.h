/* Structs of the public interface, which begin with their size: fields can be added at their end, and callers compiled
 * for an earlier version of impasto.h, or for a later one, go on working. */
#ifndef IMP_BASE_STRUCTS_H
#define IMP_BASE_STRUCTS_H

#include "base/context.h"

/* Whether the caller's struct can be one: IMP_ERR_ARGUMENT for NULL and for a size that no version can have had. what
   names the struct in the error; context may be NULL, then no error is set. */
int imp_struct_check(imp_context *context, const void *given, const char *what);

/* Copies a caller's struct over ours, which holds the defaults and has `bytes` bytes: fields that an older caller does
   not have keep their defaults. ours keeps its own size. Fails as imp_struct_check does; ours is untouched then. */
int imp_struct_read(imp_context *context, const void *given, void *ours, size_t bytes, const char *what);

/* Copies ours into a caller's struct, checked before, as far as that has room; it keeps its own size. */
void imp_struct_write(void *given, const void *ours, size_t bytes);

#endif
