/* Photos that are painted together: one painting from its making to the files that it is written to. */
#ifndef IMP_CLI_GROUP_H
#define IMP_CLI_GROUP_H

#include "cli/optimize_options.h"

typedef struct imp_cli_style {
    char path[IMP_CLI_PATH];
    double weight;
} imp_cli_style;

/* What all groups share. */
typedef struct imp_cli_optimize_job {
    imp_cli_job base;
    const imp_cli_optimize_settings *settings;
    imp_cli_style styles[IMP_CLI_MAX_TEXTS]; /* as many as the settings have */
} imp_cli_optimize_job;

typedef struct imp_cli_group {
    imp_cli_optimize_job *job;
    imp_cli_photo *photos[IMP_MAX_PHOTOS];
    int count;
    imp_painting *painting;
    imp_estimate estimate;
    uint64_t resident;                     /* bytes that the process is expected to have at most */
    double seconds;                        /* that painting is expected to take, for all photos together */
    imp_progress progress[IMP_MAX_PHOTOS]; /* of the last step */
} imp_cli_group;

/* Makes the painting of the photo at index, and adds those of its size that go with it. All of them are taken, the ones
   too that cannot be read, which it says, and where there can be no painting of that size, all of that size. *code: the
   exit code of the first failure, or 0. Returns false when nothing can be painted. */
bool imp_cli_group_begin(imp_cli_optimize_job *job, int index, imp_cli_group *group, int *code);

/* Paints, writes and tells of each. Returns the exit code. */
int imp_cli_group_paint(imp_cli_group *group);

#endif
