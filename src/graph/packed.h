/* Weights packed for a kernel table, kept in their network: made once, never changed
   afterwards, shared by all plans. */
#ifndef IMP_GRAPH_PACKED_H
#define IMP_GRAPH_PACKED_H

#include "graph/network.h"

typedef struct imp_packed {
    const void *weights; /* of imp_kernels.convolve */
    const float *bias;   /* padded with zeros to whole blocks; NULL where there is none */
} imp_packed;

/* Weights for backward of a stride are packed in parts, one for each phase of its pixels (backend_cpu_phases.c): along
   either side of the kernel a part has every step-th tap, so that there are step x step of them, the rows outside. */
typedef struct imp_tap_part {
    int first, count;
} imp_tap_part;

int imp_tap_step(int stride, int dilation); /* 1: one part, the whole kernel */
imp_tap_part imp_tap_part_of(int kernel, int step, int first);
/* Taps of the parts before the one whose first tap is (y, x). */
size_t imp_taps_before(int kernel, int step, int y, int x);
/* Bytes of a tap of the packed weights of all channels. */
size_t imp_packed_tap_bytes(const imp_kernels *kernels, int out_channels, int in_channels, int depthwise);

/* Bytes that packing the layer would add to the network; 0 when it is there already. transpose: for backward-data,
   in parts where the layer has a stride, without bias. kernels: whose weights; NULL: the bias alone. */
size_t imp_packed_missing(const imp_network *network, const imp_kernels *kernels, int layer, int transpose);

/* Finds or makes the packed weights; from any thread. IMP_ERR_MEMORY. */
int imp_packed_get(imp_context *context, const imp_network *network, const imp_kernels *kernels, int layer,
                   int transpose, imp_packed *packed);

/* After parameters of a network that trains were changed: packs them anew, in place, while no plan of it runs.
   IMP_ERR_MEMORY. */
int imp_network_refresh(imp_context *context, imp_network *network);

/* The same network, without packed weights: those that the copy gets are its own, released by imp_packed_release. From
   any thread, while others use the network. */
imp_network imp_packed_apart(const imp_network *network);

/* Releases all packed weights of the network, for imp_network_release. */
void imp_packed_release(imp_network *network);

#endif
