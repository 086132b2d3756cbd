/* What programs that time oneDNN share. */
#ifndef IMP_BENCH_ONEDNN_H
#define IMP_BENCH_ONEDNN_H

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void require(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return;
    fprintf(stderr, "onednn: %s: status %d\n", what, (int)status);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static dnnl_memory_desc_t describe(int count, const dnnl_dims_t sizes, dnnl_data_type_t type, dnnl_format_tag_t tag) {
    dnnl_memory_desc_t made;
    require(dnnl_memory_desc_init_by_tag(&made, count, sizes, type, tag), "memory descriptor");
    return made;
}

static void begin(void) {
    require(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    require(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
}

#endif
