/* What a painting or styler ran, node by node, for --verbose. */
#ifndef IMP_CLI_PROFILE_H
#define IMP_CLI_PROFILE_H

#include <stdbool.h>

#include "impasto.h"

/* imp_painting_profile or imp_styler_profile of what ran. */
typedef int (*imp_cli_node_at)(const void *ran, int index, imp_node_profile *profile);

/* A table with the time of each node (of a painting: of the last scale); as one JSON event when json. */
void imp_cli_print_profile(imp_cli_node_at at, const void *ran, bool json);

#endif
