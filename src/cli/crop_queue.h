/* Crops made ahead, in order, by threads with contexts of their own. */
#ifndef IMP_CLI_CROP_QUEUE_H
#define IMP_CLI_CROP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "impasto.h"

typedef struct imp_cli_crop_queue imp_cli_crop_queue;

/* Makes crop number of `floats` values; called from the queue's threads. */
typedef int imp_cli_make_crop(const void *user, imp_context *context, uint64_t number, float *planes);

/* NULL where there is no memory or not one thread. */
imp_cli_crop_queue *imp_cli_crop_queue_create(uint64_t first, int threads, int depth, size_t floats,
                                              imp_cli_make_crop *make, const void *user);

/* Waits for crop number and copies it; *status: what making it gave. False when it is not the next one: nothing has
   happened then. From one thread. */
bool imp_cli_crop_queue_take(imp_cli_crop_queue *queue, uint64_t number, float *planes, int *status);

/* Ends the threads, once they have made what they are at. NULL is fine. */
void imp_cli_crop_queue_free(imp_cli_crop_queue *queue);

#endif
